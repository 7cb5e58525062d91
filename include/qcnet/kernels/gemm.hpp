// Register-blocked matrix product: rows of inputs, found through pointers, times packed weights.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include <qcnet/core/aligned_buffer.hpp>
#include <qcnet/kernels/bf16.hpp>
#include <qcnet/kernels/epilogue.hpp>
#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

// Rows (pixels) and vectors (of output channels) of the accumulator block. It takes all registers but those
// for the weights' vectors and one broadcast input.
#if QCNET_ISA_AVX512
inline constexpr std::size_t max_rows = 14;
#elif QCNET_HAS_32_REGISTERS
inline constexpr std::size_t max_rows = 12;
#elif QCNET_ISA_AVX2
inline constexpr std::size_t max_rows = 6;
#else
inline constexpr std::size_t max_rows = 4;
#endif
inline constexpr std::size_t block_vectors = 2;
inline constexpr std::size_t block_columns = block_vectors * vec::size;
static_assert(block_columns % 8 == 0, "a block's bits fill whole bytes");
inline constexpr std::size_t line_floats = 64 / sizeof(float);  // of a cache line

/// Weights `[columns, depth]` laid out for the micro-kernel: blocks of `block_columns` columns, each block
/// depth-major. The last block is one vector wide if that is enough; columns that do not exist are zero. They
/// are somebody else's.
///
/// In bfloat16 two weights along the depth take the place of a float: what is called depth here is then half
/// the number of inputs, rounded up.
class PackedWeights {
 public:
  PackedWeights(const float* data, std::size_t columns, std::size_t depth, bool bf16)
      : data_(data), columns_(columns), depth_(depth), bf16_(bf16) {}

  std::size_t columns() const { return columns_; }
  std::size_t depth() const { return depth_; }
  bool bf16() const { return bf16_; }
  /// Floats per depth step of the block that starts at column `first`.
  std::size_t block_width(std::size_t first) const {
    return columns_ - first <= vec::size ? vec::size : block_columns;
  }
  const float* block(std::size_t first) const { return data_ + first * depth_; }

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
  const float* data_;
  std::size_t columns_, depth_;
  bool bf16_;
};

/// The memory of some packed matrices that are alike: in one piece, as only a large one has huge pages.
class PackedMatrices {
 public:
  PackedMatrices() = default;
  /// `bf16`: each of the `depth` floats of a column holds a pair of bfloat16.
  PackedMatrices(std::size_t count, std::size_t columns, std::size_t depth, bool bf16 = false)
      : columns_(columns),
        depth_(depth),
        bf16_(bf16),
        pitch_((PackedWeights::padded(columns) * depth + line_floats - 1) / line_floats * line_floats),
        data_(count * pitch_) {}

  /// Fills the matrix number `i` with weights `[columns, depth]`.
  void pack(std::size_t i, std::span<const float> weights) {
    const PackedWeights packed = (*this)[i];
    float* to = data_.data() + i * pitch_;
    for (std::size_t first = 0; first < columns_; first += block_columns) {
      const std::size_t width = packed.block_width(first), valid = std::min(width, columns_ - first);
      for (std::size_t k = 0; k < depth_; ++k, to += width)
        for (std::size_t c = 0; c < valid; ++c) to[c] = weights[(first + c) * depth_ + k];
    }
  }

  PackedWeights operator[](std::size_t i) const {
    return {data_.data() + i * pitch_, columns_, depth_, bf16_};
  }
  std::size_t bytes() const { return data_.size() * sizeof(float); }

 private:
  std::size_t columns_ = 0, depth_ = 0;
  bool bf16_ = false;
  std::size_t pitch_ = 0;
  AlignedBuffer<float> data_;
};

#if QCNET_HAS_BF16
/// One matrix from `[columns, inputs]`, rounded to bfloat16.
inline PackedMatrices pack_bf16(std::span<const float> weights, std::size_t columns, std::size_t inputs) {
  const std::size_t depth = (inputs + 1) / 2;
  AlignedBuffer<float> pairs(columns * depth);
  for (std::size_t c = 0; c < columns; ++c)
    round_to_bf16(weights.data() + c * inputs, inputs, pairs.data() + c * depth);
  PackedMatrices packed(1, columns, depth, true);
  packed.pack(0, pairs.span());
  return packed;
}
#endif

/// The inputs of one tile: `runs` x `rows` pointers, each to `length` consecutive floats, or pairs of
/// bfloat16.
struct TileInput {
  const float* const* pointers;
  std::size_t runs;
  std::size_t length;
  /// Weights that are wanted soon: a cache line for each step of the depth is fetched into L2 from here on,
  /// while the sums are computed. A network's weights seldom fit a cache; waiting for them took a fifth of
  /// the time.
  const float* ahead;
  bool bf16 = false;
  std::size_t pitch = 0;  ///< floats from each row to the next, of every run; 0 if they lie anyhow
};

/// Where a tile's sums start from and where they go: rows of floats, `stride` apart. `initial` may be `sums`;
/// with a stride of 0 all rows start alike, as from a bias.
struct TileSums {
  const float* initial;
  std::size_t initial_stride;
  float* sums;
  std::size_t stride;
};

namespace detail {

/// What a step of the depth adds to a sum.
struct FloatProduct {
  static vec add(vec x, vec w, vec sum) { return fma(x, w, sum); }
};
#if QCNET_HAS_BF16
struct Bf16Product {
  static vec add(vec x, vec w, vec sum) { return dot_bf16(x, w, sum); }
};
#endif

/// Computes Rows x V vectors: what they start from + sum over runs and positions of input * weight, in that
/// order. Loops over the accumulators are unrolled, and so these stay in registers. What becomes of the
/// sums is not this function's business: it would have to be compiled anew for every epilogue.
///
/// `Pitched`: for an input with a pitch. Where each of 14 pointers comes from memory, at every step, there
/// are more loads than Intel's processors find time for beside 28 products; every third one and two distances
/// fit the registers.
template <class Product, std::size_t Rows, std::size_t V, bool Pitched = false>
void micro_kernel(const TileInput& input, const float* weights, const TileSums& tile) {
  vec acc[Rows][V];
  const float* from = tile.initial;
#pragma GCC unroll 16
  for (std::size_t m = 0; m < Rows; ++m, from += tile.initial_stride)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) acc[m][v] = vec::load(from + v * vec::size);
  const float* const* row = input.pointers;
  const float* ahead = input.ahead;
  constexpr std::size_t thirds = (Rows + 2) / 3;
  const float* third[thirds];
  const std::size_t pitch = input.pitch;
  // Depth k of the run; the weights and the line ahead are `later` steps from where the pointers are.
  const auto step = [&](std::size_t k, std::size_t later) __attribute__((always_inline)) {
    __builtin_prefetch(ahead + later * line_floats, 0, 2);
    vec w[V];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) w[v] = vec::load(weights + (later * V + v) * vec::size);
#pragma GCC unroll 16
    for (std::size_t m = 0; m < Rows; ++m) {
      const vec x = vec::broadcast(Pitched ? third[m / 3][m % 3 * pitch + later] : row[m][k]);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < V; ++v) acc[m][v] = Product::add(x, w[v], acc[m][v]);
    }
  };
  const auto advance = [&](std::size_t steps) __attribute__((always_inline)) {
    weights += steps * V * vec::size;
    ahead += steps * line_floats;
    if constexpr (Pitched) {
#pragma GCC unroll 5
      for (std::size_t t = 0; t < thirds; ++t) third[t] += steps;
    }
  };
  const std::size_t length = input.length;
  for (std::size_t run = 0; run < input.runs; ++run, row += Rows) {
    std::size_t k = 0;
    if constexpr (Pitched) {
#pragma GCC unroll 5
      for (std::size_t t = 0; t < thirds; ++t) third[t] = row[0] + 3 * t * pitch;
    }
#if QCNET_ISA_AVX512
    // Four steps as they are written, with pointers from memory: left to itself, the compiler mixes the steps
    // and moves pointers to vector registers and back, which took 2 to 3 % of the time.
    for (; k + 4 <= length; k += 4, advance(4)) {
#pragma GCC unroll 4
      for (std::size_t later = 0; later < 4; ++later) {
        step(k + later, later);
        asm volatile("" ::: "memory");
      }
    }
#endif
#pragma GCC unroll 4
    for (; k < length; ++k, advance(1)) step(k, 0);
  }
  float* to = tile.sums;
#pragma GCC unroll 16
  for (std::size_t m = 0; m < Rows; ++m, to += tile.stride)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) acc[m][v].store(to + v * vec::size);
}

using MicroKernel = void (*)(const TileInput&, const float*, const TileSums&);

template <class Product, std::size_t V, std::size_t... I>
constexpr std::array<MicroKernel, sizeof...(I) + 1> list_micro_kernels(std::index_sequence<I...>) {
  return {micro_kernel<Product, 1, V>, micro_kernel<Product, 2 * (I + 1), V>...};
}

/// The kernels of V vectors: of one row, then of every even number of rows.
template <class Product, std::size_t V>
inline constexpr auto micro_kernels =
    list_micro_kernels<Product, V>(std::make_index_sequence<max_rows / 2>{});

/// Whether such a tile's kernel needs no pointers but those of the first row.
inline bool is_pitched(std::size_t height, std::size_t pitch) {
  return QCNET_ISA_AVX512 && pitch != 0 && height == max_rows;
}

/// The kernel of a tile `height` rows high and `width` floats wide.
template <class Product>
MicroKernel micro_kernel_of(std::size_t height, std::size_t width, [[maybe_unused]] std::size_t pitch) {
#if QCNET_ISA_AVX512
  if (is_pitched(height, pitch))
    return width == block_columns ? micro_kernel<Product, max_rows, block_vectors, true>
                                  : micro_kernel<Product, max_rows, 1, true>;
#endif
  return (width == block_columns ? micro_kernels<Product, block_vectors>
                                 : micro_kernels<Product, 1>)[height / 2];
}

}  // namespace detail

/// The smallest tile height that holds `rows`, or the highest there is: 1 or an even number.
inline std::size_t tile_height(std::size_t rows) {
  return rows <= 1 ? 1 : std::min(max_rows, (rows + 1) / 2 * 2);
}

/// The input of `height` rows, `pitch` floats apart from `first` on; there are `valid`, and those past them
/// repeat the last. Their pointers go to `pointers`.
inline TileInput rows_at(const float* first, std::size_t pitch, std::size_t height, std::size_t valid,
                         std::size_t length, const float* ahead, std::array<const float*, max_rows>& pointers,
                         bool bf16 = false) {
  for (std::size_t m = 0; m < height; ++m) pointers[m] = first + std::min(m, valid - 1) * pitch;
  return {pointers.data(), 1, length, ahead, bf16, height <= valid ? pitch : 0};
}

/// A tile's share of fetching the `floats` that are wanted next, from `next` on: `tiles` tiles need the block
/// at hand, and each fetches another part meanwhile.
inline const float* share_ahead(const float* next, std::size_t floats, std::size_t tile, std::size_t tiles) {
  return next + floats / tiles * tile;
}

/// One tile of `height` rows (a value of `tile_height`) times a block of weights `width` floats wide: `w` is
/// the block's, from the first depth that `input` holds on.
inline void multiply_tile(std::size_t height, const TileInput& input, const float* w, std::size_t width,
                          const TileSums& tile) {
#if QCNET_HAS_BF16
  if (input.bf16)
    return detail::micro_kernel_of<detail::Bf16Product>(height, width, input.pitch)(input, w, tile);
#endif
  detail::micro_kernel_of<detail::FloatProduct>(height, width, input.pitch)(input, w, tile);
}

/// The same from `bias` on, and the first `valid_rows` rows through `store`.
template <class Store>
void multiply_tile(std::size_t height, std::size_t valid_rows, const TileInput& input, const float* w,
                   std::size_t width, const float* bias, const RowBlock& block, const Store& store) {
  const bool whole = valid_rows == height && block.valid == width;
  if (float* const out = store.in_place(block); whole && out != nullptr)
    return multiply_tile(
        height, input, w, width,
        {store.resumes ? out : bias, store.resumes ? store.channels : 0, out, store.channels});
  alignas(64) float sums[max_rows * block_columns];
  if (store.resumes && !whole) std::fill_n(sums, height * width, 0.0f);  // a kernel reads all of a tile
  if (store.resumes) store.resume(block, valid_rows, sums, width);
  multiply_tile(height, input, w, width,
                {store.resumes ? sums : bias, store.resumes ? width : 0, sums, width});
  store(block, valid_rows, sums, width);
}

}  // namespace qcnet::inline QCNET_ABI::kernels
