// Register-blocked matrix product: rows of inputs, found through pointers, times packed weights.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include <qcnet/core/aligned_buffer.hpp>
#include <qcnet/kernels/epilogue.hpp>
#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

// Rows (pixels) and vectors (of output channels) of the accumulator block. It takes all registers but those
// for the weights' vectors and one broadcast input.
#if QCNET_ISA_AVX512
inline constexpr std::size_t max_rows = 14;
#elif QCNET_ISA_NEON
inline constexpr std::size_t max_rows = 12;
#elif QCNET_ISA_AVX2
inline constexpr std::size_t max_rows = 6;
#else
inline constexpr std::size_t max_rows = 4;
#endif
inline constexpr std::size_t block_vectors = 2;
inline constexpr std::size_t block_columns = block_vectors * vec::size;
static_assert(block_columns % 8 == 0, "a block's bits fill whole bytes");

/// Weights `[columns, depth]` laid out for the micro-kernel: blocks of `block_columns` columns, each block
/// depth-major. The last block is one vector wide if that is enough; columns that do not exist are zero.
class PackedWeights {
 public:
  PackedWeights() = default;
  PackedWeights(std::span<const float> weights, std::size_t columns, std::size_t depth)
      : columns_(columns), depth_(depth), data_(padded(columns) * depth) {
    for (std::size_t first = 0; first < columns; first += block_columns) {
      float* to = data_.data() + first * depth;
      const std::size_t width = block_width(first), valid = std::min(width, columns - first);
      for (std::size_t k = 0; k < depth; ++k)
        for (std::size_t c = 0; c < valid; ++c) to[k * width + c] = weights[(first + c) * depth + k];
    }
  }

  std::size_t columns() const { return columns_; }
  std::size_t depth() const { return depth_; }
  /// Floats per depth step of the block that starts at column `first`.
  std::size_t block_width(std::size_t first) const {
    return columns_ - first <= vec::size ? vec::size : block_columns;
  }
  const float* block(std::size_t first) const { return data_.data() + first * depth_; }
  std::size_t bytes() const { return data_.size() * sizeof(float); }

  /// The weights `[columns, depth]` again, as they were given.
  void unpack(std::span<float> weights) const {
    for (std::size_t c = 0; c < columns_; ++c) {
      const std::size_t first = c / block_columns * block_columns;
      const float* from = block(first) + (c - first);
      for (std::size_t k = 0; k < depth_; ++k) weights[c * depth_ + k] = from[k * block_width(first)];
    }
  }

  /// `columns` rounded up to what the blocks cover: the size of bias and threshold arrays beside these
  /// weights.
  static std::size_t padded(std::size_t columns) {
    const std::size_t vectors = (columns + vec::size - 1) / vec::size;
    const std::size_t tail = vectors % block_vectors;
    return (tail <= 1 ? vectors : vectors + block_vectors - tail) * vec::size;
  }

 private:
  std::size_t columns_ = 0, depth_ = 0;
  AlignedBuffer<float> data_;
};

/// The inputs of one tile: `runs` x `rows` pointers, each to `length` consecutive floats.
struct TileInput {
  const float* const* pointers;
  std::size_t runs;
  std::size_t length;
};

namespace detail {

template <std::size_t... I, class F>
[[gnu::always_inline]] inline void unroll(std::index_sequence<I...>, const F& f) {
  (f(std::integral_constant<std::size_t, I>{}), ...);
}

/// Computes Rows x V vectors: bias (or what `store` resumes) + sum over runs and positions of input * weight,
/// in that order, then hands each of the first `valid_rows` rows to `store`. Compile-time indices everywhere,
/// so that the accumulators stay in registers.
template <std::size_t Rows, std::size_t V, class Store>
void micro_kernel(const TileInput& input, const float* weights, const float* bias, RowBlock block,
                  std::size_t valid_rows, const Store& store) {
  constexpr auto all = std::make_index_sequence<Rows * V>{};
  constexpr auto all_rows = std::make_index_sequence<Rows>{};
  vec acc[Rows][V];
  unroll(all, [&](auto i) { acc[i / V][i % V] = vec::load(bias + (i % V) * vec::size); });
  if constexpr (requires { store.resumes; })
    if (store.resumes)
      unroll(all_rows, [&](auto m) {
        vec row[V];
        store.resume(
            RowBlock{block.pixel + std::min<std::size_t>(m, valid_rows - 1), block.column, block.valid}, row);
        unroll(std::make_index_sequence<V>{}, [&](auto v) { acc[m][v] = row[v]; });
      });

  const float* const* pointers = input.pointers;
  for (std::size_t run = 0; run < input.runs; ++run, pointers += Rows) {
    const float* row[Rows];
    unroll(all_rows, [&](auto m) { row[m] = pointers[m]; });
    const std::size_t length = input.length;
#pragma GCC unroll 4
    for (std::size_t k = 0; k < length; ++k, weights += V * vec::size) {
      vec w[V];
      unroll(std::make_index_sequence<V>{}, [&](auto v) { w[v] = vec::load(weights + v * vec::size); });
      unroll(all_rows, [&](auto m) {
        const vec x = vec::broadcast(row[m][k]);
        unroll(std::make_index_sequence<V>{}, [&](auto v) { acc[m][v] = fma(x, w[v], acc[m][v]); });
      });
    }
  }
  unroll(all_rows, [&](auto m) {
    if (m >= valid_rows) return;
    // A copy: if `store` walked over `acc` itself, GCC would keep all of it in memory.
    vec row[V];
    unroll(std::make_index_sequence<V>{}, [&](auto v) { row[v] = acc[m][v]; });
    store(RowBlock{block.pixel + m, block.column, block.valid}, row);
  });
}

}  // namespace detail

/// The tile heights that exist: all of them, a half, a third or so, and one row.
inline constexpr std::array<std::size_t, 4> tile_rows = {max_rows, (max_rows + 1) / 2, (max_rows + 3) / 4, 1};

/// The smallest tile height that holds `rows`, or the highest there is.
inline std::size_t tile_height(std::size_t rows) {
  std::size_t height = tile_rows[0];
  for (const std::size_t candidate : tile_rows)
    if (candidate >= rows) height = candidate;
  return height;
}

/// One tile of `height` rows (a value of `tile_rows`), of which `valid_rows` are stored, times a block of V
/// vectors of columns: its packed weights `w`, from the first depth that `input` holds on, and its bias `b`.
template <std::size_t V, class Store>
void multiply_tile(std::size_t height, std::size_t valid_rows, const TileInput& input, const float* w,
                   const float* b, RowBlock block, const Store& store) {
  if (height == tile_rows[0])
    return detail::micro_kernel<tile_rows[0], V>(input, w, b, block, valid_rows, store);
  if (height == tile_rows[1])
    return detail::micro_kernel<tile_rows[1], V>(input, w, b, block, valid_rows, store);
  if (height == tile_rows[2])
    return detail::micro_kernel<tile_rows[2], V>(input, w, b, block, valid_rows, store);
  return detail::micro_kernel<1, V>(input, w, b, block, valid_rows, store);
}

/// The same for a block `width` floats wide.
template <class Store>
void multiply_tile(std::size_t height, std::size_t valid_rows, const TileInput& input, const float* w,
                   std::size_t width, const float* b, RowBlock block, const Store& store) {
  if (width == block_columns)
    return multiply_tile<block_vectors>(height, valid_rows, input, w, b, block, store);
  return multiply_tile<1>(height, valid_rows, input, w, b, block, store);
}

}  // namespace qcnet::inline QCNET_ABI::kernels
