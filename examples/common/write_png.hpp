// Pictures to PNG files. The only include of stb_image_write, private to the translation unit.
#pragma once

#include "output_file.hpp"

#include <climits>
#include <cstddef>
#include <ostream>
#include <string>

#include <qcnet/vision/image.hpp>

#if defined(__GNUC__)
#pragma GCC system_header  // silences stb_image_write's warnings however it is found
#endif

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

namespace examples {

/// Error: an image that contradicts itself, or a file that cannot be written; then there is no file.
inline qcnet::Result<void> write_png(const std::string& path, const qcnet::vision::Image& image) {
  if (const auto fine = qcnet::vision::check(image); !fine) return fine.error().in(path);
  // stb_image_write computes sizes as int, with a byte more for each row.
  if (image.pixels.size() + image.height > INT_MAX)
    return qcnet::Error(path + ": a picture of " + std::to_string(image.width) + " x " +
                        std::to_string(image.height) + " is too large for this writer");
  QCNET_TRY(OutputFile file, OutputFile::open(path));
  const auto write = [](void* stream, void* data, int size) {
    static_cast<std::ostream*>(stream)->write(static_cast<const char*>(data), size);
  };
  const auto width = static_cast<int>(image.width), channels = static_cast<int>(image.channels);
  if (stbi_write_png_to_func(write, &file.stream(), width, static_cast<int>(image.height), channels,
                             image.pixels.data(), width * channels) == 0)
    return qcnet::Error(path + ": there is not enough memory to compress the picture");
  return file.commit();
}

}  // namespace examples
