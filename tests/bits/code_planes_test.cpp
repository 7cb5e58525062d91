#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
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

void check_like_reference(const Shape& shape, std::size_t features, std::size_t bits) {
  CAPTURE(shape.to_string());
  CAPTURE(bits);
  const RandomLevels levels(features, 2);
  const Tensor map = test::random_tensor(shape, 1);
  CodePlanes codes(bits, shape.channels(), levels.low, levels.high);
  Bitplane planes(CodePlanes::planes_of(shape, bits));
  codes.encode_into(map, planes);
  CHECK(padding_is_zero(planes));
  CHECK(differing(planes, bits::reference::encode(map, bits, levels.low, levels.high)) < 1e-3);
  Tensor decoded(shape);
  codes.decode_into(planes, decoded);
  const auto agrees = [&](ConstBitplaneView received) {
    const Tensor expected = bits::reference::decode(planes, received, shape, bits, levels.low, levels.high);
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
        check_like_reference(shape, channels, bits);
    for (const Shape& shape : {Shape{1, 13, 9}, Shape{2, 3, 5, 7}, Shape{3, 10, 32}})
      check_like_reference(shape, shape.elements() / shape[0], bits);
  }
}

TEST_CASE("codes: a value comes back as the level nearest to it") {
  const std::vector<float> low{-1, 0}, high{2, 7};
  CodePlanes codes(2, 2, low, high);
  const Shape shape{1, 1, 7, 2};
  const float values[] = {-9, -0.51f, -0.49f, 0.4f, 1.4f, 1.6f, 99};
  Tensor filled(shape), restored(shape);
  for (std::size_t i = 0; i < 7; ++i) filled[2 * i] = values[i];
  filled[1] = std::numeric_limits<float>::quiet_NaN();
  filled[3] = std::numeric_limits<float>::infinity();
  Bitplane planes(CodePlanes::planes_of(shape, 2));
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
  CodePlanes codes(3, 8, std::vector<float>(8), std::vector<float>(8, 1.0f));
  const Tensor map({1, 2, 2, 8});
  Bitplane planes({1, 2, 2, 24}), other({1, 2, 2, 16});
  Tensor restored(map.shape());
  CHECK_THROWS_AS(CodePlanes(3, 1, {0}, {1})
                      .encode_into(ConstTensorView(nullptr, Shape{}), BitplaneView{nullptr, Shape{}}),
                  std::runtime_error);
  CHECK_THROWS_AS(codes.encode_into(map, other), std::runtime_error);
  CHECK_THROWS_AS(codes.decode_into(other, restored), std::runtime_error);
  CHECK_THROWS_AS(codes.encode_into(Tensor({1, 2, 2, 7}), planes), std::runtime_error);
  const std::size_t before = allocations();
  codes.encode_into(map, planes);
  codes.decode_into(planes, restored);
  CHECK(allocations() == before);
}
