#include "allocations.hpp"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

#include <doctest/doctest.h>

namespace {

std::atomic<std::size_t> count{0};

void* allocate(std::size_t bytes, std::align_val_t alignment = std::align_val_t{alignof(std::max_align_t)}) {
  ++count;
  void* memory = nullptr;
  if (::posix_memalign(&memory, static_cast<std::size_t>(alignment), bytes) != 0) std::abort();
  return memory;
}

}  // namespace

std::size_t allocations() {
  return count;
}

// clang-format off
// All forms: sanitizers bring their own of each, which would neither count nor fit these.
using Bytes = std::size_t;
using Align = std::align_val_t;
using NoThrow = const std::nothrow_t&;
void* operator new(Bytes n) { return allocate(n); }
void* operator new[](Bytes n) { return allocate(n); }
void* operator new(Bytes n, NoThrow) noexcept { return allocate(n); }
void* operator new[](Bytes n, NoThrow) noexcept { return allocate(n); }
void* operator new(Bytes n, Align a) { return allocate(n, a); }
void* operator new[](Bytes n, Align a) { return allocate(n, a); }
void* operator new(Bytes n, Align a, NoThrow) noexcept { return allocate(n, a); }
void* operator new[](Bytes n, Align a, NoThrow) noexcept { return allocate(n, a); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, Bytes) noexcept { std::free(p); }
void operator delete[](void* p, Bytes) noexcept { std::free(p); }
void operator delete(void* p, NoThrow) noexcept { std::free(p); }
void operator delete[](void* p, NoThrow) noexcept { std::free(p); }
void operator delete(void* p, Align) noexcept { std::free(p); }
void operator delete[](void* p, Align) noexcept { std::free(p); }
void operator delete(void* p, Bytes, Align) noexcept { std::free(p); }
void operator delete[](void* p, Bytes, Align) noexcept { std::free(p); }
void operator delete(void* p, Align, NoThrow) noexcept { std::free(p); }
void operator delete[](void* p, Align, NoThrow) noexcept { std::free(p); }
// clang-format on

TEST_CASE("allocations are counted") {
  struct alignas(128) Wide {
    char bytes[128];
  };
  const std::size_t before = allocations();
  // Through pointers that the compiler cannot see through, or it would remove the pairs.
  int* volatile one = new int(1);
  int* volatile tried = new (std::nothrow) int(2);
  Wide* volatile wide = new Wide();
  char* volatile many = new char[100];
  CHECK(allocations() == before + 4);
  CHECK(reinterpret_cast<std::uintptr_t>(static_cast<Wide*>(wide)) % 128 == 0);
  delete one;
  delete tried;
  delete wide;
  delete[] many;
}
