// 2-D convolution as an implicit matrix product: no im2col, only pointers to the input pixels each tap reads
// (Dukhan, "The Indirect Convolution Algorithm", 2019).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/conv_geometry.hpp>
#include <qcnet/core/parallel.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/kernels/gemm.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

/// Weights of a convolution, packed once for `conv2d`.
class PackedConv2d {
 public:
  /// `weights` is `[Cout, Kh, Kw, Cin / groups]`, `bias` has Cout values or none. An Error if they do not fit
  /// together.
  static Result<PackedConv2d> make(ConstTensorView weights, std::span<const float> bias,
                                   const ConvGeometry& geometry) {
    const Shape& s = weights.shape;
    if (s.rank() != 4 || s[1] != geometry.kernel_h || s[2] != geometry.kernel_w)
      return Error("expected weights [Cout, " + std::to_string(geometry.kernel_h) + ", " +
                   std::to_string(geometry.kernel_w) + ", Cin], found " + s.to_string());
    if (geometry.groups == 0 || s[0] % geometry.groups != 0)
      return Error(std::to_string(s[0]) + " output channels cannot be split into " +
                   std::to_string(geometry.groups) + " groups");
    if (!bias.empty() && bias.size() != s[0])
      return Error("expected " + std::to_string(s[0]) + " bias values, found " + std::to_string(bias.size()));
    PackedConv2d packed;
    packed.geometry_ = geometry;
    packed.cout_ = s[0];
    packed.group_cin_ = s[3];
    // Without padding on the left and right, the taps of one kernel row are consecutive in memory.
    const bool merged =
        geometry.pad_w == 0 && geometry.extra_right == 0 && geometry.dilation_w == 1 && geometry.groups == 1;
    packed.runs_w_ = merged ? 1 : geometry.kernel_w;
    packed.run_length_ = merged ? geometry.kernel_w * s[3] : s[3];
    if (packed.runs() > max_pointers)
      return Error("a kernel of " + std::to_string(geometry.taps()) + " taps is larger than the " +
                   std::to_string(max_pointers) + " supported");
    const std::size_t group_cout = s[0] / geometry.groups, depth = geometry.taps() * s[3];
    packed.bias_ = AlignedBuffer<float>(geometry.groups * PackedWeights::padded(group_cout));
    for (std::size_t g = 0; g < geometry.groups; ++g) {
      packed.weights_.emplace_back(weights.span().subspan(g * group_cout * depth, group_cout * depth),
                                   group_cout, depth);
      for (std::size_t c = 0; c < group_cout && !bias.empty(); ++c)
        packed.bias_[g * PackedWeights::padded(group_cout) + c] = bias[g * group_cout + c];
    }
    packed.zeros_ = AlignedBuffer<float>(packed.run_length_);
    return packed;
  }

  const ConvGeometry& geometry() const { return geometry_; }
  std::size_t input_channels() const { return group_cin_ * geometry_.groups; }
  std::size_t output_channels() const { return cout_; }
  std::size_t group_output_channels() const { return cout_ / geometry_.groups; }
  std::size_t group_input_channels() const { return group_cin_; }
  const PackedWeights& weights(std::size_t group) const { return weights_[group]; }
  const float* bias(std::size_t group) const {
    return bias_.data() + group * PackedWeights::padded(group_output_channels());
  }
  /// Bytes of the packed weights and biases.
  std::size_t bytes() const {
    std::size_t total = bias_.size() * sizeof(float);
    for (const PackedWeights& group : weights_) total += group.bytes();
    return total;
  }
  const float* zeros() const { return zeros_.data(); }
  std::size_t runs() const { return geometry_.kernel_h * runs_w_; }
  std::size_t runs_per_kernel_row() const { return runs_w_; }
  std::size_t run_length() const { return run_length_; }

  /// Shape of the output, or an Error that names what does not fit.
  Result<Shape> output_shape(const Shape& input) const {
    if (input.rank() == 4 && input[3] != input_channels())
      return Error("expected " + std::to_string(input_channels()) + " input channels, found " +
                   input.to_string());
    return geometry_.output(input, cout_);
  }

  /// Pointers that one task of `conv2d` may hold on its stack.
  static constexpr std::size_t max_pointers = 2048;

 private:
  ConvGeometry geometry_;
  std::size_t cout_ = 0, group_cin_ = 0, runs_w_ = 1, run_length_ = 0;
  std::vector<PackedWeights> weights_;
  AlignedBuffer<float> bias_, zeros_;
};

namespace detail {

/// Pointers to what each tap reads, for `rows` output pixels from `pixel` on; rows past `last` repeat it.
inline void fill_pointers(const PackedConv2d& conv, ConstTensorView input, const Shape& output,
                          std::size_t group, std::size_t pixel, std::size_t rows, std::size_t last,
                          const float** pointers) {
  const ConvGeometry& g = conv.geometry();
  const std::size_t height = input.shape[1], width = input.shape[2], channels = input.shape[3];
  const float* base = input.data + group * conv.group_input_channels();
  for (std::size_t m = 0; m < rows; ++m) {
    const std::size_t p = std::min(pixel + m, last);
    const std::size_t x = p % output[2], y = p / output[2] % output[1], n = p / output[2] / output[1];
    const float** to = pointers + m;
    for (std::size_t kh = 0; kh < g.kernel_h; ++kh) {
      // Unsigned wrap-around makes a row above the image larger than any height.
      const std::size_t in_y = y * g.stride_h + kh * g.dilation_h - g.pad_h;
      const std::size_t row = (n * height + in_y) * width;
      for (std::size_t kw = 0; kw < conv.runs_per_kernel_row(); ++kw, to += rows) {
        const std::size_t in_x = x * g.stride_w + kw * g.dilation_w - g.pad_w;
        *to = in_y < height && in_x < width ? base + (row + in_x) * channels : conv.zeros();
      }
    }
  }
}

/// How the output is cut into tasks: pieces of consecutive pixels times pieces of consecutive column blocks.
struct Tasks {
  std::size_t pixels;  // per task, a multiple of the tile height
  std::size_t pixel_pieces;
  std::size_t blocks;  // column blocks per task
  std::size_t block_pieces;
};

inline Tasks split_into_tasks(std::size_t pixels, std::size_t blocks, std::size_t runs, bool parallel) {
  const std::size_t tasks_wanted = parallel ? 4 * static_cast<std::size_t>(num_threads()) : 1;
  const std::size_t tiles = (pixels + max_rows - 1) / max_rows;
  const std::size_t most_tiles = std::max<std::size_t>(1, PackedConv2d::max_pointers / (runs * max_rows));
  const std::size_t tiles_per_task = std::clamp<std::size_t>(tiles / tasks_wanted, 1, most_tiles);
  Tasks tasks;
  tasks.pixels = tiles_per_task * max_rows;
  tasks.pixel_pieces = (tiles + tiles_per_task - 1) / tiles_per_task;
  const std::size_t pieces = std::clamp<std::size_t>(tasks_wanted / tasks.pixel_pieces, 1, blocks);
  tasks.blocks = (blocks + pieces - 1) / pieces;
  tasks.block_pieces = (blocks + tasks.blocks - 1) / tasks.blocks;
  return tasks;
}

/// One task: its pixels' pointers once, then every column block over all its tiles, so that a block's weights
/// are read from L2 but once per task.
template <class Store>
void conv2d_task(const PackedConv2d& conv, ConstTensorView input, const Shape& output, std::size_t group,
                 std::size_t first_pixel, std::size_t end_pixel, std::size_t first_block,
                 std::size_t end_block, const Store& store) {
  std::array<const float*, PackedConv2d::max_pointers> pointers;
  const std::size_t runs = conv.runs();
  const std::size_t tallest = tile_rows[0] * runs <= pointers.size() ? tile_rows[0] : 1;
  for (std::size_t at = 0, pixel = first_pixel; pixel < end_pixel;) {
    // As many tiles as the table holds.
    const std::size_t batch_first = pixel;
    std::size_t used = 0;
    while (pixel < end_pixel) {
      const std::size_t height = std::min(tallest, tile_height(end_pixel - pixel));
      if (used + height * runs > pointers.size()) break;
      fill_pointers(conv, input, output, group, pixel, height, end_pixel - 1, pointers.data() + used);
      used += height * runs;
      pixel += height;
    }
    const PackedWeights& weights = conv.weights(group);
    for (std::size_t block = first_block; block < end_block; ++block) {
      const std::size_t column = block * block_columns;
      const std::size_t valid = std::min(block_columns, weights.columns() - column);
      at = 0;
      for (std::size_t p = batch_first; p < std::min(pixel, end_pixel);) {
        const std::size_t height = std::min(tallest, tile_height(end_pixel - p));
        const RowBlock where{p, group * conv.group_output_channels() + column, valid};
        multiply_tile(height, std::min(height, end_pixel - p),
                      {pointers.data() + at, runs, conv.run_length()}, weights, column, conv.bias(group),
                      where, store);
        at += height * runs;
        p += height;
      }
    }
  }
}

template <class Store>
void conv2d(const PackedConv2d& conv, ConstTensorView input, const Shape& output, const Store& store) {
  const std::size_t pixels = output.pixels();
  const std::size_t blocks = (conv.group_output_channels() + block_columns - 1) / block_columns;
  if (pixels == 0 || blocks == 0) return;
  const std::size_t work = pixels * conv.output_channels() * conv.runs() * conv.run_length();
  const bool parallel = work > (std::size_t{1} << 18);  // below, waking threads costs more than they bring
  const Tasks tasks = split_into_tasks(pixels, blocks, conv.runs(), parallel);
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
/// Allocates nothing.
inline void conv2d(const PackedConv2d& conv, ConstTensorView input, TensorView output,
                   Activation activation = Activation::none, ConstTensorView residual = {}) {
  detail::conv2d(conv, input, output.shape,
                 StoreFloat{output.data, residual.data, conv.output_channels(), activation});
}

/// Whether `conv2d_bits` can serve this convolution: blocks of channels must start on a byte, groups may not.
inline bool can_emit_bits(const PackedConv2d& conv) {
  return conv.geometry().groups == 1;
}

/// The same convolution, thresholded in registers: bit = activation(convolution + bias + residual) >
/// threshold[c]. `thresholds` holds PackedWeights::padded(Cout) values, +infinity behind the last channel.
/// The float map is never written: quantizing costs the node a comparison.
inline void conv2d_bits(const PackedConv2d& conv, ConstTensorView input, BitplaneView output,
                        std::span<const float> thresholds, Activation activation = Activation::none,
                        ConstTensorView residual = {}) {
  detail::conv2d(conv, input, output.shape,
                 StoreBits{output.data, residual.data, thresholds.data(), conv.output_channels(),
                           output.pixel_bytes(), activation});
}

}  // namespace qcnet::inline QCNET_ABI::kernels
