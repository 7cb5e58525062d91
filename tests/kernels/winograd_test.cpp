#include "allocations.hpp"
#include "support.hpp"

#include <cmath>
#include <limits>

#include <qcnet/kernels/conv2d.hpp>
#include <qcnet/kernels/reference.hpp>

using namespace qcnet;
using namespace qcnet::test;
using kernels::Activation;
using kernels::ConvAlgorithm;
using kernels::PackedConv2d;

namespace {

constexpr ConvAlgorithm both[] = {ConvAlgorithm::winograd_2x2, ConvAlgorithm::winograd_4x4};

/// What conv2d's comment promises, relative to the largest value of the map.
double bound(ConvAlgorithm algorithm) {
  return algorithm == ConvAlgorithm::winograd_2x2 ? 1e-6 : 5e-6;
}

struct WinogradProblem {
  Tensor weights, input, residual;
  std::vector<float> bias;
  ConvGeometry geometry;

  WinogradProblem(const Shape& in, std::size_t cout, const ConvGeometry& g, std::uint32_t seed)
      : weights(random_tensor({cout, 3, 3, in[3]}, seed)),
        input(random_tensor(in, seed + 1)),
        bias(random_values(cout, seed + 2)),
        geometry(g) {
    residual = random_tensor(geometry.output(in, cout).value(), seed + 3);
  }
  PackedConv2d packed(ConvAlgorithm algorithm) const {
    return PackedConv2d::make(weights, bias, geometry, algorithm).value();
  }
  Tensor run(ConvAlgorithm algorithm) const {
    Tensor output(residual.shape());
    kernels::conv2d(packed(algorithm), input, output);
    return output;
  }
};

std::vector<WinogradProblem> winograd_grid() {
  std::vector<WinogradProblem> problems;
  std::uint32_t seed = 1;
  const auto add = [&](const Shape& in, std::size_t cout, std::size_t pad) {
    const ConvGeometry geometry = ConvGeometry::square(3, 1, pad);
    if (geometry.output(in, cout).ok()) problems.emplace_back(in, cout, geometry, seed += 10);
  };
  for (const std::size_t cin : Sizes{1, 3, 4, 16, 17, 31, 64}) add({1, 5, 7, cin}, 19, 1);
  for (const std::size_t cout : Sizes{1, 3, 8, 16, 17, 32, 33, 50, 65}) add({1, 9, 6, 5}, cout, 1);
  for (std::size_t side = 1; side <= 9; ++side)  // smaller than a tile, and every rest of one
    for (const std::size_t pad : Sizes{0, 1, 2}) add({2, side, 10 - side, 3}, 18, pad);
  add({1, 31, 30, 7}, 9, 1);  // more tiles than a block holds rows of
  add({0, 6, 6, 3}, 8, 1);
  ConvGeometry uneven = ConvGeometry::square(3, 1, 1);
  uneven.pad_w = 0, uneven.extra_bottom = 2, uneven.extra_right = 1;
  problems.emplace_back(Shape{2, 6, 5, 6}, 17, uneven, 7);
  return problems;
}

}  // namespace

TEST_CASE("Winograd's convolution equals the plain twin over a grid of awkward shapes") {
  for (const WinogradProblem& p : winograd_grid())
    for (const Activation activation : {Activation::none, Activation::relu, Activation::leaky_relu})
      for (const bool with_residual : {false, true}) {
        CAPTURE(p.input.shape().to_string());
        CAPTURE(p.residual.shape().to_string());
        const ConstTensorView residual = with_residual ? p.residual.view() : ConstTensorView{};
        Tensor plain(p.residual.shape()), fast(p.residual.shape());
        reference::conv2d(p.weights, p.bias, p.geometry, p.input, plain, activation, residual);
        for (const ConvAlgorithm algorithm : both) {
          kernels::conv2d(p.packed(algorithm), p.input, fast, activation, residual);
          CHECK(relative_difference(fast, plain) <= bound(algorithm));
        }
      }
}

TEST_CASE("Winograd's errors are as small as promised on maps as networks have them") {
  // Inputs behind a ReLU, weights that keep the variance (He et al., 2015), 12x12 maps.
  for (const std::size_t cin : Sizes{16, 64, 256, 512}) {
    WinogradProblem p({1, 12, 12, cin}, 8, ConvGeometry::square(3, 1, 1), static_cast<std::uint32_t>(cin));
    for (float& x : p.input.span()) x = std::max(x, 0.0f);
    for (float& w : p.weights.span()) w *= std::sqrt(2.0f / (9.0f * static_cast<float>(cin)));
    Tensor plain(p.residual.shape()), fast(p.residual.shape());
    reference::conv2d(p.weights, p.bias, p.geometry, p.input, plain);
    for (const ConvAlgorithm algorithm : both) {
      kernels::conv2d(p.packed(algorithm), p.input, fast);
      CHECK(relative_difference(fast, plain) <= bound(algorithm));
    }
  }
}

TEST_CASE("Winograd's convolution gives the same bits for any number of threads and any scratch memory") {
  // By tiles, by columns, and too little of either for three threads.
  for (const auto& [side, cin, cout] :
       {std::array<std::size_t, 3>{40, 24, 40}, {9, 64, 200}, {12, 256, 16}}) {
    const WinogradProblem p({1, side, side, cin}, cout, ConvGeometry::square(3, 1, 1), 5);
    for (const ConvAlgorithm algorithm : both) {
      const PackedConv2d packed = p.packed(algorithm);
      Tensor one(p.residual.shape()), other(p.residual.shape());
      {
        const Threads threads(1);
        kernels::conv2d(packed, p.input, one, Activation::relu);
      }
      for (const int count : {1, 2, 3}) {
        const Threads threads(count);
        const std::size_t full = kernels::scratch_floats(packed, one.shape());
        for (const std::size_t size : {std::size_t{0}, full / 3, full, 2 * full}) {
          std::vector<float> scratch(size, std::numeric_limits<float>::quiet_NaN());
          kernels::conv2d(packed, p.input, other, Activation::relu, {}, scratch);
          CHECK(identical(one, other));
        }
      }
    }
  }
}

TEST_CASE("Winograd's convolution allocates nothing if it is given its scratch memory") {
  const WinogradProblem p({1, 30, 30, 40}, 40, ConvGeometry::square(3, 1, 1), 5);
  for (const int count : {1, 2}) {
    const Threads threads(count);
    const PackedConv2d packed = p.packed(ConvAlgorithm::winograd_4x4);
    Tensor output(p.residual.shape());
    std::vector<float> scratch(kernels::scratch_floats(packed, output.shape()));
    kernels::conv2d(packed, p.input, output, Activation::none, {}, scratch);  // starts the threads
    const std::size_t before = allocations();
    kernels::conv2d(packed, p.input, output, Activation::none, {}, scratch);
    CHECK(allocations() == before);
    kernels::conv2d(packed, p.input, output);
    CHECK(allocations() > before);
  }
}

TEST_CASE("Winograd's convolution may add its output to itself and writes nothing outside of it") {
  const std::size_t guard = 64;
  for (const ConvAlgorithm algorithm : both)
    for (const std::size_t cout : Sizes{1, 7, 16, 17, 33}) {
      const WinogradProblem p({1, 7, 6, 4}, cout, ConvGeometry::square(3, 1, 1), 3);
      const std::size_t size = p.residual.span().size();
      std::vector<float> memory(size + 2 * guard, 123.0f);
      std::copy(p.residual.span().begin(), p.residual.span().end(), memory.begin() + guard);
      const TensorView in_place{memory.data() + guard, p.residual.shape()};
      Tensor apart(p.residual.shape());
      kernels::conv2d(p.packed(algorithm), p.input, apart, Activation::relu, p.residual);
      kernels::conv2d(p.packed(algorithm), p.input, in_place, Activation::relu, in_place);
      CHECK(identical(apart, in_place));
      CHECK(std::count(memory.begin(), memory.begin() + guard, 123.0f) == guard);
      CHECK(std::count(memory.end() - guard, memory.end(), 123.0f) == guard);
    }
}

TEST_CASE("conv2d_bits thresholds exactly what conv2d writes, by Winograd's algorithm too") {
  for (const ConvAlgorithm algorithm : both)
    for (const std::size_t cout : Sizes{1, 8, 9, 17, 33, 65}) {
      const WinogradProblem p({2, 5, 7, 6}, cout, ConvGeometry::square(3, 1, 1),
                              static_cast<std::uint32_t>(cout));
      std::vector<float> thresholds(kernels::PackedWeights::padded(cout), INFINITY);
      const auto values = random_values(cout, 99);
      std::copy(values.begin(), values.end(), thresholds.begin());
      Tensor map(p.residual.shape());
      Bitplane bits(p.residual.shape());
      for (std::uint8_t& byte : bits.view().bytes()) byte = 0xFF;  // stale bits must go
      kernels::conv2d(p.packed(algorithm), p.input, map, Activation::relu, p.residual);
      kernels::conv2d_bits(p.packed(algorithm), p.input, bits, thresholds, Activation::relu, p.residual);
      CHECK(padding_is_zero(bits));
      bool same = true;
      for (std::size_t pixel = 0; pixel < map.shape().pixels(); ++pixel)
        for (std::size_t c = 0; c < cout; ++c)
          same = same && bits.get(pixel, c) == (map.view().pixel(pixel)[c] > thresholds[c]);
      CHECK(same);
    }
}

TEST_CASE("NaN and infinity reach every output that reads them, and no tile that does not") {
  for (const ConvAlgorithm algorithm : both)
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      WinogradProblem p({1, 16, 16, 5}, 20, ConvGeometry::square(3, 1, 1), 3);
      const Tensor good = p.run(algorithm);
      p.input[(6 * 16 + 9) * 5 + 2] = bad;
      const Tensor found = p.run(algorithm);
      for (std::size_t y = 0; y < 16; ++y)
        for (std::size_t x = 0; x < 16; ++x)
          for (std::size_t c = 0; c < 20; ++c) {
            const std::size_t at = (y * 16 + x) * 20 + c;
            const bool reads = y >= 5 && y <= 7 && x >= 8 && x <= 10;
            const bool near = y >= 2 && y <= 11 && x >= 5 && x <= 14;  // of a tile that reads it
            if (reads) CHECK_FALSE(std::isfinite(found[at]));
            if (!near) CHECK(found[at] == good[at]);
          }
    }
}

TEST_CASE("a packed convolution can be packed again for Winograd's algorithm, but not back") {
  const WinogradProblem p({1, 9, 9, 21}, 37, ConvGeometry::square(3, 1, 1), 3);
  const PackedConv2d direct = p.packed(ConvAlgorithm::direct);
  for (const ConvAlgorithm algorithm : both) {
    const PackedConv2d packed = direct.with(algorithm).value();
    CHECK(packed.algorithm() == algorithm);
    CHECK(packed.bytes() > direct.bytes());
    Tensor output(p.residual.shape());
    kernels::conv2d(packed, p.input, output);
    CHECK(identical(output, p.run(algorithm)));
    CHECK(contains(packed.with(ConvAlgorithm::direct).error().message(), "transformed before"));
  }
  Tensor output(p.residual.shape());
  kernels::conv2d(direct.with(ConvAlgorithm::direct).value(), p.input, output);
  CHECK(identical(output, p.run(ConvAlgorithm::direct)));
  CHECK(contains(
      PackedConv2d::make(p.weights, p.bias, ConvGeometry::square(3, 2, 1), both[0]).error().message(),
      "needs a 3x3 kernel, stride 1"));
}
