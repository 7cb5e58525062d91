// Large memory from the system, in huge pages where it has them: with pages of 4 KiB the processor looks up
// where each lies, and a network's weights need more of them than it remembers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include <qcnet/core/config.hpp>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace qcnet::inline QCNET_ABI::detail {

/// Bytes of a huge page of x86, and of ARM with pages of 4 KiB.
inline constexpr std::size_t huge_page = std::size_t{2} << 20;

#ifdef MADV_HUGEPAGE

/// What the system is asked for to have so many bytes: whole huge pages, if the last one would be used to
/// three quarters, else a last one of small pages. None if there would not be a huge one.
inline std::size_t huge_page_bytes(std::size_t bytes) {
  constexpr std::size_t small_page = std::size_t{64} << 10;  // the largest there is
  const std::size_t rest = bytes % huge_page, whole = bytes - rest;
  if (rest >= huge_page / 4 * 3) return whole + huge_page;
  return whole == 0 ? 0 : whole + (rest + small_page - 1) / small_page * small_page;
}

/// Zeroed memory on a boundary of huge pages; `bytes` is what `huge_page_bytes` gave. Null if there is none.
/// A system without huge pages gives small ones.
inline void* map_huge_pages(std::size_t bytes) {
  if (bytes == 0 || bytes > std::numeric_limits<std::size_t>::max() - huge_page) return nullptr;
  void* const mapped =
      ::mmap(nullptr, bytes + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* const from = static_cast<char*>(mapped);
  const std::size_t before = -reinterpret_cast<std::uintptr_t>(mapped) % huge_page;
  if (before != 0) ::munmap(from, before);
  ::munmap(from + before + bytes, huge_page - before);
  ::madvise(from + before, bytes, MADV_HUGEPAGE);
  return from + before;
}

inline void unmap_huge_pages(void* memory, std::size_t bytes) {
  ::munmap(memory, bytes);
}

#else

inline std::size_t huge_page_bytes(std::size_t) {
  return 0;
}
inline void* map_huge_pages(std::size_t) {
  return nullptr;
}
inline void unmap_huge_pages(void*, std::size_t) {}

#endif

}  // namespace qcnet::inline QCNET_ABI::detail
