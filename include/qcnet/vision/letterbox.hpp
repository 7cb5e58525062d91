// A picture of any size in a network's input of another shape: scaled to fit, centred, grey around it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <qcnet/vision/box.hpp>

namespace qcnet::inline QCNET_ABI::vision {

/// Where a picture lies in the input, sizes and places being those that PIL's `ImageOps.pad(picture, (width,
/// height), BILINEAR, color=128)` gives, so that a training script prepares its pictures with that one call.
struct Letterbox {
  static constexpr std::uint8_t gray = 128;  ///< around the picture; as a float 0.502

  std::size_t picture_height = 0, picture_width = 0;
  std::size_t input_height = 0, input_width = 0;
  std::size_t height = 0, width = 0;  ///< of the scaled picture, at least one pixel
  std::size_t top = 0, left = 0;      ///< of the scaled picture in the input

  /// No size may be zero.
  static Letterbox fit(std::size_t picture_height, std::size_t picture_width, std::size_t input_height,
                       std::size_t input_width) {
    const auto real = [](std::size_t n) { return static_cast<double>(n); };
    const double aspect = real(picture_width) / real(picture_height);
    const double input_aspect = real(input_width) / real(input_height);
    Letterbox box{picture_height, picture_width, input_height, input_width, input_height, input_width};
    if (aspect > input_aspect)
      box.height = scaled(real(picture_height) / real(picture_width) * real(input_width), input_height);
    else if (aspect < input_aspect)
      box.width = scaled(aspect * real(input_height), input_width);
    box.top = half(input_height - box.height);
    box.left = half(input_width - box.width);
    return box;
  }

  /// A box in pixels of the input, in pixels of the picture; it may reach beyond the picture.
  Box to_picture(const Box& box) const {
    const float x = ratio(picture_width, width), y = ratio(picture_height, height);
    const auto dx = static_cast<float>(left), dy = static_cast<float>(top);
    return {(box.x0 - dx) * x, (box.y0 - dy) * y, (box.x1 - dx) * x, (box.y1 - dy) * y};
  }

  /// The other way round.
  Box to_input(const Box& box) const {
    const float x = ratio(width, picture_width), y = ratio(height, picture_height);
    const auto dx = static_cast<float>(left), dy = static_cast<float>(top);
    return {box.x0 * x + dx, box.y0 * y + dy, box.x1 * x + dx, box.y1 * y + dy};
  }

 private:
  static std::size_t scaled(double size, std::size_t most) {
    return std::clamp<std::size_t>(static_cast<std::size_t>(std::nearbyint(size)), 1, most);
  }
  // Half of n, a half rounded to even.
  static std::size_t half(std::size_t n) { return n / 2 + (n % 2) * (n / 2 % 2); }
  static float ratio(std::size_t a, std::size_t b) {
    return static_cast<float>(static_cast<double>(a) / static_cast<double>(b));
  }
};

}  // namespace qcnet::inline QCNET_ABI::vision
