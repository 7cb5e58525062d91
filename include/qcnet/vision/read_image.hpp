// Reads JPEG, PNG and BMP pictures. A node that gets raw pixels from its camera does not need this header.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <qcnet/vision/image.hpp>
#include <qcnet/vision/mend_picture.hpp>
#include <qcnet/vision/stb_image.hpp>

namespace qcnet::inline QCNET_ABI::vision {

/// What a picture may ask of memory; checked before its pixels are allocated.
struct ImageLimits {
  std::size_t max_width = 16384;
  std::size_t max_height = 16384;
  std::size_t max_pixels = std::size_t{64} << 20;
  std::size_t max_file_bytes = std::size_t{256} << 20;
};

namespace detail {

// Hands out a span and remembers whether the decoder wanted bytes after its end: stb_image itself goes on
// with zeros, so that half a picture would look like a whole one.
struct ByteSource {
  std::span<const std::byte> bytes;
  std::size_t position = 0;
  bool exhausted = false;

  static stb::stbi_io_callbacks callbacks() {
    return {[](void* user, char* out, int wanted) {
              auto& self = *static_cast<ByteSource*>(user);
              const std::size_t n =
                  std::min(static_cast<std::size_t>(wanted), self.bytes.size() - self.position);
              if (n == 0) self.exhausted = true;
              if (n != 0) std::memcpy(out, self.bytes.data() + self.position, n);
              self.position += n;
              return static_cast<int>(n);
            },
            [](void* user, int count) {  // stb_image only skips forward
              auto& self = *static_cast<ByteSource*>(user);
              self.position +=
                  std::min(static_cast<std::size_t>(std::max(count, 0)), self.bytes.size() - self.position);
            },
            [](void* user) {
              const auto& self = *static_cast<ByteSource*>(user);
              return static_cast<int>(self.position == self.bytes.size());
            }};
  }
};

}  // namespace detail

// These two are static because what they call is: an inline function must mean the same in every
// translation unit.

/// Decodes a JPEG, PNG or BMP to gray (`channels` = 1) or RGB (3). Alpha is dropped, 16-bit channels lose
/// their low byte. Other formats, sizes beyond `limits` and truncated data give an Error.
[[maybe_unused]] static Result<Image> decode_image(std::span<const std::byte> bytes, std::size_t channels = 3,
                                                   const ImageLimits& limits = {}) {
  if (channels != 1 && channels != 3)
    return Error("pictures are read with 1 or 3 channels, not " + std::to_string(channels));
  if (bytes.empty()) return Error("the file is empty");
  if (!detail::starts_with(bytes, "\xFF\xD8") && !detail::starts_with(bytes, "\x89PNG") &&
      !detail::starts_with(bytes, "BM"))
    return Error("not a JPEG, PNG or BMP picture; other formats are not read");

  const stb::stbi_io_callbacks callbacks = detail::ByteSource::callbacks();
  const Error too_short(detail::picture_ends_early);

  QCNET_TRY(const detail::Mended mended, detail::mend(bytes));
  if (!mended.empty()) bytes = mended;

  stb::allocation_limit = (std::size_t{1} << 16) + 2 * bytes.size();  // buffers grow by doubling
  int width = 0, height = 0, stored_channels = 0;
  detail::ByteSource header{bytes};
  if (stb::stbi_info_from_callbacks(&callbacks, &header, &width, &height, &stored_channels) == 0)
    return header.exhausted ? too_short
                            : Error("the picture's header is corrupt, or of an unsupported kind or size");
  // A BMP stored from top to bottom has a negative height.
  const std::size_t w = width < 0 ? SIZE_MAX : static_cast<std::size_t>(width);
  const std::size_t h = static_cast<std::size_t>(std::abs(static_cast<long long>(height)));
  const std::string size = std::to_string(width) + " x " + std::to_string(height);
  if (w == 0 || h == 0) return Error("the picture has no pixels: " + size);
  if (w > limits.max_width || h > limits.max_height || w > limits.max_pixels / h)
    return Error("the picture is too large: " + size + ", at most " + std::to_string(limits.max_width) +
                 " x " + std::to_string(limits.max_height) + " and " + std::to_string(limits.max_pixels) +
                 " pixels are allowed");

  // The largest honest request is the unpacked 16-bit RGBA of a PNG, doubled while it grows.
  stb::allocation_limit += 16 * (w + 64) * (h + 64);
  detail::ByteSource data{bytes};
  const std::unique_ptr<stb::stbi_uc, decltype(&stb::stbi_image_free)> pixels(
      stb::stbi_load_from_callbacks(&callbacks, &data, &width, &height, &stored_channels, 0),
      &stb::stbi_image_free);
  if (data.exhausted) return too_short;
  if (pixels == nullptr) {
    const std::string why = stb::stbi_failure_reason();
    // Some failures have no reason of their own; then it is what the decoder that was asked before had said.
    return Error("the picture is corrupt, truncated or of an unsupported kind" +
                 (why == "bad png sig" || why == "no SOI" ? "" : " (stb_image: " + why + ")"));
  }
  Image image{h, w, channels, std::vector<std::uint8_t>(h * w * channels)};
  convert_pixels_into(pixels.get(), static_cast<std::size_t>(stored_channels), h * w, channels,
                      image.pixels.data());
  return image;
}

/// `decode_image` of a file; the Error begins with `path`.
[[maybe_unused]] static Result<Image> read_image(const std::string& path, std::size_t channels = 3,
                                                 const ImageLimits& limits = {}) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) return Error(path + ": cannot be opened: " + std::strerror(errno));
  std::vector<std::byte> bytes;
  std::size_t used = 0;
  do {
    bytes.resize(used + (std::size_t{1} << 16));
    used += std::fread(bytes.data() + used, 1, bytes.size() - used, file.get());
    if (std::ferror(file.get()) != 0) return Error(path + ": cannot be read: " + std::strerror(errno));
    if (used > limits.max_file_bytes)
      return Error(path + ": larger than the " + std::to_string(limits.max_file_bytes) + " bytes allowed");
  } while (used == bytes.size());
  bytes.resize(used);

  auto image = decode_image(bytes, channels, limits);
  if (!image.ok()) return image.error().in(path);
  return image;
}

}  // namespace qcnet::inline QCNET_ABI::vision
