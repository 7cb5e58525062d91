#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include <qcnet/core/aligned_buffer.hpp>

#include <doctest/doctest.h>

using qcnet::AlignedBuffer;

TEST_CASE("aligned_buffer: aligned and zeroed at every size") {
  for (std::size_t size = 1; size < 200; ++size) {
    AlignedBuffer<std::uint8_t> buffer(size);
    REQUIRE(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == 0);
    REQUIRE(buffer.size() == size);
    for (std::uint8_t& byte : buffer.span()) {
      REQUIRE(byte == 0);
      byte = 0xFF;  // so that memory used again is not zero by luck
    }
  }
  CHECK(AlignedBuffer<float>(0).data() == nullptr);
}

TEST_CASE("aligned_buffer: copies are deep, moves keep the memory") {
  AlignedBuffer<int> first(3);
  first[1] = 5;
  AlignedBuffer<int> copy = first;
  copy[1] = 6;
  CHECK(first[1] == 5);
  const int* memory = copy.data();
  AlignedBuffer<int> moved = std::move(copy);
  CHECK(moved.data() == memory);
  CHECK(moved[1] == 6);
  first = moved;
  CHECK(first[1] == 6);
  CHECK(first.data() != moved.data());
  first = AlignedBuffer<int>();
  CHECK(first.size() == 0);
}

TEST_CASE("aligned_buffer: as many elements as wrap around are refused") {
  for (const std::size_t count : {SIZE_MAX, SIZE_MAX / 4 + 1, SIZE_MAX / 8 + 1})
    CHECK_THROWS_WITH(
        AlignedBuffer<float>{count},
        ("so much memory cannot be addressed: " + std::to_string(count) + " times 4 bytes").c_str());
}

TEST_CASE("aligned_buffer: no memory is mapped for sizes that wrap around") {
  CHECK(qcnet::detail::map_huge_pages(SIZE_MAX - qcnet::detail::huge_page + 1) == nullptr);
}

TEST_CASE("aligned_buffer: large ones are zeroed, deep and their own around whole huge pages") {
  const std::size_t page = qcnet::detail::huge_page;
  const auto is_zero = [](const AlignedBuffer<std::uint8_t>& buffer) {
    return std::all_of(buffer.data(), buffer.data() + buffer.size(), [](std::uint8_t b) { return b == 0; });
  };
  for (const std::size_t size :
       {page / 4 * 3 - 1, page / 4 * 3, page - 1, page, page + 1, 2 * page - 1, 3 * page + 70000}) {
    CAPTURE(size);
    const std::size_t mapped = qcnet::detail::huge_page_bytes(size);
    CHECK((mapped == 0 || mapped >= size));
    AlignedBuffer<std::uint8_t> first(size), second(size);
    CHECK(is_zero(first));
    CHECK(reinterpret_cast<std::uintptr_t>(first.data()) % (mapped == 0 ? 64 : page) == 0);
    std::fill_n(first.data(), size, std::uint8_t{0xFF});
    const AlignedBuffer<std::uint8_t> copy = first;
    CHECK(is_zero(second));
    first = AlignedBuffer<std::uint8_t>();
    CHECK(copy[0] == 0xFF);
    CHECK(copy[size - 1] == 0xFF);
    const std::uint8_t* const memory = second.data();
    const AlignedBuffer<std::uint8_t> moved = std::move(second);
    CHECK(moved.data() == memory);
    CHECK(is_zero(moved));
  }
}
