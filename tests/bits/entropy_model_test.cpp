#include "allocations.hpp"
#include "round_trip.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include <qcnet/bits/entropy_model.hpp>

#include <doctest/doctest.h>
#include <support.hpp>

using namespace qcnet;
using bits::EntropyModel;
using Bytes = std::vector<std::uint8_t>;
using Weights = std::vector<std::int16_t>;
using Neighbors = std::vector<EntropyModel::Neighbor>;

namespace {

/// What a model is made of.
struct Parts {
  std::size_t channels;
  Neighbors neighbors;
  Weights bias, weights, own;

  EntropyModel model() const { return EntropyModel::make(channels, neighbors, bias, weights, own).value(); }
};

const Neighbors neighbors_of_a_pixel = {{0, -1}, {-1, 0}, {-1, -1}, {-1, 1},
                                        {0, -2}, {-2, 0}, {-1, 2},  {-2, -2}};

Parts random_parts(std::size_t channels, std::size_t neighbors, std::uint32_t seed) {
  std::mt19937 engine(seed);
  const auto numbers = [&](std::size_t count) {
    Weights all(count);
    for (std::int16_t& w : all) w = static_cast<std::int16_t>(engine() % 41) - std::int16_t{20};
    return all;
  };
  Parts parts{channels,
              Neighbors(neighbors_of_a_pixel.begin(),
                        neighbors_of_a_pixel.begin() + static_cast<std::ptrdiff_t>(neighbors)),
              numbers(5 * channels), numbers(neighbors * channels * channels), numbers(channels * channels)};
  for (std::size_t i = 0; i < channels; ++i)
    std::fill_n(parts.own.begin() + static_cast<std::ptrdiff_t>(i * channels), i + 1, std::int16_t{0});
  return parts;
}

/// The plain form of docs/frame.md: log-odds of each bit from single bits, in 64 bits.
Bytes reference_code(const Parts& parts, ConstBitplaneView map) {
  Bytes code(2 * map.size_bytes() + 64);
  bits::RangeEncoder encoder(code);
  const bits::CodingGrid grid = bits::CodingGrid::of(map.shape);
  const std::size_t image = grid.lead + grid.height * grid.width, channels = parts.channels;
  for (std::size_t pixel = 0; pixel < map.shape.pixels(); ++pixel)
    for (std::size_t c = 0; c < channels; ++c) {
      const std::size_t place = pixel % image;
      const bool by_itself = place < grid.lead;
      const auto y = static_cast<std::int64_t>(by_itself ? 0 : (place - grid.lead) / grid.width);
      const auto x = static_cast<std::int64_t>(by_itself ? 0 : (place - grid.lead) % grid.width);
      std::int64_t odds = parts.bias[(by_itself ? 4u : (y > 0 ? 1u : 0u) + (x > 0 ? 2u : 0u)) * channels + c];
      for (std::size_t k = 0; k < parts.neighbors.size() && !by_itself; ++k) {
        const std::int64_t ny = y + parts.neighbors[k].dy, nx = x + parts.neighbors[k].dx;
        if (ny < 0 || nx < 0 || nx >= static_cast<std::int64_t>(grid.width)) continue;
        const std::size_t other = pixel - place + grid.lead + static_cast<std::size_t>(ny) * grid.width +
                                  static_cast<std::size_t>(nx);
        for (std::size_t i = 0; i < channels; ++i)
          if (map.get(other, i)) odds += parts.weights[(k * channels + i) * channels + c];
      }
      for (std::size_t i = 0; i < c; ++i)
        if (map.get(pixel, i)) odds += parts.own[i * channels + c];
      const auto at = static_cast<std::size_t>(std::clamp<std::int64_t>(odds, -1024, 1023) + 1024);
      encoder.code(map.get(pixel, c), bits::logistic.probability[at]);
    }
  code.resize(encoder.finish());
  return code;
}

std::string model_error(const Parts& parts) {
  const auto made = EntropyModel::make(parts.channels, parts.neighbors, parts.bias, parts.weights, parts.own);
  REQUIRE_FALSE(made.ok());
  return made.error().message();
}

}  // namespace

TEST_CASE("entropy_model: codes are those of the plain form, and every map comes back") {
  std::uint32_t seed = 0;
  for (const std::size_t channels : test::Sizes{1, 3, 8, 31, 33, 64, 100})
    for (const std::size_t neighbors : test::Sizes{0, 1, 2, 8}) {
      const Parts parts = random_parts(channels, neighbors, ++seed);
      const EntropyModel model = parts.model();
      for (const Shape& shape :
           {Shape{1, 1, 1, channels}, Shape{1, 1, 7, channels}, Shape{1, 9, 1, channels},
            Shape{2, 5, 6, channels}, Shape{1, 2, channels}, Shape{2, 10, channels}, Shape{3, 11, channels},
            Shape{12, channels}, Shape{channels}, Shape{0, 4, 4, channels}, Shape{2, 0, channels}}) {
        CAPTURE(shape.to_string());
        CAPTURE(neighbors);
        const Bitplane map = test::random_bits(shape, seed);
        const Bytes code = test::code_of(map, &model);
        REQUIRE(code == reference_code(parts, map));
        REQUIRE(test::decodes(code, map, &model));
      }
    }
}

TEST_CASE("entropy_model: what it foresees takes next to nothing") {
  Parts parts{16, {{0, -1}}, Weights(5 * 16, 0), Weights(16 * 16, 0), Weights(16 * 16, 0)};
  for (std::size_t c = 0; c < 16; ++c) {
    for (std::size_t row = 2; row < 4; ++row) parts.bias[row * 16 + c] = -1000;
    parts.weights[c * 16 + c] = 2000;  // as its left neighbor
  }
  Bitplane rows({1, 32, 32, 16});
  const Bitplane random = test::random_bits({1, 32, 1, 16}, 1);
  for (std::size_t i = 0; i < 1024; ++i)
    for (std::size_t c = 0; c < 16; ++c) rows.set(i, c, random.get(i / 32, c));
  const EntropyModel model = parts.model();
  CHECK(test::code_of(rows, &model).size() < 64 + 8);  // the first column is 64 bytes of chance
}

TEST_CASE("entropy_model: coding allocates nothing, and the largest sums that may be do not wrap") {
  Parts parts{3, {{0, -1}}, Weights(15, 767), Weights(9, 8000), Weights(9, 0)};
  parts.own[1] = parts.own[2] = 8000;
  parts.own[5] = 0;
  const EntropyModel model = parts.model();  // 767 + 4 * 8000 = 32767 to channel 1
  Bitplane ones({1, 3, 3, 3});
  for (std::size_t i = 0; i < 27; ++i) ones.set(i / 3, i % 3, true);
  CHECK(test::code_of(ones, &model) == reference_code(parts, ones));
  Bytes code(64);
  const std::size_t before = allocations();
  bits::RangeEncoder encoder(code);
  encode_bits(ones, &model, encoder);
  CHECK(allocations() == before);
}

TEST_CASE("entropy_model: what cannot be is said") {
  {
    const EntropyModel model = random_parts(9, 2, 1).model();
    Bitplane map({1, 2, 2, 8});
    Bytes code(64);
    bits::RangeEncoder encoder(code);
    CHECK_THROWS_WITH(encode_bits(map, &model, encoder),
                      "an entropy model of 9 channels cannot code a map [1, 2, 2, 8]");
    bits::RangeDecoder decoder(code);
    CHECK_THROWS_WITH(decode_bits(decoder, &model, map),
                      "an entropy model of 9 channels cannot code a map [1, 2, 2, 8]");
  }
  const Parts good = random_parts(3, 2, 1);
  Parts bad = good;
  bad.neighbors[1] = {0, 1};
  CHECK(model_error(bad) == "an entropy model's neighbor (0, 1) is not at most 2 rows and columns before");
  for (const EntropyModel::Neighbor other : Neighbors{{0, 0}, {1, 0}, {-3, 0}, {-1, 3}, {0, -3}}) {
    bad.neighbors[1] = other;
    CHECK(model_error(bad).find("not at most 2 rows") != std::string::npos);
  }
  bad = good;
  bad.own[1 * 3 + 1] = 1;
  CHECK(model_error(bad) ==
        "an entropy model's channel 1 cannot depend on channel 1 of the same pixel, which comes later");
  bad = good;
  bad.weights.pop_back();
  CHECK(model_error(bad) == "an entropy model's weights are not of its channels and neighbors");
  bad = random_parts(3, 2, 1);
  bad.channels = 0;
  CHECK(model_error(bad) == "an entropy model cannot be of 0 channels, only of 1 to 4096");
  bad.channels = 4097;
  CHECK(model_error(bad) == "an entropy model cannot be of 4097 channels, only of 1 to 4096");
  bad = good;
  bad.neighbors.resize(9, {0, -1});
  CHECK(model_error(bad) == "an entropy model cannot have 9 neighbors, at most 8");
  bad = Parts{1, {{0, -1}}, Weights(5, 767), Weights(1, 32001 - 1), Weights(1, 0)};
  CHECK(bad.model().channels() == 1);
  bad.bias[3] = -768;
  CHECK(model_error(bad) == "an entropy model's weights to channel 0 add up to 32768, more than 32767");
}
