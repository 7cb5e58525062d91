#include "golden_model.hpp"

#include <cmath>
#include <random>
#include <vector>

#include <qcnet/models/binary_head.hpp>

using namespace golden;

namespace {

struct Size {
  std::size_t inputs, outputs, stride;
};
// One of each shortcut: itself, pooled, pooled and doubled, none; channels that leave padding bits.
const std::vector<Size> sizes_of_layers = {{9, 9, 1}, {9, 9, 2}, {9, 18, 2}, {18, 18, 1}, {18, 5, 1}};
constexpr std::size_t stem_channels = 9, picture_side = 24;

std::string layer_name(std::size_t i) {
  return "binary.layers." + std::to_string(i);
}

/// Multiples of 1 / `steps` up to `most` of them.
std::vector<float> grid(std::size_t count, int most, float steps, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& x : values)
    x = static_cast<float>(static_cast<int>(random() % static_cast<unsigned>(2 * most + 1)) - most) / steps;
  return values;
}

WeightsFile binary_file() {
  WeightsFile file;
  file.set("binary.input.scale", {3}, {63.0f, 62.0f, 66.0f})
      .set("binary.input.shift", {3}, {125.0f, 123.0f, 114.0f});
  file.set("binary.stem.weight", {stem_channels, 3, 3, 3}, grid(stem_channels * 27, 127, 131072.0f, 1));
  file.set("binary.stem.bias", {stem_channels}, grid(stem_channels, 900, 4096.0f, 2));
  for (std::size_t i = 0; i < sizes_of_layers.size(); ++i) {
    const Size& s = sizes_of_layers[i];
    const auto seed = static_cast<std::uint32_t>(10 * i);
    std::vector<float> signs = grid(s.outputs * s.inputs * 9, 1000, 1.0f, seed + 3);
    for (float& w : signs) w = w > 0 ? 1.0f : -1.0f;
    file.set(layer_name(i) + ".weight", {s.outputs, s.inputs, 3, 3}, signs);
    file.set(layer_name(i) + ".threshold", {s.inputs}, grid(s.inputs, 500, 4096.0f, seed + 4));
    file.set(layer_name(i) + ".scale", {s.outputs}, grid(s.outputs, 200, 4096.0f, seed + 5));
    file.set(layer_name(i) + ".bias", {s.outputs}, grid(s.outputs, 2000, 4096.0f, seed + 6));
  }
  return file.set_metadata("qcnet.architecture", "convnext")
      .set_metadata("qcnet.cut", "features.3")
      .set_metadata("qcnet.binary.strides", "2 1 2 2 1 1");
}

/// A layer's weights packed into bytes, [Cout, 3, 3, ceil(Cin / 8)].
void pack(WeightsFile& file, std::size_t layer) {
  const Tensor signs = file.tensor(layer_name(layer) + ".weight");  // [Cout, 3, 3, Cin]
  const std::size_t channels = sizes_of_layers[layer].inputs, bytes = packed_bytes(channels);
  WeightsFile::Entry entry{"U8", {sizes_of_layers[layer].outputs, 3, 3, bytes}, {}};
  entry.data.assign(signs.shape().pixels() * bytes, '\0');
  for (std::size_t p = 0; p < signs.shape().pixels(); ++p)
    for (std::size_t c = 0; c < channels; ++c)
      if (signs[p * channels + c] > 0) {
        char& byte = entry.data[p * bytes + c / 8];
        byte = static_cast<char>(byte | 1 << (c % 8));
      }
  file.tensors[layer_name(layer) + ".weight"] = entry;
}

/// 3x3 windows, padding 1: the sum over what lies inside of product(value, weight).
template <class Product>
Tensor windows(ConstTensorView x, const Tensor& weights, std::size_t stride, const Product& product) {
  const std::size_t h = x.shape[1], w = x.shape[2], inputs = x.shape[3], outputs = weights.shape()[0];
  Tensor y({1, (h - 1) / stride + 1, (w - 1) / stride + 1, outputs});
  for (std::size_t p = 0; p < y.shape().pixels(); ++p)
    for (std::size_t o = 0; o < outputs; ++o) {
      double sum = 0;
      for (std::size_t tap = 0; tap < 9; ++tap) {
        const std::size_t row = p / y.shape()[2] * stride + tap / 3 - 1;
        const std::size_t column = p % y.shape()[2] * stride + tap % 3 - 1;
        if (row >= h || column >= w) continue;  // what is negative has wrapped around
        for (std::size_t c = 0; c < inputs; ++c)
          sum += product(x.pixel(row * w + column)[c], c) * double{weights[(o * 9 + tap) * inputs + c]};
      }
      y[p * outputs + o] = static_cast<float>(sum);
    }
  return y;
}

/// What the contract of docs/deployment.md says, in double and by plain loops.
Tensor plain(const WeightsFile& file, const Tensor& input) {
  const Tensor scale = file.tensor("binary.input.scale"), shift = file.tensor("binary.input.shift");
  Tensor x(input);
  for (std::size_t i = 0; i < x.span().size(); ++i) x[i] = std::nearbyint(x[i] * scale[i % 3] + shift[i % 3]);
  x = windows(x, file.tensor("binary.stem.weight"), 2,
              [](float pixel, std::size_t) { return double{pixel}; });
  const Tensor stem_bias = file.tensor("binary.stem.bias");
  for (std::size_t i = 0; i < x.span().size(); ++i) x[i] += stem_bias[i % stem_channels];
  for (std::size_t l = 0; l < sizes_of_layers.size(); ++l) {
    const Size& s = sizes_of_layers[l];
    const Tensor threshold = file.tensor(layer_name(l) + ".threshold"),
                 factor = file.tensor(layer_name(l) + ".scale"), bias = file.tensor(layer_name(l) + ".bias");
    Tensor y = windows(x, file.tensor(layer_name(l) + ".weight"), s.stride,
                       [&](float value, std::size_t c) { return value > threshold[c] ? 1.0 : -1.0; });
    const std::size_t width = x.shape()[2], columns = y.shape()[2];
    for (std::size_t i = 0; i < y.span().size(); ++i) {
      const std::size_t c = i % s.outputs, p = i / s.outputs;
      double around = 0;
      if (s.stride == 1 && s.outputs == s.inputs) around = x[i];
      if (s.stride == 2) {
        const std::size_t corner = p / columns * 2 * width + p % columns * 2;
        around = -1e9;
        for (const std::size_t at : {corner, corner + 1, corner + width, corner + width + 1})
          around = std::fmax(around, x[at * s.inputs + c % s.inputs]);
      }
      y[i] = static_cast<float>(double{y[i]} * factor[c] + bias[c] + around);
    }
    x = y;
  }
  return x;
}

Tensor pixels_input() {
  Tensor input({1, picture_side, picture_side, 3});
  std::mt19937 random(5);
  const float scale[] = {63.0f, 62.0f, 66.0f}, shift[] = {125.0f, 123.0f, 114.0f};
  for (std::size_t i = 0; i < input.span().size(); ++i)
    input[i] = (static_cast<float>(random() % 256) - shift[i % 3]) / scale[i % 3];
  return input;
}

}  // namespace

TEST_CASE("a binary head is exactly what its description says, with packed weights or floats") {
  WeightsFile file = binary_file();
  const Tensor input = pixels_input(), expected = plain(file, input);
  const Network network = build(file).value();
  CHECK(identical(network(input).value(), expected));
  CHECK(network.cut_names() == "features.3");
  for (std::size_t i = 0; i < sizes_of_layers.size(); ++i) pack(file, i);
  CHECK(identical(build(file).value()(input).value(), expected));
  for (const int threads : {2, 3}) {
    const Threads scope(threads);
    CHECK(identical(build(file).value()(input).value(), expected));
  }
}

TEST_CASE("a binary head's bits come from its last layer's epilogue") {
  const Network network = build(binary_file()).value();
  const Tensor input = pixels_input(), map = network(input).value();
  Executor head = Executor::make(network, input.shape()).value();
  REQUIRE(head.emits_bits());
  const std::vector<float> thresholds(map.data(),
                                      map.data() + sizes_of_layers.back().outputs);  // equal is not greater
  Bitplane bits(map.shape());
  head.run_bits(input, pad_thresholds(thresholds, thresholds.size()), bits);
  for (std::size_t p = 0; p < map.shape().pixels(); ++p)
    for (std::size_t c = 0; c < thresholds.size(); ++c)
      CHECK(bits.get(p, c) == (map.view().pixel(p)[c] > thresholds[c]));
}

TEST_CASE("what a binary head lacks is said by name") {
  const auto bent = [](auto bend) {
    WeightsFile file = binary_file();
    bend(file);
    return error_of(file);
  };
  CHECK(contains(bent([](WeightsFile& f) { f.metadata.erase("qcnet.binary.strides"); }),
                 "metadata \"qcnet.binary.strides\" must be 6 numbers 1 or 2"));
  CHECK(contains(bent([](WeightsFile& f) { f.set_metadata("qcnet.binary.strides", "2 1 2 2 1"); }),
                 "must be 6"));
  CHECK(contains(bent([](WeightsFile& f) { f.set_metadata("qcnet.binary.strides", "2 1 2 0 1 1"); }),
                 "1 or 2"));
  CHECK(contains(bent([](WeightsFile& f) { f.metadata.erase("qcnet.cut"); }), "\"qcnet.cut\" is missing"));
  CHECK(contains(bent([](WeightsFile& f) { f.tensors.erase("binary.input.shift"); }),
                 "binary.input.shift: there is no such tensor"));
  CHECK(contains(bent([](WeightsFile& f) { f.drop({"binary.layers.2."}); }),
                 "binary.layers.2.threshold: there is no such tensor"));
  CHECK(contains(bent([](WeightsFile& f) { f.set("binary.layers.3.threshold", {17}); }),
                 "binary.layers.3.threshold: expected shape [18], found [17]"));
  CHECK(contains(bent([](WeightsFile& f) { f.poke("binary.layers.1.weight", 7, 0.5f); }),
                 "binary.layers.1.weight"));
  CHECK(contains(bent([](WeightsFile& f) {
                   f.set("binary.stem.weight", {stem_channels, 4, 3, 3});
                 }),
                 "binary.stem.weight"));
  // The cut's name is the file's, and lists of cuts reach the terminal.
  CHECK(build(binary_file().set_metadata("qcnet.cut", "\x1b[2J")).value().cut_names() == "?[2J");
  // An input of an odd number of pixels, which a pooled shortcut leaves out.
  const Network network = build(binary_file()).value();
  CHECK(contains(Executor::make(network, {1, 21, 21, 3}).error().message(), "residual"));
}
