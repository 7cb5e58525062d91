#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <vector>

#include <qcnet/bits/lookup_conv.hpp>
#include <qcnet/bits/reference.hpp>

#include <doctest/doctest.h>
#include <support.hpp>

using namespace qcnet;

namespace {

struct Case {
  std::size_t height, width, channels, outputs;
  ConvGeometry geometry;
};

// A seeded walk through all combinations of awkward sizes: every value of every list occurs many times.
std::vector<Case> cases() {
  std::mt19937 random(7);
  const auto pick = [&](std::initializer_list<std::size_t> values) {
    return values.begin()[random() % values.size()];
  };
  std::vector<Case> result;
  while (result.size() < 300) {
    ConvGeometry g;
    g.kernel_h = pick({1, 3, 5});
    g.kernel_w = pick({1, 3, 5});
    g.stride_h = pick({1, 2});
    g.stride_w = pick({1, 2});
    g.pad_h = pick({0, 1, 2});
    g.pad_w = pick({0, 1, 2});
    g.extra_bottom = pick({0, 0, 1});
    g.extra_right = pick({0, 0, 1, 2});
    g.dilation_h = pick({1, 1, 2});
    g.dilation_w = pick({1, 1, 2});
    const Case c{pick({1, 1, 2, 5, 7, 11}), pick({1, 2, 5, 7, 13, 23}),
                 pick({1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 127}),
                 pick({1, 5, 16, 17, 32, 33, 48, 64}), g};
    if (g.output({1, c.height, c.width, c.channels}, c.outputs).ok()) result.push_back(c);
  }
  return result;
}

// Runs into guarded memory and checks the guards.
std::vector<float> run(const LookupConv2d& conv, const Bitplane& bits, const Bitplane* received = nullptr) {
  const Shape shape = conv.output_shape(bits.shape()).value();
  const std::size_t guard = 64;
  std::vector<float> memory(shape.elements() + 2 * guard, 12345.0f);
  const TensorView out(memory.data() + guard, shape);
  if (received != nullptr)
    conv.forward_into(bits, *received, out);
  else
    conv.forward_into(bits, out);
  for (std::size_t i = 0; i < guard; ++i) {
    REQUIRE(memory[i] == 12345.0f);
    REQUIRE(memory[guard + shape.elements() + i] == 12345.0f);
  }
  return {memory.begin() + guard, memory.end() - guard};
}

std::string describe(const Case& c) {
  const ConvGeometry& g = c.geometry;
  return Shape{c.height, c.width, c.channels, c.outputs}.to_string() + " kernel, stride, pad, dilation " +
         Shape{g.kernel_h, g.kernel_w, g.stride_h, g.stride_w, g.pad_h, g.pad_w, g.dilation_h, g.dilation_w}
             .to_string();
}

}  // namespace

TEST_CASE("lookup_conv: exact for whole-numbered weights, whatever the shape") {
  std::uint32_t seed = 0;
  for (const Case& c : cases()) {
    CAPTURE(describe(c));
    std::mt19937 random(++seed);
    Tensor weights({c.outputs, c.geometry.kernel_h, c.geometry.kernel_w, c.channels});
    for (float& w : weights.span()) w = static_cast<float>(static_cast<int>(random() % 201) - 100);
    std::vector<float> bias(c.outputs);
    for (float& b : bias) b = static_cast<float>(static_cast<int>(random() % 201) - 100);
    const bool relu = seed % 2 == 0;
    const auto conv = LookupConv2d::make(weights, bias, c.geometry, relu).value();
    const Bitplane bits = test::random_bits({2, c.height, c.width, c.channels}, seed);
    const std::vector<float> out = run(conv, bits);
    const std::vector<double> expected = bits::reference::conv2d(bits, weights, bias, c.geometry, relu);
    const auto equal = [](float a, double b) { return double{a} == b; };
    REQUIRE(std::equal(out.begin(), out.end(), expected.begin(), expected.end(), equal));

    const Bitplane received = test::random_bits(bits.shape(), seed + 1000);
    const std::vector<float> partial = run(conv, bits, &received);
    const std::vector<double> of_partial =
        bits::reference::conv2d(bits, received, weights, bias, c.geometry, relu);
    REQUIRE(std::equal(partial.begin(), partial.end(), of_partial.begin(), of_partial.end(), equal));
  }
}

TEST_CASE("lookup_conv: within the bound of its header, (T + 1) u / (1 - (T + 1) u) (|bias| + sum |w|)") {
  std::uint32_t seed = 1000;
  for (const Case& c : cases()) {
    CAPTURE(describe(c));
    const Tensor weights =
        test::random_tensor({c.outputs, c.geometry.kernel_h, c.geometry.kernel_w, c.channels}, ++seed);
    const std::vector<float> bias = test::random_values(c.outputs, ++seed);
    const auto conv = LookupConv2d::make(weights, bias, c.geometry, false).value();
    const Bitplane bits = test::random_bits({1, c.height, c.width, c.channels}, seed);
    const std::vector<float> out = run(conv, bits);
    const std::vector<double> expected = bits::reference::conv2d(bits, weights, bias, c.geometry, false);
    const double terms = static_cast<double>(c.geometry.taps() * packed_bytes(c.channels) * 2 + 1);
    const double unit = terms * std::ldexp(1.0, -24), bound = unit / (1 - unit);
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::size_t o = i % c.outputs, k = weights.span().size() / c.outputs;
      double magnitude = std::fabs(double{bias[o]});
      for (std::size_t j = 0; j < k; ++j) magnitude += std::fabs(double{weights[o * k + j]});
      REQUIRE(std::fabs(double{out[i]} - expected[i]) <= bound * magnitude);
    }
  }
}

TEST_CASE("lookup_conv: fp32 sums of four channels each, in order: the same bits on every instruction set") {
  const std::size_t channels = 76, outputs = 37;
  const Tensor weights = test::random_tensor({outputs, 1, 1, channels}, 11);
  const std::vector<float> bias = test::random_values(outputs, 12);
  const Bitplane bits = test::random_bits({1, 5, 7, channels}, 13);
  const std::vector<float> out = run(LookupConv2d::make(weights, bias, {}, true).value(), bits);
  for (std::size_t p = 0; p < 35; ++p)
    for (std::size_t o = 0; o < outputs; ++o) {
      float sum = bias[o];
      for (std::size_t c = 0; c < channels; c += 4) {
        double entry = 0;
        for (std::size_t i = c; i < c + 4; ++i)
          entry += bits.get(p, i) ? double{weights[o * channels + i]} : -double{weights[o * channels + i]};
        sum += static_cast<float>(entry);
      }
      REQUIRE(out[p * outputs + o] == std::max(sum, 0.0f));
    }
}

TEST_CASE("lookup_conv: one thread and two give the same bits, tables larger than a slice, no biases") {
  const Tensor weights = test::random_tensor({40, 3, 3, 48}, 21);
  const Bitplane bits = test::random_bits({2, 31, 29, 48}, 22);
  const auto conv = LookupConv2d::make(weights, {}, ConvGeometry::square(3, 1, 1), false).value();
  CHECK(conv.table_bytes() >= weights.span().size() * 17);
  std::vector<float> results[2], partial[2];
  for (const int count : {1, 2}) {
    const test::Threads threads(count);
    results[count - 1] = run(conv, bits);
    const Bitplane received = test::random_bits(bits.shape(), 23);
    partial[count - 1] = run(conv, bits, &received);
  }
  CHECK(results[0] == results[1]);
  CHECK(partial[0] == partial[1]);
}

TEST_CASE("lookup_conv: a map of so many pixels that pixels times tiles need more than 32 bits") {
  const float weight = 2;
  const auto conv = LookupConv2d::make({&weight, {1, 1, 1, 1}}, {}, {}, false).value();
  Bitplane bits({1, 1024, 1025, 1});
  for (std::size_t p = 0; p < 1024 * 1025; p += 3) bits.view().pixel(p)[0] = 1;
  const test::Threads one(1);
  const std::vector<float> out = run(conv, bits);
  for (std::size_t p = 0; p < out.size(); ++p) REQUIRE(out[p] == (p % 3 == 0 ? 2.0f : -2.0f));
}

TEST_CASE("lookup_conv: empty batches, and errors that say what was expected") {
  const Tensor weights({8, 3, 3, 5});
  const auto make = [&](std::size_t biases, std::size_t groups, std::size_t kernel) {
    ConvGeometry g = ConvGeometry::square(kernel);
    g.groups = groups;
    return LookupConv2d::make(weights, std::vector<float>(biases), g, false);
  };
  CHECK(test::contains(make(8, 5, 3).error().message(), "groups == 1, found 5"));
  CHECK(test::contains(make(8, 1, 5).error().message(), "[Cout, 5, 5, Cin], found [8, 3, 3, 5]"));
  CHECK(test::contains(make(7, 1, 3).error().message(), "8 biases, found 7"));
  const auto conv = make(8, 1, 3).value();
  CHECK(test::contains(conv.output_shape({1, 4, 4, 6}).error().message(), "[N, H, W, 5]"));
  CHECK(test::contains(conv.output_shape({1, 2, 4, 5}).error().message(), "does not fit"));
  CHECK(run(conv, Bitplane({0, 4, 4, 5})).empty());
  const Bitplane other({1, 4, 3, 5});
  CHECK_THROWS_AS(run(conv, Bitplane({1, 4, 4, 5}), &other), std::runtime_error);
}
