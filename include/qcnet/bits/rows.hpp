// Pixels as rows that fill whole registers: shared by packing and expansion.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <type_traits>

#include <qcnet/core/parallel.hpp>
#include <qcnet/core/shape.hpp>

namespace qcnet::inline QCNET_ABI::bits {

inline constexpr std::size_t block = 32;         // channels of one step
inline constexpr std::size_t block_rows = 8;     // pixels of one step: they share what is loaded per channel
inline constexpr std::size_t most_joined = 256;  // channels

/// How many pixels to treat as one longer pixel, so that its channels are whole blocks; 1 if that cannot be
/// or is not worth it. Where channels fill their bytes, pixels follow one another without padding bits.
inline std::size_t joined_pixels(std::size_t channels) {
  if (channels % 8 != 0 || channels == 0) return 1;
  const std::size_t pixels = block / std::gcd(block, channels);
  return pixels * channels <= most_joined ? pixels : 1;
}

/// Per-channel values of joined pixels.
struct Repeated {
  alignas(64) float values[most_joined];
  Repeated(const float* channel_values, std::size_t channels, std::size_t pixels) {
    for (std::size_t i = 0; i < pixels; ++i) std::copy_n(channel_values, channels, values + i * channels);
  }
};

/// Pixels (or tokens) of one image of a map `[N, ..., C]`.
inline std::size_t image_pixels(const Shape& map) {
  std::size_t product = 1;
  for (std::size_t i = 1; i + 1 < map.rank(); ++i) product *= map[i];
  return product;
}

/// Whether `count` values are one for each channel of `map`, or one for each feature of an image.
inline bool fits_features(std::size_t count, const Shape& map) {
  return count == map.channels() || count == image_pixels(map) * map.channels();
}

/// Calls `body(row, count)` for runs of `block_rows` rows, and for what is left, one row at a time.
template <class Body>
void for_each_rows(std::size_t rows, std::size_t channels, const Body& body) {
  const bool worth_it = rows * channels >= (std::size_t{1} << 16);
  const auto full = [&](std::size_t i) {
    body(i * block_rows, std::integral_constant<std::size_t, block_rows>());
  };
  parallel_for(rows / block_rows, full, worth_it);
  for (std::size_t row = rows / block_rows * block_rows; row < rows; ++row)
    body(row, std::integral_constant<std::size_t, 1>());
}

}  // namespace qcnet::inline QCNET_ABI::bits
