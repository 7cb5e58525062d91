// 3x3 convolution of stride 1 by Winograd's algorithm F(m x m, 3 x 3): the input's tiles are transformed,
// multiplied channel by channel with the transformed weights, and transformed back (Lavin & Gray, 2016).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <qcnet/core/parallel.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/kernels/gemm.hpp>
#include <qcnet/kernels/packed_conv2d.hpp>
#include <qcnet/kernels/winograd_transforms.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

namespace detail {

/// How a map is cut into tiles of m x m outputs, and those into blocks.
struct WinogradPlan {
  std::size_t m, down, across, tiles;  // tiles: of all images
  std::size_t row;                     // floats from one tile's transformed channels to the next one's
  std::size_t block;                   // tiles that are transformed, multiplied and transformed back at once

  /// Few enough that a block of them stays in L2 or nearly, many enough that reading all the weights once a
  /// block does not count.
  static constexpr std::size_t most_tiles = 28 / max_rows * max_rows;

  WinogradPlan(const PackedConv2d& conv, const Shape& output)
      : m(winograd_outputs(conv.algorithm())),
        down((output[1] + m - 1) / m),
        across((output[2] + m - 1) / m),
        tiles(output[0] * down * across) {
    row = (conv.input_channels() + line_floats - 1) / line_floats * line_floats;
    if (row % 256 == 0)
      row += line_floats;  // or the rows that are read together would meet in few sets of L1
    const std::size_t blocks = std::max<std::size_t>(1, (tiles + most_tiles - 1) / most_tiles);
    block = (tiles + blocks - 1) / blocks;
  }

  std::size_t products() const { return (m + 2) * (m + 2); }
  std::size_t input_floats() const { return products() * block * row; }
  /// A row more than there are: the last tile of an odd number of rows is one too high.
  std::size_t product_floats() const { return (products() * block + 1) * block_columns; }
  /// Of one thread.
  std::size_t scratch_floats() const { return input_floats() + product_floats(); }
};

/// Pointers to the (M + 2)^2 pixels that a tile's outputs read, row by row.
template <std::size_t M>
void fill_tile_pointers(const PackedConv2d& conv, ConstTensorView input, const WinogradPlan& plan,
                        std::size_t tile, std::array<const float*, (M + 2) * (M + 2)>& pointers) {
  const std::size_t height = input.shape[1], width = input.shape[2], channels = input.shape[3];
  const std::size_t x = tile % plan.across * M - conv.geometry().pad_w;
  const std::size_t y = tile / plan.across % plan.down * M - conv.geometry().pad_h;
  const std::size_t image = tile / plan.across / plan.down;
  for (std::size_t i = 0, at = 0; i < M + 2; ++i)
    for (std::size_t j = 0; j < M + 2; ++j) {
      // Unsigned wrap-around makes what is above or left of the image larger than any size.
      const bool inside = y + i < height && x + j < width;
      pointers[at++] =
          inside ? input.data + ((image * height + y + i) * width + x + j) * channels : conv.zeros();
    }
}

/// Transforms one tile: product i's channels go to `to + i * stride`.
template <std::size_t M>
void transform_tile(const std::array<const float*, (M + 2) * (M + 2)>& pixels, std::size_t channels,
                    float* to, std::size_t stride) {
  constexpr std::size_t n = M + 2;
  for (std::size_t c = 0; c < channels; c += vec::size) {
    const std::size_t left = channels - c;
    vec half[n][n];  // [column][point]
    for (std::size_t j = 0; j < n; ++j) {
      vec x[n];
      for (std::size_t i = 0; i < n; ++i) {
        const float* from = pixels[i * n + j] + c;
        x[i] = left >= vec::size ? vec::load(from) : vec::load_partial(from, left);
      }
      WinogradTransform<M>::input(x, half[j]);
    }
    for (std::size_t i = 0; i < n; ++i) {
      vec x[n], y[n];
      for (std::size_t j = 0; j < n; ++j) x[j] = half[j][i];
      WinogradTransform<M>::input(x, y);
      for (std::size_t j = 0; j < n; ++j) y[j].store(to + (i * n + j) * stride + c);
    }
  }
}

/// All products of `tiles` tiles with the block of columns that starts at `column`.
inline void multiply_tiles(const PackedConv2d& conv, const WinogradPlan& plan, std::size_t tiles,
                           std::size_t column, const float* inputs, float* products) {
  alignas(64) static constexpr float zeros[block_columns] = {};
  const std::size_t pieces = (tiles + max_rows - 1) / max_rows;
  // Even, as the heights of tiles are.
  const auto edge = [&](std::size_t piece) { return std::min(tiles, (tiles * piece / pieces + 1) / 2 * 2); };
  for (std::size_t i = 0; i < plan.products(); ++i) {
    const PackedWeights weights = conv.weights(i);
    const std::size_t width = weights.block_width(column), next_column = column + block_columns;
    const float* next = weights.block(column);
    if (i + 1 < plan.products())
      next = conv.weights(i + 1).block(column);
    else if (next_column < weights.columns())
      next = conv.weights(0).block(next_column);
    for (std::size_t piece = 0; piece < pieces; ++piece) {
      const std::size_t first = edge(piece), end = edge(piece + 1);
      const std::size_t height = tile_height(end - first);
      std::array<const float*, max_rows> rows;
      // A row too many is where the next piece or product will be written.
      multiply_tile(height,
                    rows_at(inputs + (i * plan.block + first) * plan.row, plan.row, height, end - first,
                            weights.depth(), share_ahead(next, weights.depth() * width, piece, pieces), rows),
                    weights.block(column), width,
                    {zeros, 0, products + (i * plan.block + first) * block_columns, block_columns});
    }
  }
}

/// Transforms one tile's products back, `width` of a block's columns: bias added, `[M * M][block_columns]`.
template <std::size_t M>
void transform_back(const float* products, std::size_t stride, const float* bias, std::size_t width,
                    float* pixels) {
  constexpr std::size_t n = M + 2;
  for (std::size_t c = 0; c < width; c += vec::size) {
    vec half[M][n];  // [row][point]
    for (std::size_t j = 0; j < n; ++j) {
      vec x[n], y[M];
      for (std::size_t i = 0; i < n; ++i) x[i] = vec::load(products + (i * n + j) * stride + c);
      WinogradTransform<M>::output(x, y);
      for (std::size_t i = 0; i < M; ++i) half[i][j] = y[i];
    }
    const vec b = vec::load(bias + c);
    for (std::size_t i = 0; i < M; ++i) {
      vec y[M];
      WinogradTransform<M>::output(half[i], y);
      for (std::size_t j = 0; j < M; ++j) (y[j] + b).store(pixels + (i * M + j) * block_columns + c);
    }
  }
}

/// Transforms one tile back and hands each row of its pixels that exist to `store`.
template <std::size_t M, class Store>
void finish_tile(const PackedConv2d& conv, const WinogradPlan& plan, const Shape& output, std::size_t tile,
                 const float* products, std::size_t column, const Store& store) {
  alignas(64) float pixels[M * M * block_columns];
  transform_back<M>(products, plan.block * block_columns, conv.bias(0) + column,
                    conv.weights(0).block_width(column), pixels);
  const std::size_t x0 = tile % plan.across * M, y0 = tile / plan.across % plan.down * M;
  const std::size_t image = tile / plan.across / plan.down;
  const std::size_t valid = std::min(block_columns, conv.output_channels() - column);
  for (std::size_t i = 0; i < std::min(M, output[1] - y0); ++i) {
    const std::size_t pixel = (image * output[1] + y0 + i) * output[2] + x0;
    store({pixel, column, valid}, std::min(M, output[2] - x0), pixels + i * M * block_columns, block_columns);
  }
}

/// What one thread does: its tiles, block by block; of each its blocks of columns.
template <std::size_t M, class Store>
void winograd_work(const PackedConv2d& conv, ConstTensorView input, const Shape& output,
                   const WinogradPlan& plan, std::pair<std::size_t, std::size_t> tiles,
                   std::pair<std::size_t, std::size_t> columns, float* scratch, const Store& store) {
  float* const products = scratch + plan.input_floats();
  for (std::size_t first = tiles.first; first < tiles.second; first += plan.block) {
    const std::size_t count = std::min(plan.block, tiles.second - first);
    for (std::size_t t = 0; t < count; ++t) {
      std::array<const float*, (M + 2) * (M + 2)> pointers;
      fill_tile_pointers<M>(conv, input, plan, first + t, pointers);
      transform_tile<M>(pointers, conv.input_channels(), scratch + t * plan.row, plan.block * plan.row);
    }
    for (std::size_t block = columns.first; block < columns.second; ++block) {
      const std::size_t column = block * block_columns;
      multiply_tiles(conv, plan, count, column, scratch, products);
      for (std::size_t t = 0; t < count; ++t)
        finish_tile<M>(conv, plan, output, first + t, products + t * block_columns, column, store);
    }
  }
}

/// The whole convolution. `scratch` is for one thread or more; if it is too small even for one, the call
/// allocates its own.
template <class Store>
void winograd(const PackedConv2d& conv, ConstTensorView input, const Shape& output, std::span<float> scratch,
              const Store& store) {
  const std::size_t columns = (conv.output_channels() + block_columns - 1) / block_columns;
  if (output.pixels() == 0 || columns == 0) return;
  const WinogradPlan plan(conv, output);
  AlignedBuffer<float> own;
  if (scratch.size() < plan.scratch_floats()) {
    own = AlignedBuffer<float>(plan.scratch_floats() * static_cast<std::size_t>(num_threads()));
    scratch = own.span();
  }
  const auto work =
      std::uint64_t{output.elements()} * conv.input_channels() * plan.products() / (plan.m * plan.m);
  const bool parallel = is_worth_threads(work);
  const std::size_t workers =
      parallel ? std::min(static_cast<std::size_t>(num_threads()), scratch.size() / plan.scratch_floats())
               : 1;
  // Pieces of tiles; or, where there are few, of columns, for which every thread transforms all tiles itself.
  const bool by_tiles = plan.tiles >= workers * max_rows;
  const auto body = [&](std::size_t worker) {
    const auto piece = [&](std::size_t all, bool cut) {
      return cut ? std::pair{all * worker / workers, all * (worker + 1) / workers}
                 : std::pair{std::size_t{0}, all};
    };
    const auto run = plan.m == 2 ? winograd_work<2, Store> : winograd_work<4, Store>;
    run(conv, input, output, plan, piece(plan.tiles, by_tiles), piece(columns, !by_tiles),
        scratch.data() + worker * plan.scratch_floats(), store);
  };
  parallel_for(workers, body, parallel);
}

}  // namespace detail

}  // namespace qcnet::inline QCNET_ABI::kernels
