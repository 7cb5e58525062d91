#include "support.hpp"
#include "weights_file.hpp"

#include <array>
#include <vector>

#include <qcnet/kernels/reference.hpp>
#include <qcnet/layers/layer_norm.hpp>

using namespace qcnet;
using test::WeightsFile;

TEST_CASE("a layer normalization is its kernel with the file's weights, over any map's channels") {
  WeightsFile file;
  file.set("n.weight", {21}, test::random_values(21, 1)).set("n.bias", {21}, test::random_values(21, 2));
  const Tensor gamma = file.tensor("n.weight"), beta = file.tensor("n.bias");
  for (const float eps : {1e-6f, 0.5f}) {
    const auto norm =
        file.with([&](const auto& weights) { return LayerNorm::load(weights, "n", 21, eps); }).value();
    CHECK(norm->kind() == "layer_norm");
    CHECK(norm->weight_bytes() == 2 * 21 * sizeof(float));
    for (const Shape& shape : {Shape{21}, Shape{3, 21}, Shape{2, 5, 21}, Shape{2, 3, 4, 21}}) {
      const Tensor input = test::random_tensor(shape, 3);
      const ConstTensorView inputs[] = {input};
      REQUIRE(norm->output_shape(std::array{shape}).value() == shape);
      Tensor output(shape), expected(shape);
      norm->forward(inputs, output, {});
      reference::layer_norm(input, gamma.span(), beta.span(), eps, expected);
      CHECK(test::relative_difference(output, expected) < 1e-6);
    }
  }
}

TEST_CASE("what does not fit a layer normalization is one sentence") {
  WeightsFile file;
  file.set("n.weight", {4}).set("n.bias", {4});
  const auto load = [&](const WeightsFile& from, std::size_t channels) {
    return from.with([&](const auto& weights) { return LayerNorm::load(weights, "n", channels); });
  };
  const auto norm = load(file, 4).value();
  const auto said = [&](std::vector<Shape> inputs) { return norm->output_shape(inputs).error().message(); };
  CHECK(said({}) == "expected one input [..., 4], found none");
  CHECK(said({Shape{2, 5}}) == "expected one input [..., 4], found [2, 5]");
  CHECK_FALSE(norm->output_shape(std::array{Shape{}}).ok());
  CHECK_FALSE(norm->output_shape(std::array{Shape{2, 4}, Shape{2, 4}}).ok());

  CHECK(load(file, 5).error().message() == "n.weight: expected shape [5], found [4]");
  CHECK(load(WeightsFile(file).set("n.bias", {4, 1}), 4).error().message() ==
        "n.bias: expected shape [4], found [4, 1]");
  CHECK(load(WeightsFile(file).drop({"n.bias"}), 4).error().message() == "n.bias: there is no such tensor");
}

TEST_CASE("a normalization put together by hand must fit") {
  CHECK_THROWS_WITH(LayerNorm(Tensor({4}), Tensor({3}), 1e-6f),
                    "layer normalization: a gamma [4] and a beta [3] are not of the same channels");
}
