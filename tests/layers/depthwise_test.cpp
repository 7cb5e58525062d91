#include "support.hpp"
#include "weights_file.hpp"

#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <qcnet/kernels/reference.hpp>
#include <qcnet/layers/depthwise.hpp>

using namespace qcnet;
using test::WeightsFile;

namespace {

WeightsFile depthwise(std::size_t channels, std::size_t kernel) {
  WeightsFile file;
  file.set("d.weight", {channels, 1, kernel, kernel}, test::random_values(channels * kernel * kernel, 1));
  return file.set("d.bias", {channels}, test::random_values(channels, 2));
}

Result<std::shared_ptr<const DepthwiseConv2d>> load(const WeightsFile& file, std::size_t channels,
                                                    const std::string& batch_norm = {}) {
  return file.with([&](const io::Safetensors& weights) {
    return DepthwiseConv2d::load(weights, "d", channels, batch_norm);
  });
}

Tensor run(const DepthwiseConv2d& layer, const Tensor& input) {
  Tensor output(input.shape());
  const ConstTensorView inputs[] = {input};
  layer.forward(inputs, output, {});
  return output;
}

}  // namespace

TEST_CASE("a depthwise layer is a convolution of as many groups as channels, which keeps the map's size") {
  for (const std::size_t kernel : {1ul, 3ul, 7ul, 9ul}) {
    CAPTURE(kernel);
    const WeightsFile file = depthwise(20, kernel);
    const auto layer = load(file, 20).value();
    const Tensor input = test::random_tensor({2, 6, 5, 20}, 3);
    REQUIRE(layer->output_shape(std::array{input.shape()}).value() == input.shape());
    CHECK(layer->kind() == "depthwise_conv2d");
    CHECK(layer->weight_bytes() >= 20 * (kernel * kernel + 1) * sizeof(float));
    CHECK(layer->multiply_adds(std::array{input.shape()}) == input.shape().elements() * kernel * kernel);

    ConvGeometry geometry = ConvGeometry::square(kernel, 1, kernel / 2);
    geometry.groups = 20;
    const Tensor weights = file.tensor("d.weight"), bias = file.tensor("d.bias");
    Tensor expected(input.shape());
    reference::conv2d(weights, bias.span(), geometry, input, expected);
    CHECK(test::relative_difference(run(*layer, input), expected) < 1e-6);
  }
}

TEST_CASE("a depthwise layer folds the normalization behind it") {
  WeightsFile file = depthwise(5, 3);
  const std::vector<float> gamma = test::random_values(5, 4), beta = test::random_values(5, 5),
                           mean = test::random_values(5, 6), variance = {0.5f, 1, 2, 3, 0.1f};
  file.set("n.weight", {5}, gamma).set("n.bias", {5}, beta);
  file.set("n.running_mean", {5}, mean).set("n.running_var", {5}, variance);
  const Tensor input = test::random_tensor({1, 4, 6, 5}, 3);
  Tensor expected = run(*load(file, 5).value(), input);
  for (std::size_t i = 0; i < expected.span().size(); ++i) {
    const std::size_t c = i % 5;
    expected[i] = (expected[i] - mean[c]) / std::sqrt(variance[c] + 1e-5f) * gamma[c] + beta[c];
  }
  CHECK(test::relative_difference(run(*load(file, 5, "n").value(), input), expected) < 1e-5);
}

TEST_CASE("what does not fit a depthwise layer is one sentence") {
  const auto layer = load(depthwise(4, 3), 4).value();
  const auto said = [&](std::vector<Shape> inputs) { return layer->output_shape(inputs).error().message(); };
  const Shape map{1, 6, 5, 4};
  CHECK(said({}) == "a depthwise convolution takes one input");
  CHECK(said({map, map}) == "a depthwise convolution takes one input");
  CHECK(said({Shape{1, 6, 5, 3}}) == "expected 4 input channels, found [1, 6, 5, 3]");
  CHECK(said({Shape{6, 5, 4}}) == "expected an input [N, H, W, C], found [6, 5, 4]");

  const std::string expected = "d.weight: expected shape [4, 1, K, K] with an odd K, found ";
  CHECK(load(depthwise(5, 3), 4).error().message() == expected + "[5, 1, 3, 3]");
  CHECK(load(depthwise(4, 2), 4).error().message() == expected + "[4, 1, 2, 2]");
  CHECK(load(depthwise(4, 3).set("d.weight", {4, 1, 3, 5}), 4).error().message() ==
        expected + "[4, 1, 3, 5]");
  CHECK(load(depthwise(4, 3).set("d.weight", {4, 2, 3, 3}), 4).error().message() ==
        expected + "[4, 2, 3, 3]");
  CHECK(load(depthwise(4, 3).set("d.bias", {5}), 4).error().message() ==
        "d.bias: expected shape [4], found [5]");
  CHECK(load(depthwise(4, 3), 4, "n").error().message() == "n.weight: there is no such tensor");
}
