// Bits -> feature map of two levels per channel: dequantization.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <qcnet/bits/rows.hpp>
#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI {

namespace bits {

/// The 32 bits of a block. Written out, compilers make it one load.
inline std::uint32_t load_block(const std::uint8_t* from) {
  return std::uint32_t{from[0]} | std::uint32_t{from[1]} << 8 | std::uint32_t{from[2]} << 16 |
         std::uint32_t{from[3]} << 24;
}

/// The bits of at most a register's channels from channel `c` on, where `count` are left.
inline std::uint32_t load_partial_bits(const std::uint8_t* pixel, std::size_t c, std::size_t count) {
  const std::uint8_t* from = pixel + c / 8;
  return (std::uint32_t{from[0]} | (count > 8 ? std::uint32_t{from[1]} << 8 : 0u)) >> (c % 8);
}

inline void expand_rows(const std::uint8_t* bits, std::size_t rows, std::size_t channels, const float* low,
                        const float* high, float* out) {
  const std::size_t row_bytes = packed_bytes(channels);
  for_each_rows(rows, channels, [=](std::size_t first, auto count) {
    const std::uint8_t* from = bits + first * row_bytes;
    float* to = out + first * channels;
    std::size_t c = 0;
    for (; c + block <= channels; c += block) {
      std::uint32_t word[decltype(count)::value];
      for (std::size_t r = 0; r < count; ++r) word[r] = load_block(from + r * row_bytes + c / 8);
      for (std::size_t i = 0; i < block; i += vec::size) {
        const vec zero = vec::load(low + c + i), one = vec::load(high + c + i);
        for (std::size_t r = 0; r < count; ++r)
          blend_bits(word[r] >> i, zero, one).store(to + r * channels + c + i);
      }
    }
    for (; c < channels; c += vec::size) {
      const std::size_t n = std::min(channels - c, vec::size);
      const vec zero = vec::load_partial(low + c, n), one = vec::load_partial(high + c, n);
      for (std::size_t r = 0; r < count; ++r) {
        const std::uint32_t word = load_partial_bits(from + r * row_bytes, c, n);
        blend_bits(word, zero, one).store_partial(to + r * channels + c, n);
      }
    }
  });
}

}  // namespace bits

/// out = bit ? high : low, the very values, no arithmetic. `bits` and `out` have the same shape `[N, ...,
/// C]`, and there are levels of each kind for each channel, or for each channel of each pixel of an image;
/// raises if not.
inline void expand_into(ConstBitplaneView bits, std::span<const float> low, std::span<const float> high,
                        TensorView out) {
  const std::size_t channels = bits.shape.channels(), pixels = bits.shape.pixels();
  if (!(out.shape == bits.shape) || !bits::fits_features(low.size(), bits.shape) || high.size() != low.size())
    raise(Error("expand: bits " + bits.shape.to_string() + " with " + std::to_string(low.size()) +
                " low and " + std::to_string(high.size()) + " high levels do not fit a map " +
                out.shape.to_string()));
  if (low.size() != channels) {
    const std::size_t positions = bits::image_pixels(bits.shape);
    for (std::size_t p = 0; p < pixels; ++p) {
      const std::size_t first = p % positions * channels;
      bits::expand_rows(bits.pixel(p), 1, channels, &low[first], &high[first], out.pixel(p));
    }
    return;
  }
  std::size_t done = 0;
  if (const std::size_t joined = bits::joined_pixels(channels); joined > 1) {
    const bits::Repeated lows(low.data(), channels, joined), highs(high.data(), channels, joined);
    done = pixels / joined * joined;
    bits::expand_rows(bits.data, pixels / joined, channels * joined, lows.values, highs.values, out.data);
  }
  bits::expand_rows(bits.pixel(done), pixels - done, channels, low.data(), high.data(), out.pixel(done));
}

/// The same where only bits set in `received` are known; the others give the middle of their two levels.
inline void expand_into(ConstBitplaneView bits, ConstBitplaneView received, std::span<const float> low,
                        std::span<const float> high, TensorView out) {
  expand_into(bits, low, high, out);
  if (!(received.shape == bits.shape))
    raise(Error("expand: the bits that arrived are " + received.shape.to_string() + ", the map is " +
                bits.shape.to_string()));
  const std::size_t channels = bits.shape.channels();
  for (std::size_t p = 0; p < bits.shape.pixels(); ++p) {
    const std::size_t first = low.size() == channels ? 0 : p % bits::image_pixels(bits.shape) * channels;
    for (std::size_t c = 0; c < channels; ++c)
      if (c % 8 == 0 && received.pixel(p)[c / 8] == 0xff)
        c += 7;  // most of what is sent arrives
      else if (!received.get(p, c))
        out.pixel(p)[c] = 0.5f * low[first + c] + 0.5f * high[first + c];
  }
}

}  // namespace qcnet::inline QCNET_ABI
