// Consecutive rows times packed weights, cut so that what is used again is still in a cache.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include <qcnet/core/parallel.hpp>
#include <qcnet/core/result.hpp>
#include <qcnet/kernels/gemm.hpp>

namespace qcnet::inline QCNET_ABI::kernels::detail {

/// The longest part of the depth that is multiplied in one pass: a tile's rows nearly fit the L1 cache.
inline constexpr std::size_t max_pass = 768;
/// Weights that are read once for every tile of rows: with those that follow them, which are fetched
/// meanwhile, half of a common L2 cache.
inline constexpr std::size_t group_bytes = std::size_t{256} << 10;

/// An epilogue that can leave sums in the output and go on from there.
template <class Store>
concept HasParts = requires(const Store& store) {
  store.part(true, true);
};

/// Floats (or pairs of bfloat16) of the depth in one pass: equal parts of at most `max_pass`, whole cache
/// lines; all where sums cannot wait.
template <class Store>
std::size_t pass_length(std::size_t depth, const Store& store) {
  if constexpr (HasParts<Store>) {
    const std::size_t passes = (depth + max_pass - 1) / max_pass;
    if (store.has_parts() && passes > 1) return ((depth + passes - 1) / passes + 15) / 16 * 16;
  }
  return std::max<std::size_t>(1, depth);
}

/// Rows [first, end) and blocks of columns [first_block, end_block): what one thread does at a time.
struct RowsTask {
  std::size_t first, end, first_block, end_block;
};

/// The rows of one tile, a pass at a time. Rows longer than a pass are copied side by side: 3072 floats apart
/// they would all want the same set of the L1 cache. For bfloat16 they are rounded as they are copied.
class TileRows {
 public:
  /// Rows of `inputs` floats.
  TileRows(const float* input, std::size_t inputs, bool bf16) : input_(input), inputs_(inputs), bf16_(bf16) {}

  /// Depths [from, from + length) of `height` rows; rows past `last` repeat it.
  TileInput rows(std::size_t first_row, std::size_t height, std::size_t last, std::size_t from,
                 std::size_t length) {
    for (std::size_t m = 0; m < height; ++m) {
      const float* row = input_ + std::min(first_row + m, last) * inputs_;
      pointers_[m] = bf16_ || length != inputs_ ? copy(row, from, length, copy_ + m * pitch) : row;
    }
    return {pointers_.data(), 1, length, nullptr, bf16_};
  }

 private:
  static constexpr std::size_t pitch = max_pass + 16;  // no multiple of a page

  const float* copy(const float* row, std::size_t from, std::size_t length, float* to) const {
#if QCNET_HAS_BF16
    if (bf16_) {
      round_to_bf16(row + 2 * from, std::min(2 * length, inputs_ - 2 * from), to);
      return to;
    }
#endif
    std::copy_n(row + from, length, to);
    return to;
  }

  const float* input_;
  std::size_t inputs_;
  bool bf16_;
  std::array<const float*, max_rows> pointers_;
  alignas(64) float copy_[max_rows * pitch];
};

/// The weights that follow those of `block` in a pass: of the next pass, or of the blocks behind the task's.
inline const float* weights_after(const PackedWeights& weights, const RowsTask& task, std::size_t block,
                                  std::size_t from, std::size_t length) {
  const std::size_t column = block * block_columns, width = weights.block_width(column);
  if (from + length < weights.depth()) return weights.block(column) + (from + length) * width;
  const std::size_t next = column + (task.end_block - task.first_block) * block_columns;
  return next < weights.columns() ? weights.block(next) : weights.block(column) + from * width;
}

/// A task's rows stay in the L1 cache while its weights, which stay in L2, pass by.
template <class Store>
void multiply_rows_task(const PackedWeights& weights, const float* bias, const float* input,
                        std::size_t inputs, const RowsTask& task, const Store& store) {
  const std::size_t depth = weights.depth(), pass = pass_length(depth, store);
  TileRows tile_rows(input, inputs, weights.bf16());
  for (std::size_t from = 0, length; from == 0 || from < depth; from += pass) {
    length = std::min(pass, depth - from);
    const bool last = from + length == depth;
    const std::size_t tiles = (task.end - task.first + max_rows - 1) / max_rows;
    for (std::size_t row = task.first, t = 0; row < task.end; ++t) {
      const std::size_t height = tile_height(task.end - row), valid = std::min(height, task.end - row);
      TileInput tile = tile_rows.rows(row, height, task.end - 1, from, length);
      for (std::size_t block = task.first_block; block < task.end_block; ++block) {
        const std::size_t column = block * block_columns, width = weights.block_width(column);
        const RowBlock where{row, column, std::min(block_columns, weights.columns() - column)};
        const float* w = weights.block(column) + from * width;
        tile.ahead = share_ahead(weights_after(weights, task, block, from, length), length * width, t, tiles);
        if constexpr (HasParts<Store>)
          multiply_tile(height, valid, tile, w, width, bias + column, where, store.part(from == 0, last));
        else
          multiply_tile(height, valid, tile, w, width, bias + column, where, store);
      }
      row += valid;
    }
  }
}

/// Hands bias + row * weights^T of each of `rows` rows of `inputs` floats to `store`. Every output is one sum
/// in an order that depends on the depth alone. Raises for weights in bfloat16 that are deeper than a pass,
/// if sums cannot wait in the output.
template <class Store>
void multiply_rows(const PackedWeights& weights, const float* bias, const float* input, std::size_t inputs,
                   std::size_t rows, const Store& store) {
  const std::size_t blocks = (weights.columns() + block_columns - 1) / block_columns;
  const std::size_t tiles = (rows + max_rows - 1) / max_rows;
  if (rows == 0 || blocks == 0) return;
  if (weights.bf16() && pass_length(weights.depth(), store) > max_pass)
    raise(Error("bfloat16: with more than " + std::to_string(2 * max_pass) +
                " inputs the output cannot be bits, nor be the residual"));
  // Below, waking threads costs more than they bring.
  const bool parallel = rows * weights.columns() * weights.depth() > (std::size_t{1} << 18);
  const std::size_t wanted = parallel ? 4 * static_cast<std::size_t>(num_threads()) : 1;

  const auto ceil_div = [](std::size_t a, std::size_t b) { return (a + b - 1) / b; };
  const std::size_t block_bytes = pass_length(weights.depth(), store) * block_columns * sizeof(float);
  // For few rows, more and smaller groups.
  const std::size_t most =
      std::max<std::size_t>(1, std::min(group_bytes / block_bytes, blocks * tiles / wanted));
  const std::size_t group = ceil_div(blocks, ceil_div(blocks, most)), groups = ceil_div(blocks, group);
  const std::size_t pieces = std::min(tiles, ceil_div(wanted, groups));
  const std::size_t piece = ceil_div(tiles, pieces) * max_rows, row_pieces = ceil_div(rows, piece);
  const auto body = [&](std::size_t task) {
    const std::size_t first = task % row_pieces * piece, block = task / row_pieces * group;
    multiply_rows_task(weights, bias, input, inputs,
                       {first, std::min(rows, first + piece), block, std::min(blocks, block + group)}, store);
  };
  parallel_for(groups * row_pieces, body, parallel);
}

}  // namespace qcnet::inline QCNET_ABI::kernels::detail
