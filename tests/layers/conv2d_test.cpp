#include "support.hpp"
#include "weights_file.hpp"

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include <qcnet/kernels/reference.hpp>
#include <qcnet/layers/conv2d.hpp>

using namespace qcnet;
using test::contains;
using test::WeightsFile;

namespace {

WeightsFile convolution(const std::vector<std::size_t>& shape) {
  WeightsFile file;
  std::size_t count = 1;
  for (const std::size_t dim : shape) count *= dim;
  file.set("c.weight", shape, test::random_values(count, 1));
  return file.set("c.bias", {shape[0]}, test::random_values(shape[0], 2));
}

Result<std::shared_ptr<const Conv2d>> load(const WeightsFile& file, const ConvGeometry& geometry,
                                           std::size_t channels) {
  return file.with([&](const io::Safetensors& weights) {
    return Conv2d::load(weights, "c", "", geometry, channels, Activation::relu);
  });
}

}  // namespace

TEST_CASE("a convolution layer tells its shapes, work and memory") {
  const auto conv = load(convolution({6, 4, 3, 3}), ConvGeometry::square(3, 2, 1), 4).value();
  CHECK(conv->kind() == "conv2d");
  CHECK(conv->output_channels() == 6);
  const Shape input{2, 9, 8, 4}, output{2, 5, 4, 6};
  CHECK(conv->output_shape(std::array{input}).value() == output);
  CHECK(conv->output_shape(std::array{input, output}).value() == output);
  CHECK(conv->multiply_adds(std::array{input}) == 2 * 5 * 4 * 6 * 9 * 4);
  CHECK(conv->weight_bytes() >= 6 * 36 * sizeof(float));

  const auto said = [&](std::vector<Shape> inputs) { return conv->output_shape(inputs).error().message(); };
  CHECK(said({}) == "a convolution takes one input and at most one residual");
  CHECK(said({input, output, output}) == "a convolution takes one input and at most one residual");
  CHECK(said({input, input}) == "the residual [2, 9, 8, 4] does not have the output's shape [2, 5, 4, 6]");
  CHECK(contains(said({Shape{2, 9, 8, 5}}), "expected 4 input channels, found [2, 9, 8, 5]"));
  CHECK(contains(said({Shape{9, 8, 4}}), "expected an input [N, H, W, C], found [9, 8, 4]"));
}

TEST_CASE("a convolution layer adds bias and residual before its activation, as floats and as bits") {
  for (const std::size_t channels : {8ul, 12ul, 20ul, 33ul}) {
    const WeightsFile file = convolution({channels, 5, 3, 3});
    const auto conv = load(file, ConvGeometry::square(3, 1, 1), 5).value();
    const Shape shape{1, 7, 6, channels};
    const Tensor input = test::random_tensor({1, 7, 6, 5}, 3), residual = test::random_tensor(shape, 4);
    const ConstTensorView inputs[] = {input, residual};
    Tensor output(shape), expected(shape);
    conv->forward(inputs, output, {});
    const Tensor weights = file.tensor("c.weight"), bias = file.tensor("c.bias");
    reference::conv2d(weights, bias.span(), ConvGeometry::square(3, 1, 1), input, expected, Activation::relu,
                      residual);
    CHECK(test::relative_difference(output, expected) < 1e-6);

    REQUIRE(conv->emits_bits());
    Bitplane bits(shape);
    std::vector<float> thresholds(kernels::PackedWeights::padded(channels), HUGE_VALF);
    for (std::size_t c = 0; c < channels; ++c) thresholds[c] = c % 3 == 0 ? 0.0f : output[c];  // ties too
    conv->forward_bits(inputs, thresholds, bits, {});
    CHECK(padding_is_zero(bits));
    bool same = true;
    for (std::size_t i = 0; i < shape.elements(); ++i)
      same = same && bits.get(i / channels, i % channels) == (output[i] > thresholds[i % channels]);
    CHECK(same);
  }
}

TEST_CASE("groups follow from the weight's shape if they may, and only whole ones exist") {
  CHECK(load(convolution({6, 2, 3, 3}), ConvGeometry::square(3, 1, 1), 4).error().message() ==
        "c.weight: expected shape [6, 4, 3, 3], found [6, 2, 3, 3]");
  ConvGeometry any = ConvGeometry::square(3, 1, 1);
  any.groups = 0;
  const auto grouped = load(convolution({6, 2, 3, 3}), any, 4).value();
  CHECK(grouped->output_shape(std::array{Shape{1, 5, 5, 4}}).ok());
  CHECK(grouped->multiply_adds(std::array{Shape{1, 5, 5, 4}}) == 25 * 6 * 9 * 2);
  CHECK_FALSE(grouped->emits_bits());
  CHECK(load(convolution({6, 2, 3, 3}), any, 5).error().message() ==
        "c.weight: expected shape [6, 5, 3, 3], found [6, 2, 3, 3]");
  CHECK(load(convolution({5, 2, 3, 3}), any, 4).error().message() ==
        "c.weight: 5 output channels cannot be split into 2 groups");
  CHECK(contains(load(convolution({4, 4, 3, 1}), any, 4).error().message(),
                 "c.weight: expected shape [4, 4, 3, 3], found [4, 4, 3, 1]"));
}

TEST_CASE("weights in memory are channels last; in PyTorch's order they are known as such") {
  const auto said = [](const Shape& shape) {
    const ConvWeights weights{Tensor(shape), std::vector<float>(shape[0])};
    const auto conv = Conv2d::make(weights, "c", ConvGeometry::square(3, 1, 1), 16, Activation::relu);
    return conv.ok() ? std::string() : conv.error().message();
  };
  CHECK(said({32, 3, 3, 16}).empty());
  CHECK(said({32, 16, 3, 3}) == "c.weight: is in PyTorch's order; channels_last() gives ours");
  CHECK(said({32, 3, 3, 8}) == "c.weight: expected shape [32, 16, 3, 3], found [32, 8, 3, 3]");
  CHECK(said({8, 8}) == "c.weight: expected 4 dimensions, found shape [8, 8]");
}
