// Products of matrices by Strassen's algorithm, one level deep. Sums of weights are made when they are
// packed, sums of inputs once a call; the products of a block are put together while they are in the L1
// cache (after Huang et al., "Strassen's Algorithm Reloaded", 2016).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <qcnet/core/aligned_buffer.hpp>
#include <qcnet/core/parallel.hpp>
#include <qcnet/kernels/matmul.hpp>
#include <qcnet/kernels/packed_conv2d.hpp>
#include <qcnet/kernels/strassen_transforms.hpp>

namespace qcnet::inline QCNET_ABI::kernels::detail {

/// How rows are cut into blocks of an upper and a lower half, and what is kept of each: the inputs of its
/// products one behind the other, each as many rows as a half has, half as deep as the weights.
struct StrassenPlan {
  static constexpr std::size_t block_rows = 2 * max_rows;
  std::size_t count, depth;  // rows; floats of a half of the depth
  std::size_t pitch, panel;  // floats from row to row; from block to block

  StrassenPlan(const PackedConv2d& conv, std::size_t rows)
      : count(rows),
        depth(conv.input_channels() / 2),
        pitch(depth + line_floats),
        panel(strassen_products * max_rows * pitch) {}

  std::size_t blocks() const { return (count + block_rows - 1) / block_rows; }
  std::size_t rows(std::size_t block) const { return std::min(block_rows, count - block * block_rows); }
  /// Rows of a half: with an odd or small number of rows some of the lower one do not exist.
  std::size_t half(std::size_t block) const { return tile_height((rows(block) + 1) / 2); }
  std::size_t scratch_floats() const { return blocks() * panel; }
};

/// The inputs of all products of a block; `row_at(r)` is where row r starts. Rows that do not exist repeat
/// the last.
template <class RowAt>
void fill_strassen_panel(const StrassenPlan& plan, const RowAt& row_at, std::size_t block, float* panel) {
  const std::size_t half = plan.half(block), last = plan.rows(block) - 1;
  const std::size_t first = block * StrassenPlan::block_rows;
  for (std::size_t m = 0; m < half; ++m) {
    const float* const upper = row_at(first + std::min(m, last));
    const float* const lower = row_at(first + std::min(half + m, last));
    for (std::size_t k = 0; k < plan.depth; k += vec::size) {
      const auto sums = strassen_inputs({vec::load(upper + k), vec::load(upper + plan.depth + k),
                                         vec::load(lower + k), vec::load(lower + plan.depth + k)});
      for (std::size_t i = 0; i < strassen_products; ++i)
        sums[i].store(panel + (i * half + m) * plan.pitch + k);
    }
  }
}

/// Puts the products of a block, each of `half` rows of block_columns floats, together: what `sums` starts
/// from (TileSums) plus theirs, 2 x `half` rows of strassen_columns.
inline void combine_strassen(const float* products, std::size_t half, const TileSums& sums) {
  for (std::size_t m = 0; m < half; ++m)
    for (std::size_t c = 0; c < block_columns; c += vec::size) {
      std::array<vec, strassen_products> p;
      for (std::size_t i = 0; i < strassen_products; ++i)
        p[i] = vec::load(products + (i * half + m) * block_columns + c);
      const std::array<vec, 4> quarters = strassen_outputs(p);
      for (std::size_t q = 0; q < 4; ++q) {
        const std::size_t row = m + q / 2 * half, column = c + q % 2 * block_columns;
        (quarters[q] + vec::load(sums.initial + row * sums.initial_stride + column))
            .store(sums.sums + row * sums.stride + column);
      }
    }
}

/// All products of a block of rows with a block of columns, over depths [from, from + length) of the halves.
inline void multiply_strassen_block(const PackedConv2d& conv, const StrassenPlan& plan, const float* panel,
                                    std::size_t block, std::size_t column, std::size_t from,
                                    std::size_t length, std::size_t next_column, float* products) {
  alignas(64) static constexpr float zeros[block_columns] = {};
  const std::size_t half = plan.half(block);
  std::array<const float*, max_rows> rows;
  for (std::size_t i = 0; i < strassen_products; ++i) {
    const PackedWeights weights = conv.weights(i);
    const float* const w = weights.block(column / 2) + from * block_columns;
    const float* next = w + length * block_columns;  // of the next pass, or of the columns after these
    if (from + length == plan.depth)
      next = next_column < conv.output_channels() ? weights.block(next_column / 2) : w;
    multiply_tile(half,
                  rows_at(panel + i * half * plan.pitch + from, plan.pitch, half, half, length,
                          share_ahead(next, length * block_columns, block, plan.blocks()), rows),
                  w, block_columns, {zeros, 0, products + i * half * block_columns, block_columns});
  }
}

/// What one thread does at a time: its blocks of rows times its columns, the depth in passes of `pass`.
template <class Store>
void strassen_task(const PackedConv2d& conv, const StrassenPlan& plan, const float* panels,
                   const RowsTask& task, std::size_t pass, const Store& store) {
  alignas(64) float products[strassen_products * max_rows * block_columns];
  alignas(64) float sums[StrassenPlan::block_rows * strassen_columns];
  for (std::size_t from = 0; from < plan.depth; from += pass) {
    const std::size_t length = std::min(pass, plan.depth - from);
    for (std::size_t block = task.first; block < task.end; ++block)
      for (std::size_t b = task.first_block; b < task.end_block; ++b) {
        const std::size_t column = b * strassen_columns;
        const std::size_t next_column = (b + task.end_block - task.first_block) * strassen_columns;
        multiply_strassen_block(conv, plan, panels + block * plan.panel, block, column, from, length,
                                next_column, products);
        const std::size_t half = plan.half(block), valid = plan.rows(block);
        const RowBlock where{block * StrassenPlan::block_rows, column, strassen_columns};
        const auto finish = [&](const auto& epilogue) {
          float* const out = valid == 2 * half ? epilogue.in_place(where) : nullptr;
          float* const to = out != nullptr ? out : sums;
          const std::size_t stride = out != nullptr ? epilogue.channels : strassen_columns;
          if (epilogue.resumes && out == nullptr) epilogue.resume(where, valid, sums, stride);
          combine_strassen(
              products, half,
              {epilogue.resumes ? to : conv.bias(0) + column, epilogue.resumes ? stride : 0, to, stride});
          if (out == nullptr) epilogue(where, valid, sums, stride);
        };
        if constexpr (HasParts<Store>)
          finish(store.part(from == 0, from + length == plan.depth));
        else
          finish(store);
      }
  }
}

/// Hands bias + row * weights^T of each of `count` rows to `store`; `row_at(r)` is where row r starts. A
/// row's sums depend, in their rounding, on the row that it shares a block with and, of a depth of several
/// passes, on whether they can wait in the output, but not on the number of threads.
template <class RowAt, class Store>
void multiply_rows_strassen(const PackedConv2d& conv, const RowAt& row_at, std::size_t count,
                            std::span<float> scratch, const Store& store) {
  if (count == 0 || conv.output_channels() == 0) return;
  const StrassenPlan plan(conv, count);
  const std::size_t pass = pass_length(plan.depth, store, max_pass / 2);
  const bool parallel =
      is_worth_threads(std::uint64_t{count} * conv.output_channels() * conv.input_channels());
  const auto fill = [&](std::size_t block) {
    fill_strassen_panel(plan, row_at, block, scratch.data() + block * plan.panel);
  };
  parallel_for(plan.blocks(), fill, parallel);

  const std::size_t weight_bytes = strassen_products * pass * block_columns * sizeof(float);
  const RowsTasks tasks(plan.blocks(), conv.output_channels() / strassen_columns, weight_bytes, parallel);
  const auto body = [&](std::size_t task) {
    strassen_task(conv, plan, scratch.data(), tasks[task], pass, store);
  };
  parallel_for(tasks.count(), body, parallel);
}

}  // namespace qcnet::inline QCNET_ABI::kernels::detail
