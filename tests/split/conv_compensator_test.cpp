#include "support.hpp"
#include "weights_file.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <qcnet/bits/pack.hpp>
#include <qcnet/split/conv_compensator.hpp>

using namespace qcnet;
using test::contains;
using test::WeightsFile;

namespace {

const std::string prefix = "qcnet.compensator.";

Result<std::unique_ptr<Compensator>> load(const WeightsFile& file, const Shape& map,
                                          kernels::Activation activation = kernels::Activation::relu) {
  return file.with(
      [&](const io::Safetensors& weights) { return ConvCompensator::load(weights, map, activation); });
}

void add_norm(WeightsFile& file, const std::string& name, std::size_t width, std::uint32_t seed) {
  std::vector<float> variance = test::random_values(width, seed + 3);
  for (float& v : variance) v = v * v + 0.1f;
  file.set(prefix + name + ".weight", {width}, test::random_values(width, seed));
  file.set(prefix + name + ".bias", {width}, test::random_values(width, seed + 1));
  file.set(prefix + name + ".running_mean", {width}, test::random_values(width, seed + 2));
  file.set(prefix + name + ".running_var", {width}, variance);
}

WeightsFile random_compensator(std::size_t channels, std::size_t width, std::size_t blocks) {
  WeightsFile file;
  file.set("qcnet.levels", {2, channels}, test::random_values(2 * channels, 1));
  file.set(prefix + "scale", {channels}, test::random_values(channels, 2));
  file.set(prefix + "input.conv.weight", {width, channels, 1, 1}, test::random_values(width * channels, 3));
  add_norm(file, "input.bn", width, 4);
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::string name = "blocks." + std::to_string(i);
    const auto seed = static_cast<std::uint32_t>(10 + i);
    file.set(prefix + name + ".conv.weight", {width, width, 3, 3},
             test::random_values(9 * width * width, seed));
    add_norm(file, name + ".bn", width, seed);
  }
  file.set(prefix + "output.weight", {channels, width, 1, 1}, test::random_values(width * channels, 20));
  file.set(prefix + "output.bias", {channels}, test::random_values(channels, 21));
  return file;
}

/// The definition, in doubles and plain loops, normalization not folded: relu-or-identity(low + b (high -
/// low)
/// + S body(2b - 1)).
std::vector<double> by_definition(const WeightsFile& file, const Bitplane& bits, std::size_t width,
                                  std::size_t blocks, bool relu) {
  const std::size_t height = bits.shape()[1], breadth = bits.shape()[2], channels = bits.shape()[3];
  const std::size_t pixels = height * breadth;
  const auto norm = [&](const std::string& name, std::size_t c, double x) {
    const auto at = [&](const char* part) { return double{file.tensor(prefix + name + part)[c]}; };
    return (x - at(".running_mean")) / std::sqrt(at(".running_var") + 1e-5) * at(".weight") + at(".bias");
  };
  const Tensor input = file.tensor(prefix + "input.conv.weight");
  std::vector<double> hidden(pixels * width);
  for (std::size_t p = 0; p < pixels; ++p)
    for (std::size_t k = 0; k < width; ++k) {
      double sum = 0;
      for (std::size_t c = 0; c < channels; ++c)
        sum += (bits.get(p, c) ? 1 : -1) * double{input[k * channels + c]};
      hidden[p * width + k] = std::max(0.0, norm("input.bn", k, sum));
    }
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::string name = "blocks." + std::to_string(i);
    const Tensor weight = file.tensor(prefix + name + ".conv.weight");  // [width, 3, 3, width]
    std::vector<double> next(hidden.size());
    for (std::size_t p = 0; p < pixels; ++p)
      for (std::size_t k = 0; k < width; ++k) {
        double sum = 0;
        for (std::size_t tap = 0; tap < 9; ++tap) {
          const std::size_t y = p / breadth + tap / 3 - 1, x = p % breadth + tap % 3 - 1;
          if (y >= height || x >= breadth) continue;
          for (std::size_t j = 0; j < width; ++j)
            sum += hidden[(y * breadth + x) * width + j] * double{weight[(k * 9 + tap) * width + j]};
        }
        next[p * width + k] = std::max(0.0, hidden[p * width + k] + norm(name + ".bn", k, sum));
      }
    hidden = next;
  }
  const Tensor levels = file.tensor("qcnet.levels"), scale = file.tensor(prefix + "scale");
  const Tensor output = file.tensor(prefix + "output.weight"), bias = file.tensor(prefix + "output.bias");
  std::vector<double> map(pixels * channels);
  for (std::size_t p = 0; p < pixels; ++p)
    for (std::size_t c = 0; c < channels; ++c) {
      double body = double{bias[c]};
      for (std::size_t k = 0; k < width; ++k) body += hidden[p * width + k] * double{output[c * width + k]};
      const double z = double{levels[(bits.get(p, c) ? channels : 0) + c]} + double{scale[c]} * body;
      map[p * channels + c] = relu ? std::max(0.0, z) : z;
    }
  return map;
}

}  // namespace

TEST_CASE("a QCNet block computes its definition") {
  for (const std::size_t channels : {1ul, 9ul, 16ul, 20ul})
    for (const std::size_t width : {1ul, 5ul, 16ul})
      for (std::size_t blocks = 0; blocks < 3; ++blocks)
        for (const bool relu : {false, true}) {
          CAPTURE(channels);
          CAPTURE(width);
          CAPTURE(blocks);
          const Shape shape{1, 4, 5, channels};
          const WeightsFile file = random_compensator(channels, width, blocks);
          const Bitplane bits = binarize(test::random_tensor(shape, 7), std::vector<float>(channels, 0.2f));
          const auto net =
              load(file, shape, relu ? kernels::Activation::relu : kernels::Activation::none).value();
          CHECK(net->kind() == "convolutional QCNet");
          CHECK(net->multiply_adds() == 20 * (2 * channels * width + blocks * 9 * width * width));
          const std::vector<double> expected = by_definition(file, bits, width, blocks, relu);
          Tensor as_floats(shape), map(shape);
          std::copy(expected.begin(), expected.end(), as_floats.data());
          for (int again = 0; again < 2; ++again) {  // its memory is used again
            net->reconstruct_into(bits, map);
            CHECK(test::relative_difference(map, as_floats) < 2e-6);
          }
        }
}

TEST_CASE("a QCNet computes what PyTorch computes") {
  for (const char* method : {"qcnet0", "qcnet1", "qcnet2"}) {
    const WeightsFile golden = WeightsFile::golden("tiny-layer2.golden");
    const Tensor expected = golden.tensor(std::string(method) + ".map");
    const Bitplane bits = binarize(golden.tensor("bits"), std::vector<float>(12, 0.5f));
    const auto net =
        load(WeightsFile::golden(std::string("tiny-layer2-") + method + ".server"), expected.shape()).value();
    Tensor map(expected.shape());
    net->reconstruct_into(bits, map);
    CHECK(test::relative_difference(map, expected) < 1e-5);
  }
}

TEST_CASE("what is wrong with a QCNet's weights is said by the tensor's name") {
  const Shape map{1, 4, 5, 9};
  const WeightsFile good = random_compensator(9, 4, 1);
  const auto said = [&](const WeightsFile& file) {
    const auto net = load(file, map);
    return net.ok() ? "no error" : net.error().message();
  };
  const auto without = [&](const std::string& name) { return said(WeightsFile(good).drop({name})); };
  const auto reshaped = [&](const std::string& name, const std::vector<std::size_t>& shape) {
    return said(WeightsFile(good).set(prefix + name, shape));
  };
  CHECK(said(good) == "no error");
  for (const std::string name :
       {"scale", "input.bn.weight", "blocks.0.bn.bias", "blocks.0.bn.running_mean", "output.weight"})
    CHECK(without(prefix + name) == prefix + name + ": there is no such tensor");
  CHECK(without("qcnet.levels") == "qcnet.levels: there is no such tensor");

  CHECK(reshaped("input.conv.weight", {4, 8, 1, 1}) ==
        prefix + "input.conv.weight: expected shape [4, 9, 1, 1], found [4, 8, 1, 1]");
  CHECK(reshaped("input.conv.weight", {4, 9, 3, 3}) ==
        prefix + "input.conv.weight: expected shape [4, 9, 1, 1], found [4, 9, 3, 3]");
  CHECK(reshaped("blocks.0.conv.weight", {4, 4, 1, 1}) ==
        prefix + "blocks.0.conv.weight: expected shape [4, 4, 3, 3], found [4, 4, 1, 1]");
  CHECK(contains(reshaped("blocks.0.conv.weight", {5, 4, 3, 3}),
                 prefix + "blocks.0.bn.weight: expected shape [5]"));
  CHECK(reshaped("output.weight", {9, 3, 1, 1}) ==
        prefix + "output.weight: expected shape [9, 4, 1, 1], found [9, 3, 1, 1]");
  for (const std::size_t outputs : {8ul, 10ul}) {  // too few, too many
    WeightsFile file = good;
    file.set(prefix + "output.weight", {outputs, 4, 1, 1}).set(prefix + "output.bias", {outputs});
    CHECK(contains(said(file),
                   prefix + "output: expected 9 output channels, found " + std::to_string(outputs)));
  }
  CHECK(reshaped("output.bias", {8}) == prefix + "output.bias: expected shape [9], found [8]");
  CHECK(reshaped("scale", {9, 1}) == prefix + "scale: expected shape [9], found [9, 1]");
  WeightsFile empty = good;
  empty.set(prefix + "input.conv.weight", {0, 9, 1, 1});
  for (const char* part : {"weight", "bias", "running_mean", "running_var"})
    empty.set(prefix + "input.bn." + part, {0});
  CHECK(contains(said(empty), prefix + "input.conv"));
  CHECK(said(WeightsFile(good).poke(prefix + "scale", 2, std::numeric_limits<float>::quiet_NaN())) ==
        prefix + "scale: holds NaN or infinity, a weight must be finite");
  CHECK(said(WeightsFile(good).poke(prefix + "blocks.0.bn.running_var", 0, -1)) ==
        prefix + "blocks.0.bn.running_var: a variance is negative");
}

TEST_CASE("a hole in a QCNet's blocks is an error, not a shorter QCNet") {
  WeightsFile file = random_compensator(9, 4, 3);
  file.drop({prefix + "blocks.1."});
  CHECK(load(file, {1, 4, 5, 9}).error().message() ==
        prefix + "blocks.1.conv.weight: there is no such tensor");
  // The last one's convolution missing.
  file = random_compensator(9, 4, 2);
  file.drop({prefix + "blocks.1.conv"});
  CHECK(load(file, {1, 4, 5, 9}).error().message() ==
        prefix + "blocks.1.conv.weight: there is no such tensor");
}
