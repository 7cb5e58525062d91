// Consecutive rows times packed weights, cut so that what is used again is still in a cache.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <qcnet/core/aligned_buffer.hpp>
#include <qcnet/core/parallel.hpp>
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

/// Floats (or pairs of bfloat16) of the depth in one pass: equal parts of at most `most`, whole cache lines;
/// all where sums cannot wait.
template <class Store>
std::size_t pass_length(std::size_t depth, const Store& store, std::size_t most = max_pass) {
  if constexpr (HasParts<Store>) {
    const std::size_t passes = (depth + most - 1) / most;
    if (store.has_parts() && passes > 1) return ((depth + passes - 1) / passes + 15) / 16 * 16;
  }
  return std::max<std::size_t>(1, depth);
}

/// Tiles of rows [first, end) and blocks of columns [first_block, end_block): what one thread does at a time.
struct RowsTask {
  std::size_t first, end, first_block, end_block;
};

/// Cuts a product of matrices into tasks: groups of blocks of columns, whose weights stay in the L2 cache,
/// times pieces of the rows. Neighbouring tasks, which are one thread's, share a group; or their rows, where
/// these are more than the columns and can be dealt out evenly: less is then read that another core wrote.
class RowsTasks {
 public:
  /// `block_bytes`: of the weights of a block of columns in one pass.
  RowsTasks(std::size_t tiles, std::size_t blocks, std::size_t block_bytes, bool parallel)
      : tiles_(tiles), blocks_(blocks) {
    const auto ceil_div = [](std::size_t a, std::size_t b) { return (a + b - 1) / b; };
    const std::size_t threads = parallel ? static_cast<std::size_t>(num_threads()) : 1;
    const std::size_t wanted = parallel ? 4 * threads : 1;
    // For few rows, more and smaller groups.
    const std::size_t most =
        std::max<std::size_t>(1, std::min(group_bytes / block_bytes, blocks * tiles / wanted));
    group_ = ceil_div(blocks, ceil_div(blocks, most));
    groups_ = ceil_div(blocks, group_);
    const std::size_t share = ceil_div(tiles, threads);
    own_rows_ = tiles * max_rows >= blocks * block_columns && share * threads * 16 <= tiles * 17;
    piece_ = own_rows_ ? share : ceil_div(tiles, std::min(tiles, ceil_div(wanted, groups_)));
    pieces_ = ceil_div(tiles, piece_);
  }

  std::size_t count() const { return groups_ * pieces_; }
  RowsTask operator[](std::size_t task) const {
    const std::size_t first = (own_rows_ ? task / groups_ : task % pieces_) * piece_;
    const std::size_t block = (own_rows_ ? task % groups_ : task / pieces_) * group_;
    return {first, std::min(tiles_, first + piece_), block, std::min(blocks_, block + group_)};
  }

 private:
  std::size_t tiles_, blocks_, group_, groups_, piece_, pieces_;
  bool own_rows_;
};

/// Rows as tiles read them: `pitch` floats apart.
struct Rows {
  const float* data;
  std::size_t pitch;
};

/// `given` scratch memory if it holds as many floats as are `wanted`, else `own`.
inline std::span<float> enough(std::span<float> given, std::size_t wanted, AlignedBuffer<float>& own) {
  if (given.size() >= wanted) return given;
  own = AlignedBuffer<float>(wanted);
  return own.span();
}

/// Whether rows are copied before they are multiplied: to round them to bfloat16, or as a multiple of a page
/// apart all rows of a tile would want the same set of the L1 cache.
inline bool wants_panel(const PackedWeights& weights) {
  return weights.bf16() || weights.depth() % (4096 / sizeof(float)) == 0;
}
inline std::size_t panel_pitch(const PackedWeights& weights) {
  return weights.depth() + line_floats;
}

/// Copies rows of `inputs` floats into `panel`; `row_at(r)` is where row r starts.
template <class RowAt>
Rows fill_panel(const PackedWeights& weights, const RowAt& row_at, std::size_t inputs, std::size_t rows,
                float* panel) {
  const std::size_t pitch = panel_pitch(weights);
  const auto copy = [&](std::size_t row) {
#if QCNET_HAS_BF16
    if (weights.bf16()) return round_to_bf16(row_at(row), inputs, panel + row * pitch);
#endif
    std::copy_n(row_at(row), inputs, panel + row * pitch);
  };
  parallel_for(rows, copy, rows * inputs > (std::size_t{1} << 16));
  return {panel, pitch};
}

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
void multiply_rows_task(const PackedWeights& weights, const float* bias, const Rows& rows, std::size_t count,
                        const RowsTask& task, const Store& store) {
  const std::size_t depth = weights.depth(), pass = pass_length(depth, store);
  const std::size_t end = std::min(count, task.end * max_rows);
  std::array<const float*, max_rows> pointers;
  for (std::size_t from = 0, length; from == 0 || from < depth; from += pass) {
    length = std::min(pass, depth - from);
    const bool last = from + length == depth;
    for (std::size_t t = task.first; t < task.end; ++t) {
      const std::size_t row = t * max_rows, height = tile_height(end - row);
      const std::size_t valid = std::min(height, end - row);
      TileInput tile = rows_at(rows.data + row * rows.pitch + from, rows.pitch, height, end - row, length,
                               nullptr, pointers, weights.bf16());
      for (std::size_t block = task.first_block; block < task.end_block; ++block) {
        const std::size_t column = block * block_columns, width = weights.block_width(column);
        const RowBlock where{row, column, std::min(block_columns, weights.columns() - column)};
        const float* w = weights.block(column) + from * width;
        tile.ahead = share_ahead(weights_after(weights, task, block, from, length), length * width,
                                 t - task.first, task.end - task.first);
        if constexpr (HasParts<Store>)
          multiply_tile(height, valid, tile, w, width, bias + column, where, store.part(from == 0, last));
        else
          multiply_tile(height, valid, tile, w, width, bias + column, where, store);
      }
    }
  }
}

/// Hands bias + row * weights^T of each of `count` rows to `store`. Every output is one sum in an order that
/// depends on the depth alone.
template <class Store>
void multiply_rows(const PackedWeights& weights, const float* bias, const Rows& rows, std::size_t count,
                   const Store& store) {
  if (count == 0 || weights.columns() == 0) return;
  const bool parallel = is_worth_threads(std::uint64_t{count} * weights.columns() * weights.depth());
  const RowsTasks tasks((count + max_rows - 1) / max_rows,
                        (weights.columns() + block_columns - 1) / block_columns,
                        pass_length(weights.depth(), store) * block_columns * sizeof(float), parallel);
  const auto body = [&](std::size_t task) {
    multiply_rows_task(weights, bias, rows, count, tasks[task], store);
  };
  parallel_for(tasks.count(), body, parallel);
}

}  // namespace qcnet::inline QCNET_ABI::kernels::detail
