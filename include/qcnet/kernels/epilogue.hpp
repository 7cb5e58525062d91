// What happens to finished sums while they are in the L1 cache.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

enum class Activation : std::uint8_t { none, relu, leaky_relu };

/// The slope of leaky_relu below zero (Darknet's).
inline constexpr float leaky_slope = 0.1f;

inline vec activate(vec x, Activation activation) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return max(vec::zero(), x);
    case Activation::leaky_relu:
      return max(x, x * vec::broadcast(leaky_slope));
  }
  return x;
}

/// The plain twin of the above for one value.
inline float activate(float x, Activation activation) {
  if (!(x < 0.0f) || activation == Activation::none) return x;
  return activation == Activation::relu ? 0.0f : leaky_slope * x;
}

/// A block of channels of some consecutive pixels, as every epilogue sees it.
struct RowBlock {
  std::size_t pixel;   ///< the first one, flattened over N, H, W
  std::size_t column;  ///< first channel of the block
  std::size_t valid;   ///< channels of the block that exist; what is behind them is of no use
};

/// Writes activation(sum + residual) to a float map. `residual`, if any, has the output's shape.
struct StoreFloat {
  float* out;
  const float* residual;
  std::size_t channels;
  Activation activation;

  bool resumes = false;  ///< `out` holds the first part of every sum

  /// Whether a sum may wait in the output between two parts of the depth.
  bool has_parts() const { return residual != out; }
  /// The epilogue of a part of the depth: its sums go on from what the parts before left in the output.
  StoreFloat part(bool first, bool last) const {
    return {out, last ? residual : nullptr, channels, last ? activation : Activation::none, !first};
  }

  /// Where the block's sums may be written at once, as nothing is done to them; or null.
  float* in_place(const RowBlock& block) const {
    const bool plain = residual == nullptr && activation == Activation::none;
    return plain ? out + block.pixel * channels + block.column : nullptr;
  }

  /// Copies the first parts of `rows` pixels' sums to `sums`, `stride` floats apart.
  void resume(const RowBlock& block, std::size_t rows, float* sums, std::size_t stride) const {
    for (std::size_t r = 0; r < rows; ++r)
      std::copy_n(out + (block.pixel + r) * channels + block.column, block.valid, sums + r * stride);
  }

  /// The block of `rows` pixels, whose sums are `stride` floats apart, readable up to the next whole vector.
  void operator()(const RowBlock& block, std::size_t rows, const float* sums, std::size_t stride) const {
    for (std::size_t r = 0; r < rows; ++r, sums += stride) {
      const std::size_t base = (block.pixel + r) * channels + block.column;
      for (std::size_t c = 0; c < block.valid; c += vec::size) {
        const std::size_t count = std::min(vec::size, block.valid - c);
        vec sum = vec::load(sums + c);
        if (residual != nullptr) sum = sum + load(residual + base + c, count);
        sum = activate(sum, activation);
        if (count == vec::size)
          sum.store(out + base + c);
        else
          sum.store_partial(out + base + c, count);
      }
    }
  }

  static vec load(const float* from, std::size_t count) {
    return count == vec::size ? vec::load(from) : vec::load_partial(from, count);
  }
};

/// Writes the largest of each 2x2 pixels of activation(sum), a map of half the height and width, which are
/// even. The sums come in pairs of pixels, from even ones on, and of two rows the upper one's first.
struct StoreMaxPooled {
  float* out;
  std::size_t width;  ///< of the sums' map
  std::size_t channels;
  Activation activation;

  static constexpr bool resumes = false;
  float* in_place(const RowBlock&) const { return nullptr; }
  void resume(const RowBlock&, std::size_t, float*, std::size_t) const {}

  void operator()(const RowBlock& block, std::size_t rows, const float* sums, std::size_t stride) const {
    std::size_t y = block.pixel / width, x = block.pixel % width;
    for (std::size_t r = 0; r < rows; r += 2, sums += 2 * stride) {
      float* const to = out + (y / 2 * (width / 2) + x / 2) * channels + block.column;
      for (std::size_t c = 0; c < block.valid; c += vec::size) {
        const std::size_t count = std::min(vec::size, block.valid - c);
        // As in max_pool, in this order of arguments NaN does not win.
        const vec lowest = vec::broadcast(-std::numeric_limits<float>::infinity());
        vec largest = max(vec::load(sums + stride + c), max(vec::load(sums + c), lowest));
        // No activation changes an order, so the largest sum's is the largest.
        if (y % 2 == 1) largest = activate(max(largest, StoreFloat::load(to + c, count)), activation);
        if (count == vec::size)
          largest.store(to + c);
        else
          largest.store_partial(to + c, count);
      }
      x += 2;
      if (x == width) x = 0, ++y;
    }
  }
};

/// Writes the bits activation(sum + residual) > threshold, packed as in core/bitplane.hpp. The block's first
/// channel must be a multiple of 8. A pixel's thresholds are readable, and +infinity, up to the end of its
/// last block, which is what keeps the padding bits zero.
struct StoreBits {
  std::uint8_t* out;
  const float* residual;
  const float* thresholds;
  std::size_t threshold_stride;  ///< from one pixel's to the next one's; 0 if all have the same
  std::size_t channels;
  std::size_t pixel_bytes;
  Activation activation;

  static constexpr bool resumes = false;
  float* in_place(const RowBlock&) const { return nullptr; }
  void resume(const RowBlock&, std::size_t, float*, std::size_t) const {}

  void operator()(const RowBlock& block, std::size_t rows, const float* sums, std::size_t stride) const {
    for (std::size_t r = 0; r < rows; ++r, sums += stride) {
      const std::size_t pixel = block.pixel + r;
      const float* threshold = thresholds + pixel * threshold_stride + block.column;
      std::uint64_t bits = 0;
      for (std::size_t c = 0; c < block.valid; c += vec::size) {
        vec x = vec::load(sums + c);
        if (residual != nullptr)
          x = x + StoreFloat::load(residual + pixel * channels + block.column + c,
                                   std::min(vec::size, block.valid - c));
        const std::uint64_t greater = greater_bits(activate(x, activation), vec::load(threshold + c));
        bits |= greater << c;
      }
      std::uint8_t* to = out + pixel * pixel_bytes + block.column / 8;
      for (std::size_t byte = 0; byte * 8 < block.valid; ++byte)
        to[byte] = static_cast<std::uint8_t>(bits >> (8 * byte));
    }
  }
};

}  // namespace qcnet::inline QCNET_ABI::kernels
