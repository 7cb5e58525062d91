#include "support.hpp"
#include "weights_file.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <qcnet/bits/pack.hpp>
#include <qcnet/bits/reference.hpp>
#include <qcnet/split/conv_compensator.hpp>

using namespace qcnet;
using test::contains;
using test::WeightsFile;

namespace {

const std::string prefix = "qcnet.compensator.";

Result<std::unique_ptr<Compensator>> load_conv(const WeightsFile& file, const Shape& map, const Shape& sent,
                                               kernels::Activation activation = kernels::Activation::relu) {
  return file.with(
      [&](const io::Safetensors& weights) { return ConvCompensator::load(weights, map, sent, activation); });
}
Result<std::unique_ptr<Compensator>> load_conv(const WeightsFile& file, const Shape& map,
                                               kernels::Activation activation = kernels::Activation::relu) {
  return load_conv(file, map, map, activation);
}

void add_norm(WeightsFile& file, const std::string& name, std::size_t width, std::uint32_t seed) {
  std::vector<float> variance = test::random_values(width, seed + 3);
  for (float& v : variance) v = v * v + 0.1f;
  file.set(prefix + name + ".weight", {width}, test::random_values(width, seed));
  file.set(prefix + name + ".bias", {width}, test::random_values(width, seed + 1));
  file.set(prefix + name + ".running_mean", {width}, test::random_values(width, seed + 2));
  file.set(prefix + name + ".running_var", {width}, variance);
}

enum class Block { conv, depthwise };

/// A block's weights; a depthwise one has 3 inner channels for each of its width and a 5x5 kernel.
void add_block(WeightsFile& file, Block block, const std::string& name, std::size_t width,
               std::uint32_t seed) {
  const auto add = [&](const std::string& tensor, const std::vector<std::size_t>& shape) {
    std::size_t elements = 1;
    for (const std::size_t dim : shape) elements *= dim;
    file.set(prefix + name + tensor, shape, test::random_values(elements, seed++));
  };
  if (block == Block::conv) {
    add(".conv.weight", {width, width, 3, 3});
    return add_norm(file, name + ".bn", width, seed);
  }
  add(".depthwise.conv.weight", {width, 1, 5, 5});
  add(".up.weight", {3 * width, width, 1, 1});
  add(".up.bias", {3 * width});
  add(".down.weight", {width, 3 * width, 1, 1});
  add(".down.bias", {width});
  add_norm(file, name + ".depthwise.bn", width, seed);
}

WeightsFile random_compensator(std::size_t channels, std::size_t width, std::size_t blocks,
                               Block block = Block::conv) {
  WeightsFile file;
  file.set("qcnet.levels", {2, channels}, test::random_values(2 * channels, 1));
  file.set(prefix + "scale", {channels}, test::random_values(channels, 2));
  file.set(prefix + "input.conv.weight", {width, channels, 1, 1}, test::random_values(width * channels, 3));
  add_norm(file, "input.bn", width, 4);
  for (std::size_t i = 0; i < blocks; ++i)
    add_block(file, block, "blocks." + std::to_string(i), width, static_cast<std::uint32_t>(10 + 10 * i));
  file.set(prefix + "output.weight", {channels, width, 1, 1}, test::random_values(width * channels, 20));
  file.set(prefix + "output.bias", {channels}, test::random_values(channels, 21));
  return file;
}

/// Replaces the levels, and makes the first layer one of `bits` a pixel.
void add_linear_dequantizer(WeightsFile& file, std::size_t channels, std::size_t bits, std::size_t width) {
  file.drop({"qcnet.levels"});
  file.set("qcnet.dequantizer.weight", {channels, bits, 1, 1}, test::random_values(channels * bits, 30));
  file.set("qcnet.dequantizer.bias", {channels}, test::random_values(channels, 31));
  file.set(prefix + "input.conv.weight", {width, bits, 1, 1}, test::random_values(width * bits, 3));
}

/// A QCNet in doubles and plain loops, normalization not folded.
class Definition {
 public:
  Definition(const WeightsFile& file, const Bitplane& bits, const Bitplane& received)
      : file_(file), bits_(bits), received_(received), height_(bits.shape()[1]), breadth_(bits.shape()[2]) {}

  /// relu-or-identity(dequantize(b) + S body(2b - 1)), b = 1/2 for a bit that did not arrive
  Tensor map(std::size_t blocks, Block block, bool relu) const {
    const std::size_t inputs = bits_.shape().channels();
    Values signs{inputs, std::vector<double>(pixels() * inputs)};
    for (std::size_t p = 0; p < pixels(); ++p)
      for (std::size_t c = 0; c < inputs; ++c)
        signs.at[p * inputs + c] = !received_.get(p, c) ? 0 : bits_.get(p, c) ? 1 : -1;
    Values hidden = rectified(normalized(convolved(signs, "input.conv"), "input.bn"));
    for (std::size_t i = 0; i < blocks; ++i) {
      const std::string name = "blocks." + std::to_string(i);
      if (block == Block::conv) {
        hidden = rectified(sum(hidden, normalized(convolved(hidden, name + ".conv"), name + ".bn")));
      } else {
        const Values mixed = normalized(convolved(hidden, name + ".depthwise.conv"), name + ".depthwise.bn");
        hidden = sum(hidden, convolved(rectified(convolved(mixed, name + ".up")), name + ".down"));
      }
    }
    const Values body = convolved(hidden, "output"), dequantized = this->dequantized(signs);
    const Tensor scale = file_.tensor(prefix + "scale");
    Tensor map({1, height_, breadth_, body.channels});
    for (std::size_t i = 0; i < body.at.size(); ++i) {
      const double z = dequantized.at[i] + double{scale[i % body.channels]} * body.at[i];
      map[i] = static_cast<float>(relu ? std::max(0.0, z) : z);
    }
    return map;
  }

 private:
  /// `[pixels, channels]`.
  struct Values {
    std::size_t channels;
    std::vector<double> at;
  };
  std::size_t pixels() const { return height_ * breadth_; }

  /// low + b (high - low), or bias + weight (2b - 1)
  Values dequantized(Values signs) const {
    if (file_.tensors.count("qcnet.levels") == 0) return convolved_by(signs, "qcnet.dequantizer");
    const Tensor levels = file_.tensor("qcnet.levels");
    for (std::size_t i = 0; i < signs.at.size(); ++i) {
      const std::size_t c = i % signs.channels;
      const double low = double{levels[c]}, high = double{levels[signs.channels + c]};
      signs.at[i] = (low + high + signs.at[i] * (high - low)) / 2;
    }
    return signs;
  }

  Values convolved(const Values& x, const std::string& name) const { return convolved_by(x, prefix + name); }

  /// Any odd kernel, zeros around the map; as many groups as the weight's shape says.
  Values convolved_by(const Values& x, const std::string& name) const {
    const Tensor weight = file_.tensor(name + ".weight");  // [outputs, K, K, inputs / groups]
    const Tensor bias = file_.tensors.count(name + ".bias") != 0 ? file_.tensor(name + ".bias") : Tensor();
    const std::size_t outputs = weight.shape()[0], kernel = weight.shape()[1], depth = weight.shape()[3];
    Values y{outputs, std::vector<double>(pixels() * outputs)};
    for (std::size_t p = 0; p < pixels(); ++p)
      for (std::size_t k = 0; k < outputs; ++k) {
        double sum = bias.span().empty() ? 0 : double{bias[k]};
        for (std::size_t tap = 0; tap < kernel * kernel; ++tap) {
          const std::size_t row = p / breadth_ + tap / kernel - kernel / 2;
          const std::size_t column = p % breadth_ + tap % kernel - kernel / 2;
          if (row >= height_ || column >= breadth_) continue;
          const std::size_t first = depth == x.channels ? 0 : k / (outputs / (x.channels / depth)) * depth;
          for (std::size_t j = 0; j < depth; ++j)
            sum += x.at[(row * breadth_ + column) * x.channels + first + j] *
                   double{weight[(k * kernel * kernel + tap) * depth + j]};
        }
        y.at[p * outputs + k] = sum;
      }
    return y;
  }

  Values normalized(Values x, const std::string& name) const {
    const auto read = [&](const char* part) { return file_.tensor(prefix + name + part); };
    const Tensor gamma = read(".weight"), beta = read(".bias"), mean = read(".running_mean"),
                 variance = read(".running_var");
    for (std::size_t i = 0; i < x.at.size(); ++i) {
      const std::size_t c = i % x.channels;
      x.at[i] = (x.at[i] - double{mean[c]}) / std::sqrt(double{variance[c]} + 1e-5) * double{gamma[c]} +
                double{beta[c]};
    }
    return x;
  }

  static Values rectified(Values x) {
    for (double& v : x.at) v = std::max(0.0, v);
    return x;
  }
  static Values sum(Values x, const Values& y) {
    for (std::size_t i = 0; i < x.at.size(); ++i) x.at[i] += y.at[i];
    return x;
  }

  const WeightsFile& file_;
  const Bitplane &bits_, &received_;
  std::size_t height_, breadth_;
};

}  // namespace

TEST_CASE("a QCNet computes its definition") {
  for (const Block block : {Block::conv, Block::depthwise})
    for (const std::size_t channels : {1ul, 9ul, 16ul, 20ul})
      for (const std::size_t width : {1ul, 5ul, 16ul})
        for (std::size_t blocks = 0; blocks < 3; ++blocks)
          for (const bool relu : {false, true}) {
            CAPTURE(channels);
            CAPTURE(width);
            CAPTURE(blocks);
            const Shape shape{1, 4, 5, channels};
            const WeightsFile file = random_compensator(channels, width, blocks, block);
            const Bitplane bits = binarize(test::random_tensor(shape, 7), std::vector<float>(channels, 0.2f));
            const auto net =
                load_conv(file, shape, relu ? kernels::Activation::relu : kernels::Activation::none).value();
            CHECK(net->kind() == "convolutional QCNet");
            const std::size_t each = block == Block::conv ? 9 * width * width : (25 + 6 * width) * width;
            CHECK(net->multiply_adds() == 20 * (2 * channels * width + blocks * each));
            const Bitplane all = bits::reference::all_received(shape), some = test::random_bits(shape, 8);
            const Tensor expected = Definition(file, bits, all).map(blocks, block, relu);
            const Tensor partly = Definition(file, bits, some).map(blocks, block, relu);
            Tensor map(shape);
            for (int again = 0; again < 2; ++again) {  // its memory is used again
              net->reconstruct_into(bits, map);
              CHECK(test::relative_difference(map, expected) < 2e-6);
              net->reconstruct_into(bits, some, map);
              CHECK(test::relative_difference(map, partly) < 4e-6);  // twice the roundings
            }
          }
}

TEST_CASE("a QCNet over a linear dequantization computes its definition") {
  for (const std::size_t channels : {1ul, 9ul, 20ul})
    for (const std::size_t inputs : {1ul, 9ul, 31ul})
      for (const bool relu : {false, true}) {
        CAPTURE(channels);
        CAPTURE(inputs);
        const std::size_t width = 5;
        const Shape shape{1, 4, 5, channels}, sent{1, 4, 5, inputs};
        WeightsFile file = random_compensator(channels, width, 1);
        add_linear_dequantizer(file, channels, inputs, width);
        const auto net =
            load_conv(file, shape, sent, relu ? kernels::Activation::relu : kernels::Activation::none)
                .value();
        CHECK(net->multiply_adds() ==
              20 * (inputs * channels + inputs * width + 9 * width * width + width * channels));
        const Bitplane bits = test::random_bits(sent, 7), some = test::random_bits(sent, 8);
        Tensor map(shape);
        net->reconstruct_into(bits, map);
        const Bitplane all = bits::reference::all_received(sent);
        CHECK(test::relative_difference(map, Definition(file, bits, all).map(1, Block::conv, relu)) < 5e-6);
        net->reconstruct_into(bits, some, map);
        CHECK(test::relative_difference(map, Definition(file, bits, some).map(1, Block::conv, relu)) < 5e-6);
      }
}

TEST_CASE("a QCNet computes what PyTorch computes") {
  for (const char* method : {"qcnet0", "qcnet1", "qcnet2", "depthwise"}) {
    const WeightsFile golden = WeightsFile::golden("tiny-layer2.golden");
    const Tensor expected = golden.tensor(std::string(method) + ".map");
    const Bitplane bits = binarize(golden.tensor("bits"), std::vector<float>(12, 0.5f));
    const auto net =
        load_conv(WeightsFile::golden(std::string("tiny-layer2-") + method + ".server"), expected.shape())
            .value();
    Tensor map(expected.shape());
    net->reconstruct_into(bits, map);
    CHECK(test::relative_difference(map, expected) < 1e-5);
  }
}

TEST_CASE("what is wrong with a QCNet's weights is said by the tensor's name") {
  const Shape map{1, 4, 5, 9};
  const WeightsFile good = random_compensator(9, 4, 1);
  const auto said = [&](const WeightsFile& file) {
    const auto net = load_conv(file, map);
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
  WeightsFile linear = good;
  add_linear_dequantizer(linear, 9, 12, 4);
  CHECK(load_conv(linear, map, {1, 4, 5, 12}).ok());
  CHECK(load_conv(linear, map, {1, 4, 5, 11}).error().message() ==
        "qcnet.dequantizer.weight: expected shape [9, 11, 1, 1], found [9, 12, 1, 1]");
  linear.set(prefix + "input.conv.weight", {4, 9, 1, 1});
  CHECK(load_conv(linear, map, {1, 4, 5, 12}).error().message() ==
        prefix + "input.conv.weight: expected shape [4, 12, 1, 1], found [4, 9, 1, 1]");

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
  CHECK(said(empty) == prefix + "input.conv.weight: expected at least one element, found shape [0, 9, 1, 1]");
  CHECK(said(WeightsFile(good).poke(prefix + "scale", 2, std::numeric_limits<float>::quiet_NaN())) ==
        prefix + "scale: holds NaN or infinity, a weight must be finite");
  CHECK(said(WeightsFile(good).poke(prefix + "scale", 2, 1e38f).poke(prefix + "output.bias", 2, 1e38f)) ==
        prefix + "scale: folding it into the layer before it gives a weight that is not finite");
  CHECK(load_conv(good, {1, 17, 9}).error().message() ==
        prefix + "input: this QCNet is for feature maps, the map is [1, 17, 9]; one for tokens has " +
            prefix + "positions");
  CHECK(said(WeightsFile(good).poke(prefix + "blocks.0.bn.running_var", 0, -1)) ==
        prefix + "blocks.0.bn.running_var: a variance is negative");
}

TEST_CASE("what is wrong with a depthwise block is said by the tensor's name") {
  const Shape map{1, 4, 5, 9};
  const WeightsFile good = random_compensator(9, 4, 2, Block::depthwise);
  const auto said = [&](const WeightsFile& file) {
    const auto net = load_conv(file, map);
    return net.ok() ? "no error" : net.error().message();
  };
  const std::string block = prefix + "blocks.1.";
  CHECK(said(good) == "no error");
  for (const std::string name :
       {"depthwise.conv.weight", "depthwise.bn.running_var", "up.weight", "down.weight"})
    CHECK(said(WeightsFile(good).drop({block + name})) == block + name + ": there is no such tensor");
  CHECK(said(WeightsFile(good).set(block + "depthwise.conv.weight", {4, 1, 4, 4})) ==
        block + "depthwise.conv.weight: expected shape [4, 1, K, K] with an odd K, found [4, 1, 4, 4]");
  CHECK(said(WeightsFile(good).set(block + "up.weight", {12, 5, 1, 1})) ==
        block + "up.weight: expected shape [12, 4, 1, 1], found [12, 5, 1, 1]");
  CHECK(said(WeightsFile(good).set(block + "down.weight", {4, 11, 1, 1})) ==
        block + "down.weight: expected shape [4, 12, 1, 1], found [4, 11, 1, 1]");
  CHECK(said(WeightsFile(good).set(block + "down.weight", {5, 12, 1, 1}).set(block + "down.bias", {5})) ==
        block + "down: expected 4 output channels, found 5");
}

TEST_CASE("a hole in a QCNet's blocks is an error, not a shorter QCNet") {
  WeightsFile file = random_compensator(9, 4, 3);
  file.drop({prefix + "blocks.1."});
  CHECK(load_conv(file, {1, 4, 5, 9}).error().message() ==
        prefix + "blocks.1.conv.weight: there is no such tensor");
  // The last one's convolution missing.
  file = random_compensator(9, 4, 2);
  file.drop({prefix + "blocks.1.conv"});
  CHECK(load_conv(file, {1, 4, 5, 9}).error().message() ==
        prefix + "blocks.1.conv.weight: there is no such tensor");
}

TEST_CASE("a hidden map that no memory holds is refused before it is made") {
  WeightsFile file;
  file.set("qcnet.levels", {2, 1}).set(prefix + "input.conv.weight", {17, 1, 1, 1});
  add_norm(file, "input.bn", 17, 1);
  const Shape map{1, 8192, 8192, 1};
  CHECK(load_conv(file, map).error().message() ==
        prefix + "input.conv.weight: 17 outputs for each pixel of a map [1, 8192, 8192, 1] are too many");
}
