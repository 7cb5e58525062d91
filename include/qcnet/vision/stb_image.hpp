// The only include of stb_image: its JPEG, PNG and BMP decoders, private to the translation unit.
//
// The functions are static and in our namespace, so neither another translation unit nor a program's own
// copy of stb_image clashes with them. A source file that uses stb_image itself includes it before this
// header. stb_image's own SIMD is bit-identical to its plain code and would need a target check here.
#pragma once

#include <cassert>
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

namespace qcnet::inline QCNET_ABI::vision::stb {
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#elif __has_include(<stb_image.h>)
#include <stb_image.h>
#else
#error "qcnet/vision/read_image.hpp needs stb_image.h (Debian: libstb-dev); qcnet/vision/image.hpp does not"
#endif
}  // namespace qcnet::inline QCNET_ABI::vision::stb

#undef STB_IMAGE_IMPLEMENTATION
