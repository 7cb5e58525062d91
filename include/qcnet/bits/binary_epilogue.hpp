// What happens to the counts of a binary convolution while they are in the L1 cache.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <qcnet/bits/count_thresholds.hpp>
#include <qcnet/bits/pack.hpp>
#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits {

inline constexpr std::size_t most_rows = 8;  // of a CountBlock

/// Counts of a block of channels of some consecutive pixels, as every epilogue sees them.
struct CountBlock {
  const std::int32_t* counts;  ///< [rows][stride]; up to `block` numbers behind the last may be read
  std::size_t stride;
  std::size_t rows;    ///< at most `most_rows`
  std::size_t pixel;   ///< the first one, flattened over N, H', W'
  std::size_t column;  ///< first channel of the block
  std::size_t valid;   ///< channels of the block that exist
};

/// y = scale * count + bias, for each of C output channels.
struct CountScale {
  std::span<const float> scale, bias;
};

inline vec load(const float* from, std::size_t count) {
  return count == vec::size ? vec::load(from) : vec::load_partial(from, count);
}

/// The scales and biases of `count` channels, at most a register, from channel `c` on.
struct ChannelScale {
  vec scale, bias;

  ChannelScale(const CountScale& all, std::size_t c, std::size_t count)
      : scale(load(all.scale.data() + c, count)), bias(load(all.bias.data() + c, count)) {}

  vec operator()(const std::int32_t* counts) const {
    alignas(64) float values[vec::size];
    for (std::size_t i = 0; i < vec::size; ++i) values[i] = static_cast<float>(counts[i]);
    return fma(scale, vec::load(values), bias);
  }
};

/// Writes the counts themselves.
struct StoreCounts {
  std::int32_t* out;
  std::size_t channels;

  void operator()(const CountBlock& from) const {
    for (std::size_t r = 0; r < from.rows; ++r)
      std::copy_n(from.counts + r * from.stride, from.valid, out + (from.pixel + r) * channels + from.column);
  }
};

/// Writes scale * count + bias + residual to a float map. `residual`, if any, has the output's shape.
struct StoreScaled {
  float* out;
  const float* residual;
  CountScale scale;
  std::size_t channels;

  void operator()(const CountBlock& from) const {
    residual != nullptr ? store<true>(from) : store<false>(from);
  }

 private:
  /// Register by register, so that scale and bias are loaded once for all rows.
  template <bool HasResidual>
  void store(const CountBlock& from) const {
    for (std::size_t c = 0; c < from.valid; c += vec::size) {
      const std::size_t count = std::min(vec::size, from.valid - c);
      const ChannelScale scaled(scale, from.column + c, count);
      const std::size_t base = from.pixel * channels + from.column + c;
      for (std::size_t r = 0; r < from.rows; ++r) {
        vec y = scaled(from.counts + r * from.stride + c);
        if constexpr (HasResidual) y = y + load(residual + base + r * channels, count);
        if (count == vec::size)
          y.store(out + base + r * channels);
        else
          y.store_partial(out + base + r * channels, count);
      }
    }
  }
};

/// Writes the bits scale * count + bias + residual > threshold, packed as in core/bitplane.hpp. The block's
/// first channel must be a multiple of 8.
struct StoreScaledBits {
  std::uint8_t* out;
  const float* residual;
  CountScale scale;
  const float* thresholds;
  std::size_t threshold_stride;  ///< from one pixel's to the next one's; 0 if all have the same
  std::size_t image_pixels;
  std::size_t channels;
  std::size_t pixel_bytes;

  void operator()(const CountBlock& from) const {
    for (std::size_t first = 0; first < from.valid; first += bits::block) {
      const std::size_t width = std::min(bits::block, from.valid - first), column = from.column + first;
      alignas(64) float y[most_rows][bits::block];
      for (std::size_t c = 0; c < width; c += vec::size) {
        const std::size_t count = std::min(vec::size, width - c);
        const ChannelScale scaled(scale, column + c, count);
        for (std::size_t r = 0; r < from.rows; ++r) {
          vec x = scaled(from.counts + r * from.stride + first + c);
          if (residual != nullptr) x = x + load(residual + (from.pixel + r) * channels + column + c, count);
          x.store(y[r] + c);
        }
      }
      for (std::size_t r = 0; r < from.rows; ++r) {
        const std::size_t pixel = from.pixel + r;
        const float* threshold = thresholds + pixel % image_pixels * threshold_stride + column;
        const std::uint32_t greater =
            width == bits::block ? greater_block(y[r], threshold) : greater_partial(y[r], threshold, width);
        store_bits(out + pixel * pixel_bytes + column / 8, greater, packed_bytes(width));
      }
    }
  }
};

/// Writes the bits of count thresholds: no float anywhere.
struct StoreCountBits {
  std::uint8_t* out;
  const std::int32_t* flips;  // of CountThresholds
  const std::int32_t* thresholds;
  std::size_t pixel_bytes;

  void operator()(const CountBlock& from) const {
    for (std::size_t first = 0; first < from.valid; first += bits::block) {
      const std::size_t width = std::min(bits::block, from.valid - first), column = from.column + first;
      const std::size_t bytes = packed_bytes(width);
      const std::uint32_t valid = width == bits::block ? ~std::uint32_t{0} : (std::uint32_t{1} << width) - 1;
      std::uint8_t* to = out + from.pixel * pixel_bytes + column / 8;
      for (std::size_t r = 0; r < from.rows; ++r, to += pixel_bytes) {
        const std::int32_t* counts = from.counts + r * from.stride + first;
        alignas(64) std::int32_t flipped[bits::block];
        for (std::size_t i = 0; i < bits::block; ++i) flipped[i] = counts[i] ^ flips[column + i];
        const std::uint32_t greater = greater_block(flipped, thresholds + column) & valid;
        if (bytes == 4)
          store_bits(to, greater, 4);
        else
          store_bits(to, greater, bytes);
      }
    }
  }
};

}  // namespace qcnet::inline QCNET_ABI::bits
