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
    CHECK(load_thresholds(weights, 3).value() == std::vector<float>{1, -2, 3});
    const Quantizer lloyd_max = load_lloyd_max(weights, 3).value();
    CHECK(lloyd_max.low == std::vector<float>{0, -4, 1});
    CHECK(lloyd_max.high == std::vector<float>{2, 0, 6});
    CHECK(lloyd_max.thresholds == std::vector<float>{1, -2, 3.5f});
    const Quantizer uniform = load_uniform(weights, 3).value();
    CHECK(uniform.low == std::vector<float>(3, -1));
    CHECK(uniform.high == std::vector<float>(3, 4));
    CHECK(uniform.thresholds == std::vector<float>(3, 1.5f));

    CHECK(load_thresholds(weights, 4).error().message() == "qcnet.thresholds: expected shape [4], found [3]");
    CHECK(load_lloyd_max(weights, 2).error().message() ==
          "qcnet.levels: expected shape [2, 2], found [2, 3]");
    return 0;
  });
  const auto empty = WeightsFile();
  CHECK(empty.with([](const auto& f) { return load_thresholds(f, 1); }).error().message() ==
        "qcnet.thresholds: there is no such tensor");
  CHECK(empty.with([](const auto& f) { return load_lloyd_max(f, 1); }).error().message() ==
        "qcnet.levels: there is no such tensor");
  CHECK(empty.with([](const auto& f) { return load_uniform(f, 1); }).error().message() ==
        "qcnet.range: there is no such tensor");
}

TEST_CASE("thresholding PyTorch's map gives PyTorch's bits") {
  for (const char* name : {"tiny-layer2", "tiny-relu"}) {
    const WeightsFile golden = WeightsFile::golden(std::string(name) + ".golden");
    const auto node = io::Safetensors::open(test::golden_path(std::string(name) + ".node")).value();
    const Tensor map = golden.tensor("map"), expected = golden.tensor("bits");
    const std::size_t channels = map.shape().channels();
    CHECK(channels % 8 != 0);  // bytes are not filled: that is what these files are for
    const auto thresholds = load_thresholds(node, channels).value();
    const Bitplane bits = binarize(map, thresholds);
    CHECK(padding_is_zero(bits));
    Tensor ones(map.shape());
    expand_into(bits, std::vector<float>(channels, 0.0f), std::vector<float>(channels, 1.0f), ones);
    CHECK(test::identical(ones, expected));
  }
}
