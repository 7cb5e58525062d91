#include "support.hpp"
#include "weights_file.hpp"

#include <vector>

#include <qcnet/bits/expand.hpp>
#include <qcnet/bits/pack.hpp>
#include <qcnet/split/quantizer.hpp>

using namespace qcnet;
using test::WeightsFile;

TEST_CASE("thresholds, levels and the uniform baseline come from a file") {
  WeightsFile file;
  file.set("qcnet.thresholds", {3}, {1, -2, 3}).set("qcnet.levels", {2, 3}, {0, -4, 1, 2, 0, 6});
  file.set("qcnet.range", {2}, {-1, 4});
  file.with([](const io::Safetensors& weights) {
    CHECK(load_thresholds(weights, {1, 2, 2, 3}).value() == std::vector<float>{1, -2, 3});
    const Quantizer lloyd_max = load_lloyd_max(weights, {1, 2, 2, 3}).value();
    CHECK(lloyd_max.low == std::vector<float>{0, -4, 1});
    CHECK(lloyd_max.high == std::vector<float>{2, 0, 6});
    CHECK(lloyd_max.thresholds == std::vector<float>{1, -2, 3.5f});
    const Quantizer uniform = load_uniform(weights, 3).value();
    CHECK(uniform.low == std::vector<float>(3, -1));
    CHECK(uniform.high == std::vector<float>(3, 4));
    CHECK(uniform.thresholds == std::vector<float>(3, 1.5f));

    CHECK(load_thresholds(weights, {1, 2, 2, 4}).error().message() ==
          "qcnet.thresholds: expected shape [4], found [3]");
    CHECK(load_lloyd_max(weights, {1, 2, 2, 2}).error().message() ==
          "qcnet.levels: expected shape [2, 2], found [2, 3]");
    return 0;
  });
  const auto empty = WeightsFile();
  CHECK(empty.with([](const auto& f) {
               return load_thresholds(f, {1, 1, 1, 1});
             })
            .error()
            .message() == "qcnet.thresholds: there is no such tensor");
  CHECK(empty.with([](const auto& f) {
               return load_lloyd_max(f, {1, 1, 1, 1});
             })
            .error()
            .message() == "qcnet.levels: there is no such tensor");
  CHECK(empty.with([](const auto& f) { return load_uniform(f, 1); }).error().message() ==
        "qcnet.range: there is no such tensor");
}

TEST_CASE("tokens have thresholds and levels for each position, or for each channel") {
  const Shape tokens{1, 2, 3};
  WeightsFile file;
  file.set("qcnet.thresholds", {2, 3}, {1, 2, 3, 4, 5, 6});
  file.set("qcnet.levels", {2, 2, 3}, {0, 1, 2, 3, 4, 5, 2, 3, 4, 5, 6, 7});
  file.set("qcnet.thresholds.b", {3}, {1, 2, 3}).set("qcnet.levels.b", {2, 3}, {0, 1, 2, 2, 3, 4});
  file.with([&](const io::Safetensors& weights) {
    CHECK(load_thresholds(weights, tokens).value() == std::vector<float>{1, 2, 3, 4, 5, 6});
    const Quantizer levels = load_lloyd_max(weights, tokens).value();
    CHECK(levels.low == std::vector<float>{0, 1, 2, 3, 4, 5});
    CHECK(levels.high == std::vector<float>{2, 3, 4, 5, 6, 7});
    CHECK(levels.thresholds == load_thresholds(weights, tokens).value());
    CHECK(load_thresholds(weights, tokens, ".b").value() == std::vector<float>{1, 2, 3});
    CHECK(load_lloyd_max(weights, tokens, ".b").value().high == std::vector<float>{2, 3, 4});
    CHECK(load_thresholds(weights, {1, 5, 3}).error().message() ==
          "qcnet.thresholds: expected shape [5, 3], found [2, 3]");
    CHECK(load_lloyd_max(weights, {1, 5, 3}).error().message() ==
          "qcnet.levels: expected shape [2, 5, 3], found [2, 2, 3]");
    CHECK(load_thresholds(weights, {1, 1, 2, 3}).error().message() ==
          "qcnet.thresholds: expected shape [3], found [2, 3]");
    return 0;
  });
}

TEST_CASE("thresholding PyTorch's map gives PyTorch's bits") {
  for (const char* name : {"tiny-layer2", "tiny-relu"}) {
    const WeightsFile golden = WeightsFile::golden(std::string(name) + ".golden");
    const auto node = io::Safetensors::open(test::golden_path(std::string(name) + ".node")).value();
    const Tensor map = golden.tensor("map"), expected = golden.tensor("bits");
    const std::size_t channels = map.shape().channels();
    CHECK(channels % 8 != 0);  // bytes are not filled: that is what these files are for
    const auto thresholds = load_thresholds(node, map.shape()).value();
    const Bitplane bits = binarize(map, thresholds);
    CHECK(padding_is_zero(bits));
    Tensor ones(map.shape());
    expand_into(bits, std::vector<float>(channels, 0.0f), std::vector<float>(channels, 1.0f), ones);
    CHECK(test::identical(ones, expected));
  }
}
