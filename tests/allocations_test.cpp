#include "allocations.hpp"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

#include <doctest/doctest.h>

namespace {
std::atomic<std::size_t> count{0};

void* allocate(std::size_t bytes, std::size_t alignment) {
  ++count;
  // aligned_alloc wants a multiple of the alignment
  void* memory = std::aligned_alloc(alignment, (bytes / alignment + 1) * alignment);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

std::size_t allocations() {
  return count;
}

// The array and nothrow forms of the standard library call these.
void* operator new(std::size_t bytes) {
  return allocate(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

TEST_CASE("allocations are counted") {
  struct alignas(128) Wide {
    char bytes[128];
  };
  const std::size_t before = allocations();
  // Through pointers that the compiler cannot see through, or it would remove the pairs.
  int* volatile one = new int(1);
  Wide* volatile wide = new Wide();
  char* volatile many = new char[100];
  CHECK(allocations() == before + 3);
  CHECK(reinterpret_cast<std::uintptr_t>(static_cast<Wide*>(wide)) % 128 == 0);
  delete one;
  delete wide;
  delete[] many;
}
