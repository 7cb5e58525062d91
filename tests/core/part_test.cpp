#include <cstddef>
#include <initializer_list>

#include <qcnet/core/part.hpp>

#include <doctest/doctest.h>

using qcnet::part_begin;

TEST_CASE("parts follow one another, end with the last thing, and differ by one at most") {
  // With 32 bits the product of the largest count and a part's number would wrap.
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{5}, std::size_t{97},
                                  std::size_t{1} << 20, std::size_t{3'000'000'001}})
    for (const std::size_t parts : {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{4096}}) {
      CAPTURE(count);
      CAPTURE(parts);
      CHECK(part_begin(count, 0, parts) == 0);
      CHECK(part_begin(count, parts, parts) == count);
      for (std::size_t i = 0; i < parts; ++i) {
        const std::size_t size = part_begin(count, i + 1, parts) - part_begin(count, i, parts);
        REQUIRE((size == count / parts || size == count / parts + 1));
      }
    }
}
