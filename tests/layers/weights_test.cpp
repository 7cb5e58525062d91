#include "allocations.hpp"
#include "support.hpp"
#include "weights_file.hpp"

#include <cmath>
#include <limits>
#include <string>

#include <qcnet/layers/weights.hpp>

using namespace qcnet;
using test::WeightsFile;

TEST_CASE("load_tensor refuses what is missing, not finite or of another shape") {
  WeightsFile file;
  file.set("a", {2, 3}, {1, 2, 3, 4, 5, 6}).set("nan", {2}, {1, std::numeric_limits<float>::quiet_NaN()});
  file.set("inf", {1}, {-std::numeric_limits<float>::infinity()});
  file.with([](const io::Safetensors& weights) {
    CHECK(load_tensor(weights, "a").value()[5] == 6.0f);
    CHECK(load_tensor(weights, "a", {2, 3}).ok());
    CHECK(load_tensor(weights, "a", {3, 2}).error().message() == "a: expected shape [3, 2], found [2, 3]");
    CHECK(load_tensor(weights, "b").error().message() == "b: there is no such tensor");
    CHECK(load_tensor(weights, "nan").error().message() ==
          "nan: holds NaN or infinity, a weight must be finite");
    CHECK(load_tensor(weights, "inf", {1}).error().message() ==
          "inf: holds NaN or infinity, a weight must be finite");
    const auto allocated = [](const auto& load) {
      const std::size_t before = allocations();
      CHECK(load().ok());
      return allocations() - before;
    };
    // A tensor is read once, whoever asks for its shape.
    const Shape expected{2, 3};
    CHECK(allocated([&] { return load_tensor(weights, "a", expected); }) ==
          allocated([&] { return load_tensor(weights, "a"); }));
    return 0;
  });
}

TEST_CASE("a weight without elements is an error, whatever its other dimensions are") {
  const std::size_t huge = Shape::max_elements / 16;
  WeightsFile file;
  file.set("c.weight", {huge, 0, 3, 3}).set("l.weight", {0, 4}).set("l.bias", {0}).set("m.weight", {huge, 0});
  file.with([&](const io::Safetensors& weights) {
    CHECK(load_conv_weights(weights, "c").error().message() ==
          "c.weight: expected at least one element, found shape [" + std::to_string(huge) + ", 0, 3, 3]");
    const auto load_linear = [&](const std::string& name, std::size_t inputs) {
      return load_linear_weights(weights, name + ".weight", name + ".bias", inputs).error().message();
    };
    CHECK(load_linear("l", 4) == "l.weight: expected at least one element, found shape [0, 4]");
    CHECK(load_linear("m", 0) ==
          "m.weight: expected at least one element, found shape [" + std::to_string(huge) + ", 0]");
    return 0;
  });
  for (const Shape& shape : {Shape{huge, 0, 1, 1}, {1, huge, 0, 1}, {0, huge, 1, 1}})
    CHECK(channels_last(Tensor(shape)).span().empty());
}

TEST_CASE("a convolution lacks a bias only where a normalization adds one") {
  WeightsFile file;
  file.set("c.weight", {2, 1, 1, 1}, {1});
  for (const char* name : {"n.weight", "n.bias", "n.running_mean", "n.running_var"}) file.set(name, {2}, {1});
  file.with([](const io::Safetensors& weights) {
    CHECK(load_conv_weights(weights, "c").error().message() == "c.bias: there is no such tensor");
    CHECK(load_conv_weights(weights, "c", "n").ok());
    return 0;
  });
}

TEST_CASE("channels_last reorders [N, C, H, W]") {
  const std::size_t n = 2, c = 3, h = 4, w = 5;
  const Tensor from = test::random_tensor({n, c, h, w}, 1), to = channels_last(from);
  CHECK(to.shape() == Shape{n, h, w, c});
  for (std::size_t i = 0; i < from.shape().elements(); ++i) {
    const std::size_t x = i % w, y = i / w % h, k = i / w / h % c, b = i / w / h / c;
    CHECK(to[((b * h + y) * w + x) * c + k] == from[i]);
  }
}

TEST_CASE("a variance of zero is served by eps; weights that overflow when folded are an error") {
  WeightsFile file;
  file.set("c.weight", {1, 1, 1, 1}, {1});
  for (const char* name : {"n.weight", "n.bias", "n.running_mean", "n.running_var"}) file.set(name, {1}, {0});
  const auto load = [](const io::Safetensors& weights) { return load_conv_weights(weights, "c", "n"); };
  CHECK(file.with(load).ok());  // eps keeps it finite
  // Weights that overflow when the normalization is folded in: finite alone, not together.
  file.set("c.weight", {1, 1, 1, 1}, {1e38f}).set("n.weight", {1}, {1e38f});
  CHECK(file.with(load).error().message() == "n: folding it into c gives a weight that is not finite");
}

TEST_CASE("batch normalization folds into weights and bias") {
  const std::size_t cout = 3, cin = 2;
  WeightsFile file;
  file.set("c.weight", {cout, cin, 1, 1}, {1, 2, 3, 4, 5, 6}).set("c.bias", {cout}, {0.5f, -1, 2});
  file.set("n.weight", {cout}, {2, -1, 0}).set("n.bias", {cout}, {1, 2, 3});
  file.set("n.running_mean", {cout}, {0.25f, 1, -1}).set("n.running_var", {cout}, {4, 0, 9});
  file.with([&](const io::Safetensors& weights) {
    const ConvWeights plain = load_conv_weights(weights, "c").value();
    CHECK(plain.bias == std::vector<float>{0.5f, -1, 2});
    CHECK(plain.weights[3] == 4.0f);

    const ConvWeights folded = load_conv_weights(weights, "c", "n").value();
    // The second channel's variance is 0: eps alone keeps it finite.
    const double scale[] = {2 / std::sqrt(4 + 1e-5), -1 / std::sqrt(1e-5), 0};
    const float bias[] = {0.5f, -1, 2}, beta[] = {1, 2, 3}, mean[] = {0.25f, 1, -1};
    for (std::size_t o = 0; o < cout; ++o) {
      for (std::size_t i = 0; i < cin; ++i)
        CHECK(folded.weights[o * cin + i] ==
              doctest::Approx(scale[o] * static_cast<double>(plain.weights[o * cin + i])));
      CHECK(folded.bias[o] ==
            doctest::Approx(double{beta[o]} + (double{bias[o]} - double{mean[o]}) * scale[o]));
    }
    return 0;
  });
}

TEST_CASE("weights put together by hand must fit") {
  CHECK_THROWS_WITH(channels_last(Tensor({8, 3})),
                    "a tensor [8, 3] has no channels to be put last: 4 dimensions are needed");
  ConvWeights conv{Tensor({8, 1, 1, 2}), std::vector<float>(8)};
  const BatchNorm norm{Tensor({8}), Tensor({8}), Tensor({4}), Tensor({8})};
  CHECK(fold_batch_norm(conv, norm, 1e-5, "bn", "conv").error().message() ==
        "bn: is of 4 channels, the convolution of 8");
}
