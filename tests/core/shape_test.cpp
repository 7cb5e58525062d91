#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <qcnet/core/shape.hpp>

#include <doctest/doctest.h>

using qcnet::Shape;

namespace {
qcnet::Result<Shape> make(const std::vector<std::uint64_t>& dims) {
  return Shape::make(std::span<const std::uint64_t>(dims));
}
constexpr std::uint64_t two_to(int power) {
  return std::uint64_t{1} << power;
}
}  // namespace

TEST_CASE("shape: dimensions, elements, pixels, channels") {
  const Shape map{2, 5, 7, 3};
  CHECK(map.rank() == 4);
  CHECK(map[1] == 5);
  CHECK(map.elements() == 210);
  CHECK(map.pixels() == 70);
  CHECK(map.channels() == 3);
  CHECK(map.to_string() == "[2, 5, 7, 3]");
  CHECK(Shape{}.elements() == 1);
  CHECK(Shape{}.pixels() == 1);
  CHECK(Shape{}.channels() == 1);
  CHECK(Shape{}.to_string() == "[]");
  CHECK(Shape{4, 0, 3}.elements() == 0);
}

TEST_CASE("shape: equality looks at rank and dimensions") {
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK(Shape{2, 3} != Shape{3, 2});
  CHECK(Shape{2, 3} != Shape{2, 3, 1});
  CHECK(Shape{} != Shape{0});
}

TEST_CASE("shape: products that do not fit are errors, whatever stands beside them") {
  const std::vector<std::vector<std::uint64_t>> too_large = {
      {two_to(32), two_to(32)},                // wraps to 0
      {two_to(63), 2},                         // wraps to 0
      {two_to(32), two_to(32), 0},             // a zero hides nothing
      {0, two_to(32), two_to(32)},             // nor before
      {two_to(32), 0, two_to(32)},             // nor between
      {3, 0x5555555555555556},                 // wraps to 2
      {~std::uint64_t{0}, ~std::uint64_t{0}},  // wraps to 1
      {two_to(60)},                            // 8 bytes each would pass PTRDIFF_MAX
      {Shape::max_elements + 1},
  };
  for (const auto& dims : too_large) {
    const auto shape = make(dims);
    REQUIRE_FALSE(shape.ok());
    CHECK(shape.error().message().find("too large") != std::string::npos);
  }
  CHECK(make({Shape::max_elements}).ok());
  CHECK(make({Shape::max_elements, 1, 1}).ok());
  CHECK(make({Shape::max_elements / 2, 0, 2}).value().elements() == 0);
}

TEST_CASE("shape: at most 8 dimensions") {
  CHECK(make({1, 2, 1, 2, 1, 2, 1, 2}).value().elements() == 16);
  CHECK(make(std::vector<std::uint64_t>(9, 1)).error().message() ==
        "a shape has 9 dimensions, at most 8 are allowed");
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), std::runtime_error);
}
