#include "allocations.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <qcnet/bits/binary_conv.hpp>
#include <qcnet/bits/reference.hpp>

#include <doctest/doctest.h>
#include <support.hpp>

using namespace qcnet;
using bits::BinaryPadding;
using bits::PackedBinaryConv2d;
using test::contains;

namespace {

struct BinaryCase {
  Shape in;
  std::size_t outputs;
  ConvGeometry geometry;
};

// A seeded walk through all combinations of awkward sizes: every value of every list occurs many times.
std::vector<BinaryCase> binary_cases() {
  std::mt19937 random(7);
  const auto pick = [&](std::initializer_list<std::size_t> values) {
    return values.begin()[random() % values.size()];
  };
  std::vector<BinaryCase> result;
  while (result.size() < 400) {
    ConvGeometry g;
    g.kernel_h = pick({1, 3, 5});
    g.kernel_w = pick({1, 3, 5});
    g.stride_h = pick({1, 2});
    g.stride_w = pick({1, 2});
    g.pad_h = pick({0, 1, 2, 4});
    g.pad_w = pick({0, 1, 2, 4});
    g.extra_bottom = pick({0, 0, 1});
    g.extra_right = pick({0, 0, 1, 2});
    g.dilation_h = pick({1, 1, 2});
    g.dilation_w = pick({1, 1, 2});
    g.groups = pick({1, 1, 2, 3});
    const Shape in{pick({1, 1, 2}), pick({1, 2, 5, 7, 11}), pick({1, 2, 5, 7, 13}),
                   g.groups * pick({1, 4, 8, 12, 31, 32, 33, 63, 64, 65, 127, 256})};
    const std::size_t outputs = g.groups * pick({1, 5, 8, 16, 17, 33, 64, 72});
    if (g.output(in, outputs).ok()) result.push_back({in, outputs, g});
  }
  return result;
}

Tensor random_signs(const Shape& shape, std::uint32_t seed) {
  std::mt19937 random(seed);
  Tensor signs(shape);
  for (float& w : signs.span()) w = random() % 2 == 0 ? 1.0f : -1.0f;
  return signs;
}

Shape weights_shape(const BinaryCase& c) {
  const ConvGeometry& g = c.geometry;
  return {c.outputs, g.kernel_h, g.kernel_w, c.in.channels() / g.groups};
}

std::string describe_case(const BinaryCase& c) {
  const ConvGeometry& g = c.geometry;
  return c.in.to_string() + " to " + std::to_string(c.outputs) +
         ", kernel, stride, pad, extra, dilation, groups " +
         Shape{g.kernel_h, g.kernel_w, g.stride_h, g.stride_w, g.pad_h, g.pad_w}.to_string() +
         Shape{g.extra_bottom, g.extra_right, g.dilation_h, g.dilation_w, g.groups}.to_string();
}

// Memory with guards on both sides, which it checks.
template <class T>
class Guarded {
 public:
  Guarded(std::size_t count, T guard) : guard_(guard), memory_(count + 2 * width, guard) {}
  T* data() { return memory_.data() + width; }
  std::vector<T> checked() const {
    for (std::size_t i = 0; i < width; ++i) {
      REQUIRE(memory_[i] == guard_);
      REQUIRE(memory_[memory_.size() - 1 - i] == guard_);
    }
    return {memory_.begin() + width, memory_.end() - width};
  }

 private:
  static constexpr std::ptrdiff_t width = 64;
  T guard_;
  std::vector<T> memory_;
};

std::vector<std::int32_t> counts(const PackedBinaryConv2d& conv, const Bitplane& in) {
  const Shape shape = conv.output_shape(in.shape()).value();
  Guarded<std::int32_t> memory(shape.elements(), 123456789);
  conv.counts_into(in, {memory.data(), shape.elements()});
  return memory.checked();
}

// Calls `write(bits)` and compares the bits with `expected(i)`.
template <class Write, class Expected>
void check_bits(const Shape& shape, const Write& write, const Expected& expected) {
  const std::size_t size = shape.pixels() * packed_bytes(shape.channels());
  Guarded<std::uint8_t> memory(size, 0xA5);
  const BitplaneView out(memory.data(), shape);
  write(out);
  memory.checked();
  REQUIRE(padding_is_zero(out));
  for (std::size_t i = 0; i < shape.elements(); ++i)
    REQUIRE(out.get(i / shape.channels(), i % shape.channels()) == expected(i));
}

}  // namespace

TEST_CASE("binary_conv: the counts of a plain loop, whatever the shape and the padding") {
  std::uint32_t seed = 0;
  for (const BinaryCase& c : binary_cases()) {
    CAPTURE(describe_case(c));
    const Tensor weights = random_signs(weights_shape(c), ++seed);
    const Bitplane in = test::random_bits(c.in, seed);
    for (const BinaryPadding padding : {BinaryPadding::zero, BinaryPadding::one}) {
      const auto conv = PackedBinaryConv2d::make(weights, c.geometry, padding).value();
      const std::int32_t beyond = padding == BinaryPadding::one ? 1 : 0;
      REQUIRE(counts(conv, in) == bits::reference::binary_conv2d(in, weights, c.geometry, beyond));
    }
  }
}

TEST_CASE("binary_conv: every number of channels from 1 to 130") {
  for (std::size_t channels = 1; channels <= 130; ++channels) {
    CAPTURE(channels);
    const ConvGeometry g = ConvGeometry::square(3, 1, 1);
    const Tensor weights = random_signs({9, 3, 3, channels}, 1);
    const Bitplane in = test::random_bits({1, 4, 5, channels}, 2);
    const auto conv = PackedBinaryConv2d::make(weights, g, BinaryPadding::zero).value();
    REQUIRE(counts(conv, in) == bits::reference::binary_conv2d(in, weights, g, 0));
  }
}

TEST_CASE("binary_conv: sums as large as they become, in patches of several slices") {
  for (const std::size_t channels : {1000ul, 4099ul, 33000ul}) {
    CAPTURE(channels);
    const ConvGeometry g = ConvGeometry::square(3, 1, 1);
    Tensor weights = random_signs({3, 3, 3, channels}, 3);
    std::fill_n(weights.data(), 9 * channels, 1.0f);
    std::fill_n(weights.data() + 9 * channels, 9 * channels, -1.0f);
    Bitplane in = test::random_bits({1, 3, 4, channels}, 4);
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t p = 0; p < 9; ++p) in.set(p / 3 * 4 + p % 3, c, true);
    const auto conv = PackedBinaryConv2d::make(weights, g, BinaryPadding::zero).value();
    const auto made = counts(conv, in);
    CHECK(made == bits::reference::binary_conv2d(in, weights, g, 0));
    const auto most = static_cast<std::int32_t>(9 * channels);
    CHECK(conv.most_count() == 9 * channels);
    CHECK(made[5 * 3] == most);
    CHECK(made[5 * 3 + 1] == -most);
  }
}

TEST_CASE("binary_conv: patches of several slices, padded with ones, and in groups that share bytes") {
  ConvGeometry g = ConvGeometry::square(3, 1, 1);
  const auto check = [&](std::size_t channels, BinaryPadding padding) {
    CAPTURE(channels);
    CAPTURE(g.groups);
    const Tensor weights = random_signs({2 * g.groups, 3, 3, channels / g.groups}, 7);
    const Bitplane in = test::random_bits({1, 2, 3, channels}, 8);
    const auto conv = PackedBinaryConv2d::make(weights, g, padding).value();
    CHECK(counts(conv, in) ==
          bits::reference::binary_conv2d(in, weights, g, padding == BinaryPadding::one ? 1 : 0));
  };
  check(33000, BinaryPadding::one);
  g.groups = 2;
  for (const std::size_t channels : {16600ul, 16602ul})  // 8301 channels do not end with a byte
    for (const BinaryPadding padding : {BinaryPadding::zero, BinaryPadding::one}) check(channels, padding);
}

TEST_CASE("binary_conv: bytes of weights make the same convolution as floats") {
  for (const std::size_t channels : {1u, 8u, 13u, 64u}) {
    const Tensor weights = random_signs({10, 3, 3, channels}, 5);
    const Bitplane packed = bits::pack_signs(weights).value();
    const ConvGeometry g = ConvGeometry::square(3, 2, 1);
    const Bitplane in = test::random_bits({2, 7, 6, channels}, 6);
    const auto conv =
        PackedBinaryConv2d::make(packed.bytes(), packed.shape(), g, BinaryPadding::zero).value();
    CHECK(counts(conv, in) == bits::reference::binary_conv2d(in, weights, g, 0));
    CHECK(conv.bytes() >= packed.bytes().size());
  }
}

TEST_CASE("binary_conv: scale, bias and residual; thresholds of channels and of pixels' channels") {
  std::uint32_t seed = 100;
  for (const BinaryCase& c : binary_cases()) {
    if (++seed % 4 != 0) continue;
    CAPTURE(describe_case(c));
    const auto conv =
        PackedBinaryConv2d::make(random_signs(weights_shape(c), seed), c.geometry, BinaryPadding::zero)
            .value();
    const Bitplane in = test::random_bits(c.in, seed);
    const Shape shape = conv.output_shape(c.in).value();
    const std::vector<std::int32_t> n = counts(conv, in);
    const std::vector<float> scale = test::random_values(c.outputs, seed + 1),
                             bias = test::random_values(c.outputs, seed + 2);
    const bits::CountScale scaling{scale, bias};
    const Tensor residual = test::random_tensor(shape, seed + 3);
    for (const bool has_residual : {false, true}) {
      const ConstTensorView added = has_residual ? residual.view() : ConstTensorView{};
      Guarded<float> memory(shape.elements(), 12345.0f);
      conv.forward_into(in, scaling, TensorView(memory.data(), shape), added);
      const std::vector<float> y = memory.checked();
      for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t o = i % c.outputs;
        const float product = bits::scale_count(scale[o], n[i], bias[o]);
        REQUIRE(y[i] == (has_residual ? product + residual[i] : product));
      }
      if (!conv.can_emit_bits()) continue;
      std::vector<float> thresholds = test::random_values(c.outputs, seed + 4);
      for (std::size_t o = 0; o < c.outputs; o += 3) thresholds[o] = y.empty() ? 0.0f : y[o];  // ties
      check_bits(
          shape, [&](BitplaneView out) { conv.bits_into(in, scaling, thresholds, 0, out, added); },
          [&](std::size_t i) { return y[i] > thresholds[i % c.outputs]; });
      const std::size_t stride = c.outputs + 3, positions = shape[1] * shape[2];
      const std::vector<float> of_pixels = test::random_values(positions * stride, seed + 5);
      check_bits(
          shape, [&](BitplaneView out) { conv.bits_into(in, scaling, of_pixels, stride, out, added); },
          [&](std::size_t i) {
            return y[i] > of_pixels[i / c.outputs % positions * stride + i % c.outputs];
          });
    }
    if (!conv.can_emit_bits()) continue;
    const std::vector<float> thresholds = test::random_values(c.outputs, seed + 6);
    const auto whole = bits::CountThresholds::make(scale, bias, thresholds, conv.most_count()).value();
    check_bits(
        shape, [&](BitplaneView out) { conv.bits_into(in, whole, out); },
        [&](std::size_t i) {
          const std::size_t o = i % c.outputs;
          return bits::scale_count(scale[o], n[i], bias[o]) > thresholds[o];
        });
  }
}

TEST_CASE("binary_conv: the residual may be the output itself") {
  const auto conv = PackedBinaryConv2d::make(random_signs({24, 3, 3, 24}, 1), ConvGeometry::square(3, 1, 1),
                                             BinaryPadding::zero)
                        .value();
  const Bitplane in = test::random_bits({1, 9, 8, 24}, 2);
  const std::vector<float> scale(24, 0.25f), bias(24, -1.5f);
  Tensor out = test::random_tensor({1, 9, 8, 24}, 3), expected(out.shape());
  conv.forward_into(in, {scale, bias}, expected, out);
  conv.forward_into(in, {scale, bias}, out, out);
  CHECK(test::identical(out, expected));
}

TEST_CASE("binary_conv: one thread and several give the same, and nothing is allocated") {
  const auto conv = PackedBinaryConv2d::make(random_signs({80, 3, 3, 96}, 1), ConvGeometry::square(3, 1, 1),
                                             BinaryPadding::zero)
                        .value();
  const Bitplane in = test::random_bits({2, 17, 15, 96}, 2);
  const Shape shape = conv.output_shape(in.shape()).value();
  const std::vector<float> scale = test::random_values(80, 3), bias = test::random_values(80, 4);
  const auto whole = bits::CountThresholds::make(scale, bias, bias, conv.most_count()).value();
  std::vector<std::int32_t> n(shape.elements());
  Tensor y(shape), first_y;
  Bitplane a(shape), b(shape);
  for (const int count : {1, 2, 3, 5}) {
    const test::Threads threads(count);
    const auto run = [&] {
      conv.counts_into(in, n);
      conv.forward_into(in, {scale, bias}, y);
      conv.bits_into(in, {scale, bias}, bias, 0, a);
      conv.bits_into(in, whole, b);
    };
    run();
    const std::size_t before = allocations();
    run();
    CHECK(allocations() == before);
    if (count == 1) first_y = y;
    CHECK(test::identical(y, first_y));
    CHECK(std::equal(a.bytes().begin(), a.bytes().end(), b.bytes().begin()));
  }
}

TEST_CASE("binary_conv: empty batches, and errors that say what was expected") {
  ConvGeometry g = ConvGeometry::square(3);
  const auto said = [&](const Tensor& weights) {
    return PackedBinaryConv2d::make(weights, g, BinaryPadding::zero).error().message();
  };
  Tensor weights = random_signs({6, 3, 3, 5}, 1);
  const auto conv = PackedBinaryConv2d::make(weights, g, BinaryPadding::zero).value();
  CHECK(counts(conv, Bitplane({0, 4, 4, 5})).empty());
  CHECK(contains(conv.output_shape({1, 4, 4, 6}).error().message(),
                 "expected 5 input channels, found [1, 4, 4, 6]"));
  CHECK(contains(conv.output_shape({1, 2, 4, 5}).error().message(), "does not fit"));
  CHECK(contains(conv.output_shape({4, 4, 5}).error().message(), "expected an input [N, H, W, C]"));

  CHECK(contains(said(Tensor({6, 3, 5, 5})),
                 "expected weights [Cout, 3, 3, Cin / groups], found [6, 3, 5, 5]"));
  CHECK(contains(said(Tensor({0, 3, 3, 5})), "found [0, 3, 3, 5]"));
  CHECK(contains(said(Tensor({3, 3, 5})), "found [3, 3, 5]"));
  for (const float wrong : {0.0f, 2.0f, -1.5f, std::numeric_limits<float>::quiet_NaN()}) {
    weights[17] = wrong;
    CHECK(
        contains(said(weights), "expected weights of +1 and -1, found " + std::to_string(wrong) + " at 17"));
  }
  g.groups = 4;
  CHECK(contains(said(random_signs({6, 3, 3, 5}, 1)), "6 output channels cannot be split into 4 groups"));
  g.groups = 0;
  CHECK(contains(said(random_signs({6, 3, 3, 5}, 1)), "cannot be split into 0 groups"));

  std::vector<std::uint8_t> bytes(4 * 2, 0x01);
  const auto packed = [&](const Shape& shape) {
    return PackedBinaryConv2d::make(bytes, shape, ConvGeometry(), BinaryPadding::zero);
  };
  CHECK(packed({4, 1, 1, 9}).ok());
  CHECK(contains(packed({4, 1, 1, 17}).error().message(), "[4, 1, 1, 17] take 12 bytes, found 8"));
  bytes[3] = 0x02;
  CHECK(contains(packed({4, 1, 1, 9}).error().message(), "a padding bit set behind their 9 channels"));
  CHECK(contains(packed({1, 1, 1, (std::size_t{1} << 24) + 1}).error().message(),
                 "adds up more than 16777216 products"));

  const Bitplane in({1, 4, 4, 5});
  const std::vector<float> six(6), five(5);
  Tensor out({1, 2, 2, 6});
  Bitplane bits({1, 2, 2, 6});
  std::vector<std::int32_t> n(23);
  CHECK_THROWS_WITH(conv.counts_into(in, n), "binary convolution: expected as many counts [1, 2, 2, 6]");
  CHECK_THROWS_WITH(conv.forward_into(in, {six, six}, Tensor({1, 2, 6, 2})),
                    "binary convolution: expected an output [1, 2, 2, 6]");
  CHECK_THROWS_WITH(conv.forward_into(in, {six, five}, out),
                    "binary convolution: expected a scale and a bias for each channel of [1, 2, 2, 6]");
  CHECK_THROWS_WITH(conv.forward_into(in, {six, six}, out, Tensor({1, 2, 2, 5})),
                    "binary convolution: expected a residual [1, 2, 2, 6]");
  CHECK_THROWS_WITH(conv.bits_into(in, {six, six}, six, 0, Bitplane({1, 2, 2, 7})),
                    "binary convolution: expected bits [1, 2, 2, 6]");
  CHECK_THROWS_AS(conv.bits_into(in, {six, six}, five, 0, bits), std::runtime_error);
  CHECK_THROWS_AS(conv.bits_into(in, {six, six}, six, 6, bits), std::runtime_error);
  const std::vector<bits::CountThreshold> wrong(5, bits::never);
  CHECK_THROWS_AS(conv.bits_into(in, bits::CountThresholds(wrong), bits), std::runtime_error);
}
