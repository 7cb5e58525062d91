#include "models/golden_model.hpp"

#include <cmath>
#include <string>
#include <vector>

#include <qcnet/models/yolov3_tiny_darknet.hpp>

using namespace qcnet;
using namespace qcnet::test;

namespace {

const std::size_t convolutions[] = {0, 2, 4, 6, 8, 10, 12, 13, 14, 15, 18, 21, 22};

/// Seeded weights of a yolov3-tiny under their names; `least` is the smallest variance.
WeightsFile named(std::size_t classes, std::size_t width, float least) {
  const std::size_t outputs = 3 * (5 + classes);
  const std::size_t filters[] = {1, 2, 4, 8, 16, 32, 64, 16, 32, 0, 8, 16, 0};
  const std::size_t channels[] = {0, 1, 2, 4, 8, 16, 32, 64, 16, 32, 16, 24, 16};
  WeightsFile file;
  for (std::uint32_t i = 0; i < std::size(convolutions); ++i) {
    const std::string name = "layers." + std::to_string(convolutions[i]);
    const std::size_t out = filters[i] == 0 ? outputs : filters[i] * width;
    const std::size_t in = i == 0 ? 3 : channels[i] * width;
    const std::size_t size = i == 7 || i == 9 || i == 10 || i == 12 ? 1 : 3;
    std::vector<float> weights = random_values(out * in * size * size, i);
    for (float& w : weights) w /= std::sqrt(static_cast<float>(in * size * size));
    file.set(name + ".conv.weight", {out, in, size, size}, weights);
    if (filters[i] == 0) {
      file.set(name + ".conv.bias", {out}, random_values(out, i + 100));
      continue;
    }
    std::vector<float> variance = random_values(out, i + 400), scale = random_values(out, i + 200);
    for (float& v : variance) v = least + v * v;
    for (float& s : scale) s = 1.0f + 0.3f * s;
    file.set(name + ".bn.bias", {out}, random_values(out, i + 100)).set(name + ".bn.weight", {out}, scale);
    file.set(name + ".bn.running_mean", {out}, random_values(out, i + 300));
    file.set(name + ".bn.running_var", {out}, variance);
  }
  return file;
}

/// The same weights as Darknet would write them.
std::string darknet(const WeightsFile& file, std::int32_t minor) {
  const std::int32_t version[] = {0, minor, 0};
  std::string bytes(reinterpret_cast<const char*>(version), sizeof version);
  bytes.append(minor >= 2 ? 8 : 4, '\1');
  for (const std::size_t layer : convolutions)
    for (const char* part :
         {"conv.bias", "bn.bias", "bn.weight", "bn.running_mean", "bn.running_var", "conv.weight"}) {
      const auto found = file.tensors.find("layers." + std::to_string(layer) + "." + part);
      if (found != file.tensors.end()) bytes += found->second.data;
    }
  return bytes;
}

Result<Network> load(const std::string& bytes, std::size_t classes, std::size_t width) {
  return models::yolov3_tiny(io::DarknetWeights::parse(as_bytes(bytes)).value(), classes, width);
}

std::string error_of(const std::string& bytes, std::size_t classes, std::size_t width = 1) {
  const auto network = load(bytes, classes, width);
  return network.ok() ? "no error" : network.error().message();
}

void check_same(const Network& a, const Network& b, const Shape& shape) {
  const Tensor picture = random_tensor(shape, 7);
  const ConstTensorView input[] = {picture};
  const auto of_a = a.run(input).value(), of_b = b.run(input).value();
  REQUIRE(of_a.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(of_a[i].view().pixel(0)[0] != 0.0f);
    CHECK(identical(of_a[i], of_b[i]));
  }
}

}  // namespace

TEST_CASE("Darknet's file gives the network of a safetensors file with its values, to the last bit") {
  for (const std::size_t classes : Sizes{1, 3, 20})
    for (const std::int32_t minor : {1, 2}) {
      const WeightsFile file = named(classes, 2, 1e-6f);
      check_same(load(darknet(file, minor), classes, 2).value(), golden::build(file).value(), {1, 64, 96, 3});
    }
}

TEST_CASE("the published layout has the published size") {
  const WeightsFile file = named(80, 16, 0.1f);
  const std::string bytes = darknet(file, 2);
  CHECK(bytes.size() == 35'434'956);
  const Network network = models::yolov3_tiny(io::DarknetWeights::parse(as_bytes(bytes)).value(), 80).value();
  check_same(network, golden::build(file).value(), {1, 32, 32, 3});
}

TEST_CASE("a Darknet file of another size is refused with what may be wrong") {
  const std::string bytes = darknet(named(3, 1, 0.1f), 2);
  const std::string size = std::to_string(bytes.size());
  CHECK(error_of(bytes, 3) == "no error");
  CHECK(contains(error_of(bytes, 4), "yolov3-tiny of 4 classes: the file has " + size + " bytes"));
  CHECK(contains(error_of(bytes, 4), "bytes too short; it fits 3 classes"));
  CHECK(contains(error_of(bytes, 2), "bytes too long; it fits 3 classes"));
  CHECK(error_of(bytes.substr(0, bytes.size() - 4), 3) ==
        "yolov3-tiny of 3 classes: the file has " + std::to_string(bytes.size() - 4) +
            " bytes, the network's weights take " + size + ": it is 4 bytes too short");
  CHECK(contains(error_of(bytes + "123", 3), "it is 3 bytes too long"));
  CHECK_FALSE(contains(error_of(bytes + "123", 3), "fits"));
  CHECK(contains(error_of(bytes.substr(0, 20), 3), "bytes too short"));
  // The older header is 4 bytes shorter: one taken for the other never fits.
  CHECK(contains(error_of(darknet(named(3, 1, 0.1f), 1) + "1234", 3), "it is 4 bytes too long"));
  CHECK(contains(error_of(bytes, 3, 2), "bytes too short"));
  CHECK(contains(error_of(bytes, 3, 0), "there is no yolov3-tiny of 3 classes and width 0"));
  const std::size_t most = ~std::size_t{0};
  CHECK(contains(error_of(bytes, most), "there is no yolov3-tiny of " + std::to_string(most) + " classes"));
}

TEST_CASE("what a Darknet file holds that no network can have is said with its layer") {
  WeightsFile file = named(3, 1, 0.1f);
  CHECK(error_of(darknet(WeightsFile(file).poke("layers.12.conv.weight", 9, NAN), 2), 3) ==
        "layers.12: holds NaN or infinity, a weight must be finite");
  CHECK(error_of(darknet(WeightsFile(file).poke("layers.21.bn.running_var", 1, -1.0f), 2), 3) ==
        "layers.21.bn.running_var: a variance is negative");
}
