// Pictures as bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <qcnet/core/shape.hpp>

namespace qcnet::inline QCNET_ABI::vision {

/// A picture in somebody's memory, such as a camera's buffer, which must outlive it: as an Image, but rows
/// may be further apart.
struct ImageView {
  std::size_t height = 0;
  std::size_t width = 0;
  std::size_t channels = 0;
  std::span<const std::uint8_t> pixels;
  std::size_t stride = 0;  ///< bytes from one row to the next; 0: no gaps between them

  std::size_t row_bytes() const { return width * channels; }
  const std::uint8_t* row(std::size_t y) const {
    return pixels.data() + y * (stride == 0 ? row_bytes() : stride);
  }
};

/// A picture of 8 bits a channel, rows from top to bottom, channels interleaved: `pixels[(y * width + x) *
/// channels + c]`. 1 channel is gray, 3 are RGB.
struct Image {
  std::size_t height = 0;
  std::size_t width = 0;
  std::size_t channels = 0;
  std::vector<std::uint8_t> pixels;

  operator ImageView() const { return {height, width, channels, pixels}; }
};

/// Says what is wrong with an image that someone filled by hand: no pixels, other than 1 or 3 channels,
/// `pixels` of another size than height * width * channels; with a stride, rows that are longer or that end
/// behind `pixels`.
inline Result<void> check(const ImageView& image) {
  const std::size_t dims[] = {image.height, image.width, image.channels};
  QCNET_TRY(const Shape shape, Shape::make(std::span<const std::size_t>(dims)));
  if (shape.elements() == 0) return Error("the image " + shape.to_string() + " has no pixels");
  if (image.channels != 1 && image.channels != 3)
    return Error("the image " + shape.to_string() + " has neither 1 channel (gray) nor 3 (RGB)" +
                 (image.channels == 4 ? "; convert_pixels_into() drops the fourth" : ""));
  if (image.stride == 0) {
    if (image.pixels.size() == shape.elements()) return {};
    return Error("the image " + shape.to_string() + " needs " + std::to_string(shape.elements()) +
                 " bytes, found " + std::to_string(image.pixels.size()) +
                 (image.pixels.size() > shape.elements() ? "; rows that are apart need a stride" : ""));
  }
  // Made for an error alone: this runs for every picture of a camera.
  const auto named = [&] {
    return "the image " + shape.to_string() + " with rows " + std::to_string(image.stride) + " bytes apart";
  };
  if (image.stride < image.row_bytes())
    return Error(named() + ": a row has " + std::to_string(image.row_bytes()));
  const std::size_t gaps = image.height - 1;
  if (image.pixels.size() < image.row_bytes() ||
      (gaps > 0 && (image.pixels.size() - image.row_bytes()) / gaps < image.stride))
    return Error(named() + " is larger than its " + std::to_string(image.pixels.size()) + " bytes");
  return {};
}

/// Luma of an RGB pixel (ITU-R BT.601, 16-bit fixed point), as PIL's convert("L").
inline std::uint8_t luma(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 0x8000u) >> 16);
}

/// Writes `count` pixels of 1 to 4 channels (gray, gray+alpha, RGB, RGBA) as gray (1) or RGB (3): luma from
/// RGB, gray replicated into RGB, alpha dropped (as PIL does).
inline void convert_pixels_into(const std::uint8_t* source, std::size_t source_channels, std::size_t count,
                                std::size_t channels, std::uint8_t* target) {
  const bool source_is_rgb = source_channels >= 3;
  for (std::size_t i = 0; i < count; ++i, source += source_channels, target += channels) {
    if (channels == 1)
      target[0] = source_is_rgb ? luma(source) : source[0];
    else
      for (std::size_t c = 0; c < 3; ++c) target[c] = source[source_is_rgb ? c : 0];
  }
}

}  // namespace qcnet::inline QCNET_ABI::vision
