#include "allocations.hpp"
#include "support.hpp"
#include "weights_file.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <qcnet/kernels/reference.hpp>
#include <qcnet/layers/binary_conv2d.hpp>
#include <qcnet/layers/executor.hpp>

using namespace qcnet;
using test::contains;
using test::WeightsFile;

namespace {

// Multiples of 2^-6, so that sums of these and of counts are exact in any order.
std::vector<float> coarse(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& x : values) x = static_cast<float>(static_cast<int>(random() % 129) - 64) / 64.0f;
  return values;
}

// A layer "b": weights of +1 and -1 as floats [Cout, Cin, K, K].
WeightsFile layer(std::size_t outputs, std::size_t inputs, std::size_t kernel) {
  std::mt19937 random(5);
  std::vector<float> signs(outputs * inputs * kernel * kernel);
  for (float& w : signs) w = random() % 2 == 0 ? 1.0f : -1.0f;
  WeightsFile file;
  file.set("b.weight", {outputs, inputs, kernel, kernel}, signs);
  file.set("b.threshold", {inputs}, coarse(inputs, 1));
  file.set("b.scale", {outputs}, coarse(outputs, 2));
  return file.set("b.bias", {outputs}, coarse(outputs, 3));
}

// The same with the weights as bytes [Cout, K, K, ceil(Cin / 8)].
WeightsFile packed(const WeightsFile& file) {
  WeightsFile copy = file;
  const Tensor weights = file.tensor("b.weight");  // [Cout, K, K, Cin]
  const Bitplane bits = bits::pack_signs(weights).value();
  const Shape& s = weights.shape();
  copy.tensors["b.weight"] = {"U8",
                              {s[0], s[1], s[2], packed_bytes(s[3])},
                              {reinterpret_cast<const char*>(bits.bytes().data()), bits.bytes().size()}};
  return copy;
}

Result<std::shared_ptr<const BinaryConv2d>> load(const WeightsFile& file, std::size_t stride,
                                                 std::size_t channels) {
  return file.with(
      [&](const io::Safetensors& weights) { return BinaryConv2d::load(weights, "b", stride, channels); });
}

// By the float convolution of the signs.
Tensor expected_output(const WeightsFile& file, std::size_t stride, ConstTensorView x,
                       ConstTensorView residual) {
  const Tensor weights = file.tensor("b.weight"), threshold = file.tensor("b.threshold"),
               scale = file.tensor("b.scale"), bias = file.tensor("b.bias");
  const std::size_t kernel = weights.shape()[1], channels = x.shape.channels();
  const ConvGeometry g = ConvGeometry::square(kernel, stride, kernel / 2);
  Tensor signs(x.shape);
  for (std::size_t i = 0; i < signs.span().size(); ++i)
    signs[i] = x.data[i] > threshold[i % channels] ? 1.0f : -1.0f;
  Tensor out(g.output(x.shape, weights.shape()[0]).value());
  reference::conv2d(weights, {}, g, signs, out);
  for (std::size_t i = 0; i < out.span().size(); ++i) {
    const std::size_t o = i % out.shape().channels();
    out[i] = scale[o] * out[i] + bias[o] + (residual.data != nullptr ? residual.data[i] : 0.0f);
  }
  return out;
}

}  // namespace

TEST_CASE("a binary convolution layer equals the float convolution of signs, as floats and as bits") {
  for (const std::size_t channels : {3ul, 32ul, 65ul})
    for (const std::size_t outputs : {8ul, 33ul})
      for (const std::size_t kernel : {1ul, 3ul})
        for (const std::size_t stride : {1ul, 2ul}) {
          CAPTURE(channels);
          CAPTURE(outputs);
          CAPTURE(kernel);
          const WeightsFile file = layer(outputs, channels, kernel);
          const auto conv = load(file, stride, channels).value();
          const auto from_bytes = load(packed(file), stride, channels).value();
          Tensor x(Shape{2, 7, 6, channels});
          const std::vector<float> values = coarse(x.span().size(), 7);  // some meet their thresholds exactly
          std::copy(values.begin(), values.end(), x.data());
          const Shape shape = conv->output_shape(std::array{x.shape()}).value();
          Tensor residual(shape);
          const std::vector<float> added = coarse(residual.span().size(), 8);
          std::copy(added.begin(), added.end(), residual.data());
          for (const std::size_t inputs : {1u, 2u}) {
            const ConstTensorView both[] = {x, residual};
            const std::span<const ConstTensorView> given(both, inputs);
            const Tensor expected =
                expected_output(file, stride, x, inputs == 2 ? both[1] : ConstTensorView{});
            std::vector<float> scratch(conv->scratch_floats(std::array{x.shape(), shape}));
            Tensor output(shape), without_scratch(shape);
            conv->forward(given, output, scratch);
            CHECK(test::identical(output, expected));
            from_bytes->forward(given, without_scratch, {});
            CHECK(test::identical(without_scratch, expected));

            REQUIRE(conv->emits_bits());
            // One image's for thresholds of each pixel's channels.
            for (const std::size_t features : {outputs, shape[1] * shape[2] * outputs}) {
              std::vector<float> thresholds(features);
              for (std::size_t i = 0; i < features; ++i) thresholds[i] = i % 3 == 0 ? 0.0f : expected[i];
              Bitplane bits(shape);
              conv->forward_bits(given, pad_thresholds(thresholds, outputs), bits, scratch);
              CHECK(padding_is_zero(bits));
              bool same = true;
              for (std::size_t i = 0; i < shape.elements(); ++i)
                same = same && bits.get(i / outputs, i % outputs) == (expected[i] > thresholds[i % features]);
              CHECK(same);
            }
          }
        }
}

TEST_CASE("a binary convolution layer tells its shapes, work and memory") {
  const auto conv = load(layer(6, 4, 3), 2, 4).value();
  CHECK(conv->kind() == "binary_conv2d");
  CHECK(conv->output_channels() == 6);
  const Shape input{2, 9, 8, 4}, output{2, 5, 4, 6};
  CHECK(conv->output_shape(std::array{input}).value() == output);
  CHECK(conv->output_shape(std::array{input, output}).value() == output);
  CHECK(conv->multiply_adds(std::array{input}) == 2 * 5 * 4 * 6 * 9 * 4);
  CHECK(conv->scratch_floats(std::array{input}) == 2 * 9 * 8 / 4);
  CHECK(conv->weight_bytes() >= 6 * 9);

  const auto said = [&](std::vector<Shape> inputs) { return conv->output_shape(inputs).error().message(); };
  CHECK(said({}) == "a binary convolution takes one input and at most one residual");
  CHECK(said({input, output, output}) == "a binary convolution takes one input and at most one residual");
  CHECK(said({input, input}) == "the residual [2, 9, 8, 4] does not have the output's shape [2, 5, 4, 6]");
  CHECK(contains(said({Shape{2, 9, 8, 5}}), "expected 4 input channels, found [2, 9, 8, 5]"));
}

TEST_CASE("a dense binary layer is a kernel of 1x1") {
  const WeightsFile file = layer(10, 100, 1);
  const auto conv = load(file, 1, 100).value();
  const Tensor x = test::random_tensor({5, 1, 1, 100}, 4);
  Tensor output({5, 1, 1, 10});
  conv->forward(std::array{x.view()}, output, {});
  CHECK(test::identical(output, expected_output(file, 1, x, {})));
}

TEST_CASE("an executor of binary convolutions allocates nothing, and emits bits") {
  const WeightsFile file = layer(24, 24, 3);
  const auto conv = load(file, 1, 24).value();
  Network network;
  const Network::Value first = network.add("first", conv, {Network::input, Network::input});
  network.add("second", conv, {first, first});
  const Tensor x = test::random_tensor({1, 9, 9, 24}, 5);
  for (const int count : {1, 2}) {
    const test::Threads threads(count);
    Executor executor = Executor::make(network, x.shape()).value();
    const Tensor expected(executor.run(x));
    const std::vector<float> thresholds = pad_thresholds(coarse(24, 9), 24);
    Bitplane bits(x.shape());
    REQUIRE(executor.emits_bits());
    executor.run_bits(x, thresholds, bits);
    const std::size_t before = allocations();
    executor.run(x);
    executor.run_bits(x, thresholds, bits);
    CHECK(allocations() == before);
    const Bitplane compared = binarize(expected, coarse(24, 9));
    CHECK(std::equal(bits.bytes().begin(), bits.bytes().end(), compared.bytes().begin()));
  }
}

TEST_CASE("a binary convolution layer names the tensor that does not fit") {
  const WeightsFile good = layer(6, 12, 3), bytes = packed(good);
  const auto said = [](const WeightsFile& file, std::size_t channels = 12) {
    return load(file, 1, channels).error().message();
  };
  CHECK(said(good, 13) == "b.threshold: expected shape [13], found [12]");
  for (const char* name : {"b.threshold", "b.weight", "b.scale", "b.bias"})
    CHECK(said(WeightsFile(good).drop({name})) == std::string(name) + ": there is no such tensor");
  CHECK(said(WeightsFile(good).set("b.scale", {5})) == "b.scale: expected shape [6], found [5]");
  CHECK(said(WeightsFile(good).set("b.bias", {6, 1})) == "b.bias: expected shape [6], found [6, 1]");
  CHECK(said(WeightsFile(good).poke("b.bias", 2, NAN)) ==
        "b.bias: holds NaN or infinity, a weight must be finite");
  CHECK(said(WeightsFile(good).poke("b.weight", 0, 0.5f)) ==
        "b.weight: binary convolution: expected weights of +1 and -1, found 0.500000 at 0");
  for (const auto& [shape, found] : {std::pair{std::vector<std::size_t>{6, 11, 3, 3}, "[6, 11, 3, 3]"},
                                     {{6, 12, 3, 5}, "[6, 12, 3, 5]"},
                                     {{6, 12, 2, 2}, "[6, 12, 2, 2]"},
                                     {{6, 12, 9}, "[6, 12, 9]"}})
    CHECK(said(WeightsFile(good).set("b.weight", shape, {1.0f})) ==
          std::string("b.weight: expected shape [Cout, 12, K, K] with an odd K of at most 15, found ") +
              found);

  const auto with_bytes = [&](const std::vector<std::size_t>& shape, char fill) {
    WeightsFile file = bytes;
    const std::size_t count = Shape::make(std::span(shape)).value().elements();
    file.tensors["b.weight"] = {"U8", shape, std::string(count, fill)};
    return file;
  };
  CHECK(load(with_bytes({6, 3, 3, 2}, '\x0F'), 1, 12).ok());
  CHECK(said(with_bytes({6, 3, 3, 2}, '\x10')) ==
        "b.weight: binary convolution: the weights have a padding bit set behind their 12 channels");
  CHECK(said(with_bytes({6, 3, 3, 3}, 0)) ==
        "b.weight: expected bytes [Cout, K, K, 2] with an odd K of at most 15, found [6, 3, 3, 3]");
  CHECK(said(with_bytes({6, 12, 3, 3}, 0)) ==
        "b.weight: expected bytes [Cout, K, K, 2] with an odd K of at most 15, found [6, 12, 3, 3]");
  CHECK(contains(said(with_bytes({0, 3, 3, 2}, 0)), "b.weight: binary convolution: expected weights"));
  const std::size_t side = (std::size_t{1} << (sizeof(std::size_t) > 4 ? 29 : 13)) - 1;
  for (const std::size_t large : {std::size_t{17}, side})
    CHECK(contains(said(with_bytes({0, large, large, 2}, 0)), "with an odd K of at most 15, found [0, "));
  WeightsFile ints = good;
  ints.tensors["b.weight"].dtype = "I32";
  CHECK(said(ints) == "b.weight: its elements are I32; only F32, F16, BF16 and I64 can be read as float");
}
