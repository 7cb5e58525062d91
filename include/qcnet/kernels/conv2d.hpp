// 2-D convolution as an implicit matrix product: no im2col, only pointers to the input pixels each tap reads
// (Dukhan, "The Indirect Convolution Algorithm", 2019); or by Winograd's or Strassen's algorithm, if the
// weights are packed for it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/parallel.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/kernels/gemm.hpp>
#include <qcnet/kernels/matmul.hpp>
#include <qcnet/kernels/packed_conv2d.hpp>
#include <qcnet/kernels/strassen.hpp>
#include <qcnet/kernels/winograd.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

namespace detail {

/// Shape of the input's copy with its padding, as far as the windows of such an output look; its pixels may
/// have gaps behind their channels.
inline Result<Shape> padded_input(const PackedConv2d& conv, const Shape& output) {
  const ConvGeometry& g = conv.geometry();
  if (output.elements() == 0) return Shape::make({0, 0, 0, conv.copy_pitch()});
  return Shape::make({output[0], (output[1] - 1) * g.stride_h + (g.kernel_h - 1) * g.dilation_h + 1,
                      (output[2] - 1) * g.stride_w + (g.kernel_w - 1) * g.dilation_w + 1, conv.copy_pitch()});
}

/// Whether the pixels that are read are copied, side by side, before they are multiplied.
inline bool copies_pixels(const PackedConv2d& conv) {
  return !is_pointwise(conv.geometry()) || wants_panel(conv.weights(0));
}

/// Floats of scratch memory that `multiply_pixels` wants for so many output pixels.
inline std::size_t pixels_scratch_floats(const PackedConv2d& conv, std::size_t pixels) {
  if (conv.algorithm() == ConvAlgorithm::strassen) return StrassenPlan(conv, pixels).scratch_floats();
  return copies_pixels(conv) ? pixels * panel_pitch(conv.weights(0)) : 0;
}

/// Hands a convolution whose outputs read one pixel each to `store`.
template <class Store>
void multiply_pixels(const PackedConv2d& conv, ConstTensorView input, const Shape& output,
                     std::span<float> scratch, const Store& store) {
  const ConvGeometry& g = conv.geometry();
  const std::size_t pixels = output.pixels(), channels = conv.input_channels();
  const auto read_by = [&, same = is_pointwise(g)](std::size_t p) {
    if (same) return input.pixel(p);
    const OutputPixel at(output, p);
    return input.pixel((at.n * input.shape[1] + at.y * g.stride_h) * input.shape[2] + at.x * g.stride_w);
  };
  if constexpr (has_strassen)
    if (conv.algorithm() == ConvAlgorithm::strassen)
      return multiply_rows_strassen(conv, read_by, pixels, scratch, store);
  const Rows rows = copies_pixels(conv)
                        ? fill_panel(conv.weights(0), read_by, channels, pixels, scratch.data())
                        : Rows{input.data, channels};
  multiply_rows(conv.weights(0), conv.bias(0), rows, pixels, store);
}

}  // namespace detail

/// Floats of scratch memory that `conv2d` wants for such an output with as many threads as are set now;
/// fewer, but enough for one thread, mean fewer threads. The largest number if they cannot be addressed.
inline std::size_t scratch_floats(const PackedConv2d& conv, const Shape& output) {
  if (winograd_outputs(conv.algorithm()) != 0)
    return detail::WinogradPlan(conv, output).scratch_floats() * static_cast<std::size_t>(num_threads());
  if (is_single_tap(conv.geometry())) return detail::pixels_scratch_floats(conv, output.pixels());
  if (conv.copy_pitch() == 0) return 0;
  const auto copy = detail::padded_input(conv, output);
  return copy.ok() ? copy->elements() : std::numeric_limits<std::size_t>::max();
}

namespace detail {

/// Pointers to what each tap reads, for `rows` output pixels, of which `valid` exist, from `at` on, which
/// goes on to the pixel behind them. Others repeat the last.
inline void fill_pointers(const PackedConv2d& conv, ConstTensorView input, const Shape& output,
                          std::size_t group, OutputPixel& at, std::size_t rows, std::size_t valid,
                          const float** pointers) {
  const ConvGeometry& g = conv.geometry();
  const std::size_t height = input.shape[1], width = input.shape[2], channels = input.shape[3];
  const float* base = input.data + group * conv.group_input_channels();
  for (std::size_t m = 0; m < rows; ++m) {
    const float** to = pointers + m;
    for (std::size_t kh = 0; kh < g.kernel_h; ++kh) {
      // Unsigned wrap-around makes a row above the image larger than any height.
      const std::size_t in_y = at.y * g.stride_h + kh * g.dilation_h - g.pad_h;
      const std::size_t row = (at.n * height + in_y) * width;
      for (std::size_t kw = 0; kw < conv.runs_per_kernel_row(); ++kw, to += rows) {
        const std::size_t in_x = at.x * g.stride_w + kw * g.dilation_w - g.pad_w;
        *to = in_y < height && in_x < width ? base + (row + in_x) * channels : conv.zeros();
      }
    }
    if (m + 1 < valid || valid == rows) at.advance(output);
  }
}

/// Floats from what an output pixel reads to what its neighbour reads, in an input that is copied with its
/// padding; 0 if it is not, or if `rows` pixels from column `x` on are not all in one row.
inline std::size_t padded_pitch(const PackedConv2d& conv, const Shape& output, std::size_t x,
                                std::size_t rows) {
  return x + rows <= output[2] ? conv.geometry().stride_w * conv.copy_pitch() : 0;
}

/// The same for an input that is copied with its padding: no window meets a border, and all pixels' runs are
/// as far apart as the first one's. Where a row is long enough, pixels go on to the right, valid or not.
inline void fill_padded_pointers(const PackedConv2d& conv, ConstTensorView input, const Shape& output,
                                 std::size_t, OutputPixel& at, std::size_t rows, std::size_t valid,
                                 const float** pointers) {
  const ConvGeometry& g = conv.geometry();
  const std::size_t height = input.shape[1], width = input.shape[2], pitch = input.shape[3];
  const bool pitched = is_pitched(rows, padded_pitch(conv, output, at.x, rows));
  const std::size_t wanted = pitched ? 1 : rows;
  for (std::size_t m = 0; m < wanted; ++m) {
    pointers[m] = input.pixel((at.n * height + at.y * g.stride_h) * width + at.x * g.stride_w);
    if (pitched) at.x += rows - 1;
    if (m + 1 < valid || valid == rows) at.advance(output);
  }
  const float** to = pointers;
  for (std::size_t kh = 0; kh < g.kernel_h; ++kh)
    for (std::size_t kw = 0; kw < conv.runs_per_kernel_row(); ++kw, to += rows)
      for (std::size_t m = 0; m < wanted; ++m)
        to[m] = pointers[m] + (kh * g.dilation_h * width + kw * g.dilation_w) * pitch;
}

/// How the output is cut into tasks: pieces of consecutive pixels times pieces of consecutive column blocks.
struct Tasks {
  std::size_t pixels;  // per task, a multiple of the unit
  std::size_t pixel_pieces;
  std::size_t blocks;  // column blocks per task
  std::size_t block_pieces;
};

/// `unit`: consecutive pixels that are not to be parted.
inline Tasks split_into_tasks(std::size_t pixels, std::size_t blocks, std::size_t runs, bool parallel,
                              std::size_t unit) {
  const std::size_t tasks_wanted = parallel ? 4 * static_cast<std::size_t>(num_threads()) : 1;
  const std::size_t units = (pixels + unit - 1) / unit;
  const std::size_t most_units = std::max<std::size_t>(1, PackedConv2d::max_pointers / (runs * unit));
  const std::size_t units_per_task = std::clamp<std::size_t>(units / tasks_wanted, 1, most_units);
  Tasks tasks;
  tasks.pixels = units_per_task * unit;
  tasks.pixel_pieces = (units + units_per_task - 1) / units_per_task;
  const std::size_t pieces = std::clamp<std::size_t>(tasks_wanted / tasks.pixel_pieces, 1, blocks);
  tasks.blocks = (blocks + pieces - 1) / pieces;
  tasks.block_pieces = (blocks + tasks.blocks - 1) / tasks.blocks;
  return tasks;
}

/// Consecutive pixels of a task whose pointers are in its table, the first of them in column `x`. Tiles are
/// `tallest` rows high, but the task's last one.
struct PixelBatch {
  std::size_t first, end, task_end, x, tallest;
  std::size_t height(std::size_t pixel) const { return std::min(tallest, tile_height(task_end - pixel)); }
};

/// The sums of a block of columns for all tiles of a batch. `next`: the weights that are wanted then.
template <class Store>
void multiply_batch(const PackedConv2d& conv, const Shape& output, std::size_t group, const PixelBatch& batch,
                    const float* const* pointers, std::size_t block, const float* next, const Store& store) {
  const PackedWeights weights = conv.weights(group);
  const std::size_t column = block * block_columns, runs = conv.runs(), width = weights.block_width(column);
  const std::size_t valid = std::min(block_columns, weights.columns() - column);
  const std::size_t tiles = (batch.end - batch.first + batch.tallest - 1) / batch.tallest;
  std::size_t x = batch.x, height = 0;
  for (std::size_t pixel = batch.first, t = 0; pixel < batch.end; pixel += height, ++t) {
    height = batch.height(pixel);
    const RowBlock where{pixel, group * conv.group_output_channels() + column, valid};
    TileInput tile{pointers, runs, conv.run_length(), share_ahead(next, weights.depth() * width, t, tiles)};
    tile.pitch = padded_pitch(conv, output, x, height);
    multiply_tile(height, std::min(height, batch.task_end - pixel), tile, weights.block(column), width,
                  conv.bias(group) + column, where, store);
    pointers += height * runs;
    x += height;
    if (x >= output[2]) x %= output[2];
  }
}

/// One task: its pixels' pointers once, then every column block over all its tiles, so that a block's weights
/// are read from L2 but once per task.
template <class Store>
void conv2d_task(const PackedConv2d& conv, ConstTensorView input, const Shape& output, std::size_t group,
                 std::size_t first_pixel, std::size_t end_pixel, std::size_t first_block,
                 std::size_t end_block, const Store& store) {
  std::array<const float*, PackedConv2d::max_pointers> pointers;
  const auto fill = conv.copy_pitch() != 0 ? fill_padded_pointers : fill_pointers;
  const std::size_t runs = conv.runs(), tallest = max_rows * runs <= pointers.size() ? max_rows : 1;
  OutputPixel at(output, first_pixel);
  for (std::size_t pixel = first_pixel; pixel < end_pixel;) {
    // As many tiles as the table holds.
    PixelBatch batch{pixel, pixel, end_pixel, at.x, tallest};
    for (std::size_t used = 0; pixel < end_pixel;) {
      const std::size_t height = batch.height(pixel);
      if (used + height * runs > pointers.size()) break;
      fill(conv, input, output, group, at, height, std::min(height, end_pixel - pixel),
           pointers.data() + used);
      used += height * runs;
      pixel += height;
    }
    batch.end = std::min(pixel, end_pixel);
    const PackedWeights weights = conv.weights(group);
    for (std::size_t block = first_block; block < end_block; ++block)
      multiply_batch(conv, output, group, batch, pointers.data(), block,
                     weights.block((block + 1 < end_block ? block + 1 : block) * block_columns), store);
  }
}

/// The input with its padding, as far as windows look, in `scratch`.
inline ConstTensorView pad_input(const PackedConv2d& conv, ConstTensorView input, const Shape& output,
                                 std::span<float> scratch) {
  const ConvGeometry& g = conv.geometry();
  const TensorView padded(scratch.data(), padded_input(conv, output).value());
  const std::size_t height = input.shape[1], width = input.shape[2], channels = input.shape[3];
  const std::size_t columns = padded.shape[2], left = std::min(g.pad_w, columns), pitch = padded.shape[3];
  const std::size_t inside = std::min(width, columns - left);
  const auto copy = [&](std::size_t row) {
    float* to = padded.data + row * columns * pitch;
    const std::size_t y = row % padded.shape[1] - g.pad_h, n = row / padded.shape[1];
    const std::size_t count = y < height ? inside : 0;  // above the image y has wrapped around
    const float* from = count > 0 ? input.pixel((n * height + y) * width) : nullptr;
    std::fill_n(to, left * pitch, 0.0f);
    const std::size_t together = pitch == channels ? count : 1;  // pixels without gaps
    for (std::size_t x = 0; x < count; x += together)
      std::copy_n(from + x * channels, together * channels, to + (left + x) * pitch);
    std::fill(to + (left + count) * pitch, to + columns * pitch, 0.0f);
  };
  parallel_for(padded.shape[0] * padded.shape[1], copy, padded.span().size() > (std::size_t{1} << 16));
  return padded;
}

/// Hands all sums to `store`, of each `unit` of consecutive pixels one after the other.
template <class Store>
void conv2d(const PackedConv2d& conv, ConstTensorView input, const Shape& output, std::span<float> scratch,
            const Store& store, std::size_t unit = max_rows) {
  if (winograd_outputs(conv.algorithm()) != 0) return winograd(conv, input, output, scratch, store);
  const std::size_t pixels = output.pixels();
  const std::size_t blocks = (conv.group_output_channels() + block_columns - 1) / block_columns;
  if (pixels == 0 || blocks == 0) return;
  AlignedBuffer<float> own;
  scratch = enough(scratch, scratch_floats(conv, output), own);
  if constexpr (!std::is_same_v<Store, StoreMaxPooled>)  // can_max_pool is false of single taps
    if (is_single_tap(conv.geometry())) return multiply_pixels(conv, input, output, scratch, store);
  if (conv.copy_pitch() != 0) input = pad_input(conv, input, output, scratch);
  const auto work = std::uint64_t{pixels} * conv.output_channels() * conv.runs() * conv.run_length();
  const bool parallel = is_worth_threads(work);
  const Tasks tasks = split_into_tasks(pixels, blocks, conv.runs(), parallel, unit);
  const std::size_t per_group = tasks.pixel_pieces * tasks.block_pieces;
  const auto body = [&](std::size_t task) {
    const std::size_t group = task / per_group, piece = task % per_group;
    const std::size_t first_pixel = piece / tasks.block_pieces * tasks.pixels;
    const std::size_t first_block = piece % tasks.block_pieces * tasks.blocks;
    conv2d_task(conv, input, output, group, first_pixel, std::min(pixels, first_pixel + tasks.pixels),
                first_block, std::min(blocks, first_block + tasks.blocks), store);
  };
  parallel_for(per_group * conv.geometry().groups, body, parallel);
}

}  // namespace detail

/// output = activation(convolution(input) + bias + residual). All maps are `[N, H, W, C]`; `output` has the
/// shape that `conv.output_shape(input.shape)` gives, `residual` (data == nullptr: none) has it too and may
/// be `output` itself. Every output element is one sum in a fixed order, whatever the number of threads.
///
/// It wants `scratch_floats(conv, output.shape)` floats of scratch memory and allocates them if they are not
/// given.
///
/// Packed for Winograd's algorithm, its errors against fp64 are below 1e-6 (tiles of 2x2) and 5e-6 (4x4) of
/// the map's largest value: for 512 channels 5e-7 and 3e-6 were measured. A NaN or infinity in the input
/// makes NaN of what reads it, and maybe of the rest of those tiles; sums beyond a thousandth of the range of
/// floats may overflow.
///
/// Packed for Strassen's algorithm, they are below 5e-6 of that: for 3072 channels 2.5e-6 were measured. Of
/// more than 768 channels sums that can wait in the output are computed in parts, others (of a residual in
/// place, of bits) are not, and both may differ in rounding. A NaN or infinity in the input makes NaN of its
/// pixel, and maybe of another one up to 14 pixels away.
///
/// Packed for `direct_bf16`, inputs and weights are rounded to bfloat16, each with a relative error of at
/// most 2^-9, and their products summed up in float; numbers below the least normal float count as zero.
inline void conv2d(const PackedConv2d& conv, ConstTensorView input, TensorView output,
                   Activation activation = Activation::none, ConstTensorView residual = {},
                   std::span<float> scratch = {}) {
  detail::conv2d(conv, input, output.shape, scratch,
                 StoreFloat{output.data, residual.data, conv.output_channels(), activation});
}

/// Whether `conv2d_max_pooled` can serve this convolution with an `output` of which `windows` are pooled:
/// 2x2 pixels each, without a rest. Of 1x1 kernels rows are cut otherwise.
inline bool can_max_pool(const PackedConv2d& conv, const ConvGeometry& windows, const Shape& output) {
  const auto pooled = windows.output(output, output[3]);
  const bool halves = windows.kernel_h == 2 && windows.kernel_w == 2 && windows.stride_h == 2 &&
                      windows.stride_w == 2 && windows.dilation_h == 1 && windows.dilation_w == 1 &&
                      windows.pad_h == 0 && windows.pad_w == 0 && pooled && 2 * (*pooled)[1] == output[1] &&
                      2 * (*pooled)[2] == output[2];
  return halves && conv.geometry().groups == 1 && !is_single_tap(conv.geometry()) &&
         max_rows * conv.runs() <= PackedConv2d::max_pointers;
}

/// The same convolution, of which only the largest value of each 2x2 pixels is written: `output` has half
/// the height and width. The map itself, four times as large, is never in memory. For what `can_max_pool`.
inline void conv2d_max_pooled(const PackedConv2d& conv, ConstTensorView input, TensorView output,
                              Activation activation = Activation::none, std::span<float> scratch = {}) {
  const Shape map{output.shape[0], 2 * output.shape[1], 2 * output.shape[2], output.shape[3]};
  detail::conv2d(conv, input, map, scratch,
                 StoreMaxPooled{output.data, map[2], conv.output_channels(), activation}, 2 * map[2]);
}

/// Whether a residual that is the output itself costs no time: that of a map that is read and written at once
/// is a little shorter, but sums of a long depth, computed in passes, could not wait there.
inline bool is_quick_in_place(const PackedConv2d& conv) {
  return !is_single_tap(conv.geometry()) || conv.input_channels() <= detail::max_pass;
}

/// Whether `conv2d_bits` can serve this convolution: blocks of channels must start on a byte, groups may not.
inline bool can_emit_bits(const PackedConv2d& conv) {
  return conv.geometry().groups == 1;
}

/// The same convolution, thresholded tile by tile: bit = activation(convolution + bias + residual) >
/// threshold. `thresholds` holds PackedWeights::padded(Cout) values, +infinity behind the last channel, or as
/// many for each pixel of the output. The float map is never written: quantizing costs the node a comparison.
inline void conv2d_bits(const PackedConv2d& conv, ConstTensorView input, BitplaneView output,
                        std::span<const float> thresholds, Activation activation = Activation::none,
                        ConstTensorView residual = {}, std::span<float> scratch = {}) {
  const std::size_t padded = PackedWeights::padded(conv.output_channels());
  detail::conv2d(
      conv, input, output.shape, scratch,
      StoreBits{output.data, residual.data, thresholds.data(), thresholds.size() > padded ? padded : 0,
                conv.output_channels(), output.pixel_bytes(), activation});
}

}  // namespace qcnet::inline QCNET_ABI::kernels
