#include <cstdint>
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
