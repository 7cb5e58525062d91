#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/bits/code_planes.hpp>
#include <qcnet/bits/reference.hpp>

#include <allocations.hpp>
#include <doctest/doctest.h>
#include <support.hpp>

using namespace qcnet;

namespace {

/// Levels of which one in seven is constant.
struct RandomLevels {
  std::vector<float> low, high;
  RandomLevels(std::size_t features, std::uint32_t seed)
      : low(test::random_values(features, seed)), high(test::random_values(features, seed + 1)) {
    for (std::size_t i = 0; i < features; ++i) high[i] = i % 7 == 3 ? low[i] : low[i] + std::fabs(high[i]);
  }
};

/// The share of bits that differ: code and reference may round a value between two levels either way.
double differing(ConstBitplaneView a, ConstBitplaneView b) {
  REQUIRE(a.shape == b.shape);
  std::size_t different = 0;
  for (std::size_t i = 0; i < a.shape.elements(); ++i)
    different += a.get(i / a.shape.channels(), i % a.shape.channels()) !=
                 b.get(i / b.shape.channels(), i % b.shape.channels());
  return static_cast<double>(different) / static_cast<double>(std::max<std::size_t>(1, a.shape.elements()));
}

using Counts = std::vector<std::size_t>;

std::string to_string(const Counts& counts) {
  std::string text;
  for (const std::size_t count : counts) text += std::to_string(count) + ' ';
  return text;
}

/// A value in 11 is none or infinite.
Tensor wild_map(const Shape& shape) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  Tensor map = test::random_tensor(shape, 1);
  for (std::size_t i = 5; i < map.span().size(); i += 11)
    map[i] = i % 3 == 0 ? std::numeric_limits<float>::quiet_NaN() : i % 3 == 1 ? infinity : -infinity;
  return map;
}

void check_like_reference(const Shape& shape, std::size_t features, const Counts& counts) {
  CAPTURE(shape.to_string());
  CAPTURE(to_string(counts));
  const RandomLevels levels(features, 2);
  const Tensor map = wild_map(shape);
  CodePlanes codes(counts, shape.channels(), levels.low, levels.high);
  Bitplane planes(CodePlanes::planes_of(shape, counts));
  codes.encode_into(map, planes);
  CHECK(padding_is_zero(planes));
  CHECK(differing(planes, bits::reference::encode(map, counts, levels.low, levels.high)) < 1e-3);
  Tensor decoded(shape);
  codes.decode_into(planes, decoded);
  const auto agrees = [&](ConstBitplaneView received) {
    const Tensor expected = bits::reference::decode(planes, received, shape, counts, levels.low, levels.high);
    return shape.elements() == 0 || test::relative_difference(decoded, expected) < 1e-6;
  };
  CHECK(agrees(bits::reference::all_received(planes.shape())));
  for (const Bitplane& received : {test::random_bits(planes.shape(), 3), Bitplane(planes.shape())}) {
    codes.decode_into(planes, received, decoded);
    CHECK(agrees(received));
  }
}

}  // namespace

TEST_CASE("codes: planes and levels equal those of the plain loops for awkward shapes") {
  for (const std::size_t bits : {1u, 2u, 3u, 4u, 8u}) {
    for (const std::size_t channels : {1u, 3u, 7u, 8u, 16u, 31u, 33u, 80u})
      for (const Shape& shape : {Shape{1, 1, 1, channels}, Shape{0, 3, 5, channels}, Shape{2, 5, 5, channels},
                                 Shape{3, 13, channels}})
        check_like_reference(shape, channels, Counts(bits, channels));
    for (const Shape& shape : {Shape{1, 13, 9}, Shape{2, 3, 5, 7}, Shape{3, 10, 32}})
      check_like_reference(shape, shape.elements() / shape[0], Counts(bits, shape.channels()));
  }
}

TEST_CASE("codes: channels may have different numbers of bits, or none") {
  const std::vector<Counts> all_counts = {
      {1},          {3, 3},       {7, 5, 2, 1}, {80, 18, 15, 11, 8, 4},
      {33, 32, 31}, {64, 17, 16}, {129, 1},     {17, 9, 8, 7, 4, 3, 2, 1}};
  for (const std::size_t channels : {1u, 3u, 17u, 64u, 80u, 129u})
    for (Counts counts : all_counts) {
      for (std::size_t& count : counts) count = std::min(count, channels);
      check_like_reference({1, 1, 1, channels}, channels, counts);
      check_like_reference({0, 3, 5, channels}, channels, counts);
      check_like_reference({2, 3, 7, channels}, channels, counts);
      check_like_reference({2, 13, channels}, 13 * channels, counts);  // levels of each token
    }
}

TEST_CASE(
    "codes: a plane carries the first channels only, what has no bits becomes the middle of its levels") {
  const std::vector<float> low{-1, 0, 2}, high{2, 1, 5};
  CodePlanes codes({2, 1}, 3, low, high);
  const Shape shape{1, 1, 2, 3};
  Tensor map(shape), restored(shape);
  std::ranges::copy(std::vector<float>{0.9f, 0.7f, 9, 1.8f, 0.2f, 0}, map.data());
  Bitplane planes({1, 1, 2, 3});
  codes.encode_into(map, planes);
  // Codes 2 and 3 of two bits, then 1 and 0 of one.
  const bool expected[2][3] = {{false, true, true}, {true, false, true}};
  for (std::size_t p = 0; p < 2; ++p)
    for (std::size_t at = 0; at < 3; ++at) CHECK(planes.get(p, at) == expected[p][at]);
  codes.decode_into(planes, restored);
  const float levels[] = {1, 1, 3.5f, 2, 0, 3.5f};
  for (std::size_t i = 0; i < 6; ++i) CHECK(restored[i] == levels[i]);
}

TEST_CASE("codes: the middle of two levels is finite where their sum is not") {
  CodePlanes codes({1}, 2, {0.0f, 2e38f}, {1.0f, 3e38f});
  Tensor map({1, 2});
  codes.decode_into(Bitplane({1, 1}), map);
  CHECK(map[0] == 0.0f);
  CHECK(map[1] == 2.5e38f);
}

TEST_CASE("codes: a value comes back as the level nearest to it") {
  const std::vector<float> low{-1, 0}, high{2, 7};
  CodePlanes codes({2, 2}, 2, low, high);
  const Shape shape{1, 1, 7, 2};
  const float values[] = {-9, -0.51f, -0.49f, 0.4f, 1.4f, 1.6f, 99};
  Tensor filled(shape), restored(shape);
  for (std::size_t i = 0; i < 7; ++i) filled[2 * i] = values[i];
  filled[1] = std::numeric_limits<float>::quiet_NaN();
  filled[3] = std::numeric_limits<float>::infinity();
  Bitplane planes({1, 1, 7, 4});
  codes.encode_into(filled, planes);
  codes.decode_into(planes, restored);
  const float expected[] = {-1, -1, 0, 0, 1, 2, 2};
  for (std::size_t i = 0; i < 7; ++i) CHECK(restored[2 * i] == expected[i]);
  CHECK(restored[1] == 0.0f);
  CHECK(restored[3] == 7.0f);
  // Channel p C + c is bit p of channel c: the code 1 of the third pixel's first channel, 2 of the fifth's.
  CHECK(planes.get(2, 0));
  CHECK_FALSE(planes.get(2, 2));
  CHECK_FALSE(planes.get(4, 0));
  CHECK(planes.get(4, 2));
}

TEST_CASE("codes: what does not fit raises, and nothing is allocated") {
  CodePlanes codes({8, 8, 8}, 8, std::vector<float>(8), std::vector<float>(8, 1.0f));
  const Tensor map({1, 2, 2, 8});
  Bitplane planes({1, 2, 2, 24}), other({1, 2, 2, 16});
  Tensor restored(map.shape());
  CHECK_THROWS_AS(CodePlanes({1, 1, 1}, 1, {0}, {1})
                      .encode_into(ConstTensorView(nullptr, Shape{}), BitplaneView{nullptr, Shape{}}),
                  std::runtime_error);
  CHECK_THROWS_AS(codes.encode_into(map, other), std::runtime_error);
  CHECK_THROWS_AS(codes.decode_into(other, restored), std::runtime_error);
  CHECK_THROWS_AS(codes.encode_into(Tensor({1, 2, 2, 7}), planes), std::runtime_error);
  for (const Counts& counts : {Counts{}, {9}, {0}, {3, 4}, {3, 0}, Counts(9, 1)})
    CHECK_THROWS_AS(CodePlanes(counts, 8, std::vector<float>(8), std::vector<float>(8)), std::runtime_error);
  for (const auto& [low, high] :
       {std::pair<std::size_t, std::size_t>{8, 7}, {16, 8}, {0, 0}, {4, 4}, {12, 12}})
    CHECK_THROWS_WITH(CodePlanes({8}, 8, std::vector<float>(low), std::vector<float>(high)),
                      ("codes: " + std::to_string(low) + " lowest and " + std::to_string(high) +
                       " highest levels are not those of 8 channels")
                          .c_str());
  CHECK_THROWS_WITH(CodePlanes::planes_of(Shape{}, Counts{1}),
                    "codes: a single number is no map that planes can be of");
  const std::size_t before = allocations();
  codes.encode_into(map, planes);
  codes.decode_into(planes, restored);
  CHECK(allocations() == before);
}
