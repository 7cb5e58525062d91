// What happens to a finished row of accumulators before it leaves the registers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

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

/// A block of one pixel's channels, as every epilogue sees it.
struct RowBlock {
  std::size_t pixel;   ///< flattened over N, H, W
  std::size_t column;  ///< first channel of the block
  std::size_t valid;   ///< channels of the block that exist; the vectors behind them hold nothing of use
};

/// Writes activation(accumulator + residual) to a float map. `residual`, if any, has the output's shape.
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
  template <std::size_t V>
  [[gnu::always_inline]] void resume(const RowBlock& block, vec (&row)[V]) const {
    const float* from = out + block.pixel * channels + block.column;
    for (std::size_t v = 0; v < V; ++v, from += vec::size) {
      const std::size_t left = block.valid - std::min(block.valid, v * vec::size);
      row[v] = left >= vec::size ? vec::load(from) : vec::load_partial(from, left);
    }
  }

  // A call would spill the accumulators of all rows.
  template <std::size_t V>
  [[gnu::always_inline]] void operator()(const RowBlock& block, const vec (&row)[V]) const {
    const std::size_t base = block.pixel * channels + block.column;
    if (block.valid >= V * vec::size && residual == nullptr && activation == Activation::none) {
      for (std::size_t v = 0; v < V; ++v) row[v].store(out + base + v * vec::size);
      return;
    }
    for (std::size_t v = 0; v < V; ++v) {
      const std::size_t at = base + v * vec::size;
      const std::size_t left = block.valid - v * vec::size;
      if (left >= vec::size) {
        const vec sum = residual != nullptr ? row[v] + vec::load(residual + at) : row[v];
        activate(sum, activation).store(out + at);
      } else {
        const vec sum = residual != nullptr ? row[v] + vec::load_partial(residual + at, left) : row[v];
        activate(sum, activation).store_partial(out + at, left);
        return;
      }
    }
  }
};

/// Writes the bits activation(accumulator + residual) > threshold of the channel, packed as in
/// core/bitplane.hpp. The block's first channel must be a multiple of 8. `thresholds` is readable, and
/// +infinity, up to the end of the last block, which is what keeps the padding bits zero.
struct StoreBits {
  std::uint8_t* out;
  const float* residual;
  const float* thresholds;
  std::size_t channels;
  std::size_t pixel_bytes;
  Activation activation;

  template <std::size_t V>
  void operator()(const RowBlock& block, const vec (&row)[V]) const {
    std::uint64_t bits = 0;
    for (std::size_t v = 0; v < V && v * vec::size < block.valid; ++v) {
      const std::size_t column = block.column + v * vec::size;
      const std::size_t left = block.valid - v * vec::size;
      vec x = row[v];
      if (residual != nullptr) {
        const float* from = residual + block.pixel * channels + column;
        x = x + (left >= vec::size ? vec::load(from) : vec::load_partial(from, left));
      }
      const std::uint64_t greater = greater_bits(activate(x, activation), vec::load(thresholds + column));
      bits |= greater << (v * vec::size);
    }
    std::uint8_t* to = out + block.pixel * pixel_bytes + block.column / 8;
    for (std::size_t byte = 0; byte * 8 < block.valid; ++byte)
      to[byte] = static_cast<std::uint8_t>(bits >> (8 * byte));
  }
};

}  // namespace qcnet::inline QCNET_ABI::kernels
