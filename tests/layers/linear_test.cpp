#include "support.hpp"
#include "weights_file.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include <qcnet/layers/linear.hpp>

using namespace qcnet;
using test::contains;
using test::WeightsFile;

TEST_CASE("a linear layer multiplies the last dimension") {
  WeightsFile file;
  file.set("l.weight", {3, 5}, test::random_values(15, 1)).set("l.bias", {3}, {1, 2, 3});
  const auto load_linear = [&](std::size_t features) {
    return file.with([&](const io::Safetensors& weights) { return Linear::load(weights, "l", features); });
  };
  const auto linear = load_linear(5).value();
  const Tensor input = test::random_tensor({2, 4, 5}, 2);
  Tensor output(linear->output_shape(std::array{input.shape()}).value());
  CHECK(output.shape() == Shape{2, 4, 3});
  const ConstTensorView inputs[] = {input};
  linear->forward(inputs, output, {});
  const Tensor weight = file.tensor("l.weight");
  for (std::size_t row = 0; row < 8; ++row)
    for (std::size_t o = 0; o < 3; ++o) {
      double sum = static_cast<double>(o + 1);
      for (std::size_t i = 0; i < 5; ++i) sum += double{weight[o * 5 + i]} * double{input[row * 5 + i]};
      CHECK(output[row * 3 + o] == doctest::Approx(sum).epsilon(1e-5));
    }
  const Tensor residual = test::random_tensor({2, 4, 3}, 3);
  Tensor added(output.shape());
  const ConstTensorView two[] = {input, residual};
  linear->forward(two, added, {});
  for (std::size_t i = 0; i < 24; ++i) CHECK(added[i] == output[i] + residual[i]);
  CHECK(contains(linear->output_shape(std::array{input.shape(), input.shape()}).error().message(),
                 "the residual [2, 4, 5] does not have the output's shape [2, 4, 3]"));

  REQUIRE(linear->emits_bits());
  Bitplane bits(output.shape());
  std::vector<float> thresholds(kernels::PackedWeights::padded(3), std::numeric_limits<float>::infinity());
  std::copy_n(added.data(), 3, thresholds.data());  // equal is not greater
  linear->forward_bits(two, thresholds, bits, {});
  for (std::size_t row = 0; row < 8; ++row)
    for (std::size_t o = 0; o < 3; ++o) CHECK(bits.get(row, o) == (added[row * 3 + o] > thresholds[o]));

  const auto with_gelu = file.with([&](const io::Safetensors& weights) {
                               return Linear::load(weights, "l", 5, 3, Linear::Then::gelu);
                             })
                             .value();
  with_gelu->forward(inputs, added, {});
  for (std::size_t i = 0; i < 24; ++i) {
    const double x = double{output[i]};
    CHECK(double{added[i]} == doctest::Approx(0.5 * x * std::erfc(-x / std::sqrt(2.0))).epsilon(1e-5));
  }
  CHECK(with_gelu->kind() == "linear_gelu");
  CHECK_FALSE(with_gelu->emits_bits());
  CHECK(contains(with_gelu->output_shape(std::array{input.shape(), added.shape()}).error().message(),
                 "a linear layer with GELU takes one input"));
  CHECK(linear->multiply_adds(std::array{input.shape()}) == 2 * 4 * 5 * 3);
  CHECK(linear->output_shape(std::array{Shape{2, 6}}).error().message() ==
        "expected an input [..., 5], found [2, 6]");
  CHECK(linear->output_shape({}).error().message() ==
        "a linear layer takes one input and at most one residual");
  CHECK(load_linear(6).error().message() == "l.weight: expected shape [out, 6], found [3, 5]");
}

TEST_CASE("a linear layer takes no convolution that looks at more than a pixel") {
  const Tensor pixel({3, 1, 1, 5}), window({3, 3, 3, 5});
  const auto packed = [](const Tensor& weights, const ConvGeometry& geometry) {
    return kernels::PackedConv2d::make(weights, {}, geometry).value();
  };
  CHECK_NOTHROW(Linear(packed(pixel, ConvGeometry::square(1))));
  CHECK_THROWS(Linear(packed(pixel, ConvGeometry::square(1, 2))));
  CHECK_THROWS(Linear(packed(window, ConvGeometry::square(3, 1, 1))));
}
