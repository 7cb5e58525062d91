#include "support.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <qcnet/kernels/linear.hpp>
#include <qcnet/kernels/reference.hpp>

using namespace qcnet;
using namespace qcnet::test;
using kernels::Activation;
using kernels::ConvAlgorithm;

#if QCNET_HAS_BF16

namespace {

/// The nearest bfloat16, of two the even one: its 16 bits.
std::uint16_t nearest_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}
Tensor rounded_to_bf16(const Tensor& from) {
  Tensor to(from);
  for (float& x : to.span()) x = std::bit_cast<float>(std::uint32_t{nearest_bf16(x)} << 16);
  return to;
}

struct Bf16Problem {
  std::size_t rows, depth, columns;
  Tensor weights = random_tensor({columns, depth}, 1), input = random_tensor({rows, depth}, 2),
         residual = random_tensor({rows, columns}, 3);
  std::vector<float> bias = random_values(columns, 4);
  kernels::PackedConv2d packed =
      kernels::pack_linear(weights, bias).value().with(ConvAlgorithm::direct_bf16).value();

  /// The float product of what was rounded.
  Tensor plain() const {
    const Tensor w = rounded_to_bf16(weights), x = rounded_to_bf16(input);
    Tensor output({rows, 1, 1, columns});
    reference::conv2d({w.data(), {columns, 1, 1, depth}}, bias, ConvGeometry{},
                      {x.data(), {rows, 1, 1, depth}}, output, Activation::relu,
                      {residual.data(), output.shape()});
    return output;
  }
  Tensor fast(int threads = 1) const {
    const Threads scope(threads);
    Tensor output({rows, columns});
    kernels::linear(packed, input, output, Activation::relu, residual);
    return output;
  }
};

}  // namespace

TEST_CASE("floats are rounded to the nearest bfloat16, two in place of one") {
  for (const std::size_t count : Sizes{0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 65, 97}) {
    std::vector<float> from = random_values(count, 5);
    if (count > 2) from[0] = 1.00390625f, from[1] = 1.01171875f, from[2] = -0.0f;  // ties, to even
    std::vector<float> to((count + 1) / 2 + 1, 7.0f);
    kernels::round_to_bf16(from.data(), count, to.data());
    for (std::size_t i = 0; i < (count + 1) / 2 * 2; ++i) {
      const auto pair = std::bit_cast<std::uint32_t>(to[i / 2]);
      CHECK(static_cast<std::uint16_t>(i % 2 == 0 ? pair : pair >> 16) ==
            (i < count ? nearest_bf16(from[i]) : 0));
    }
    CHECK(to.back() == 7.0f);
  }
}

TEST_CASE("rows times weights in bfloat16 are the float product of what is rounded") {
  for (const std::size_t depth : Sizes{1, 2, 31, 768, 1535, 1537, 3072})
    for (const std::size_t rows : Sizes{0, 1, 13, 29})
      for (const std::size_t columns : Sizes{1, 17, 100}) {
        const Bf16Problem p{rows, depth, columns};
        CAPTURE(depth);
        CAPTURE(rows);
        CAPTURE(columns);
        const Tensor fast = p.fast(), plain = p.plain();
        CHECK((rows == 0 || relative_difference({fast.data(), plain.shape()}, plain) < 3e-6));
        CHECK(identical(p.fast(2), fast));
        CHECK(identical(p.fast(5), fast));
        Tensor sum(p.residual);
        kernels::linear(p.packed, p.input, sum, Activation::relu, sum);
        CHECK(identical(sum, fast));
      }
}

TEST_CASE("bits from bfloat16 are those of its float map") {
  const Bf16Problem p{31, 2000, 37};
  Tensor map({31, 37});
  kernels::linear(p.packed, p.input, map);
  std::vector<float> thresholds(kernels::PackedWeights::padded(37), std::numeric_limits<float>::infinity());
  std::copy_n(map.data(), 37, thresholds.data());  // equal is not greater
  Bitplane bits({31, 1, 1, 37});
  kernels::linear_bits(p.packed, p.input, bits, thresholds);
  for (std::size_t row = 0; row < 31; ++row)
    for (std::size_t c = 0; c < 37; ++c) CHECK(bits.get(row, c) == (map[row * 37 + c] > thresholds[c]));
}

#endif

TEST_CASE("bfloat16 is for 1x1 convolutions, where there are instructions for it") {
  const Tensor three = random_tensor({4, 3, 3, 5}, 1), one = random_tensor({4, 1, 1, 5}, 1);
  const auto make = [](const Tensor& weights, std::size_t kernel) {
    return kernels::PackedConv2d::make(weights, {}, ConvGeometry::square(kernel), ConvAlgorithm::direct_bf16);
  };
  if (has_bf16) {
    CHECK(make(one, 1).ok());
    CHECK(contains(make(three, 3).error().message(), "needs a 1x1 kernel"));
  } else {
    CHECK(contains(make(one, 1).error().message(), "no instructions for bfloat16"));
  }
}
