// The only include of stb_image: its JPEG, PNG and BMP decoders, private to the translation unit.
//
// The functions are static and in our namespace, so neither another translation unit nor a program's own
// copy of stb_image clashes with them. A source file that calls stb_image itself includes it, declarations
// only, before this header. stb_image's own SIMD is bit-identical to its plain code and would need a target
// check here.
#pragma once

#include <climits>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <qcnet/core/config.hpp>

#if defined(__GNUC__)
#pragma GCC system_header  // silences stb_image's warnings however it is found
#endif

#undef STBI_INCLUDE_STB_IMAGE_H
#undef STBIDEF
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_SIMD
#define STBI_MALLOC(size) allocate(size)
#define STBI_REALLOC(pointer, size) reallocate(pointer, size)
#define STBI_FREE(pointer) std::free(pointer)
// A strange picture must give an error, never end the program.
#define STBI_ASSERT(condition) ((void)0)

// On hostile pictures the cosine transform overflows int (nothings/stb#1533) and empty chunks are copied to a
// null pointer: wrong pixels and no wrong address, so a sanitizer that guards addresses should go on.
#if defined(__clang__)
#pragma clang attribute push(                                                              \
    __attribute__((no_sanitize("signed-integer-overflow", "shift", "nonnull-attribute"))), \
    apply_to = function)
#endif

namespace qcnet::inline QCNET_ABI::vision::stb {

/// Bytes that one allocation of the decoder may have: a few bytes of a PNG can claim or unfold to gigabytes.
inline thread_local std::size_t allocation_limit = 0;

// Zeroed memory: a JPEG scan may name a Huffman table that the file never defines, and stb_image before 2.28
// would then index with whatever the memory held.
inline void* allocate(std::size_t size) {
  return size <= allocation_limit ? std::calloc(1, size) : nullptr;
}
inline void* reallocate(void* memory, std::size_t size) {
  return size <= allocation_limit ? std::realloc(memory, size) : nullptr;
}

#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#elif __has_include(<stb_image.h>)
#include <stb_image.h>
#else
#error "qcnet/vision/read_image.hpp needs stb_image.h (Debian: libstb-dev); qcnet/vision/image.hpp does not"
#endif
}  // namespace qcnet::inline QCNET_ABI::vision::stb

#if defined(__clang__)
#pragma clang attribute pop
#endif
#undef STB_IMAGE_IMPLEMENTATION
