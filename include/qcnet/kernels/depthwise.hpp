// Depthwise convolution: every channel by its own kernel. A product a load would be bound by loads, so pixels
// share the weights' vectors, and the taps of kernels 7 wide share the inputs' too.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/conv_geometry.hpp>
#include <qcnet/core/parallel.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/kernels/gemm.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

/// Weights of a depthwise convolution, one tap after the other, packed once for `depthwise_conv2d`.
class PackedDepthwise {
 public:
  /// `weights` is `[C, Kh, Kw, 1]`, `bias` has C values or none; `geometry.groups` is not looked at. An Error
  /// if they do not fit together.
  static Result<PackedDepthwise> make(ConstTensorView weights, std::span<const float> bias,
                                      const ConvGeometry& geometry) {
    const Shape& s = weights.shape;
    if (s.rank() != 4 || s[1] != geometry.kernel_h || s[2] != geometry.kernel_w || s[3] != 1)
      return Error("expected weights [C, " + std::to_string(geometry.kernel_h) + ", " +
                   std::to_string(geometry.kernel_w) + ", 1], found " + s.to_string());
    if (!bias.empty() && bias.size() != s[0])
      return Error("expected " + std::to_string(s[0]) + " bias values, found " + std::to_string(bias.size()));
    PackedDepthwise packed;
    packed.geometry_ = geometry;
    packed.channels_ = s[0];
    packed.weights_ = AlignedBuffer<float>(geometry.taps() * packed.stride());
    packed.bias_ = AlignedBuffer<float>(packed.stride());
    for (std::size_t c = 0; c < s[0]; ++c) {
      for (std::size_t tap = 0; tap < geometry.taps(); ++tap)
        packed.weights_[tap * packed.stride() + c] = weights.data[c * geometry.taps() + tap];
      if (!bias.empty()) packed.bias_[c] = bias[c];
    }
    return packed;
  }

  const ConvGeometry& geometry() const { return geometry_; }
  std::size_t channels() const { return channels_; }
  /// Floats from one tap's weights to the next's.
  std::size_t stride() const { return PackedWeights::padded(channels_); }
  const float* tap(std::size_t index) const { return weights_.data() + index * stride(); }
  const float* bias() const { return bias_.data(); }
  std::size_t bytes() const { return (weights_.size() + bias_.size()) * sizeof(float); }

  /// `[N, H', W', C]` for an input `[N, H, W, C]`, or an Error that says what does not fit.
  Result<Shape> output_shape(const Shape& input) const {
    if (input.rank() == 4 && input[3] != channels_)
      return Error("expected " + std::to_string(channels_) + " input channels, found " + input.to_string());
    return geometry_.output(input, channels_);
  }

 private:
  ConvGeometry geometry_;
  std::size_t channels_ = 0;
  AlignedBuffer<float> weights_, bias_;
};

namespace detail {

/// Some outputs of one row, from one input row on, and the taps that all of them have.
struct DepthwiseTile {
  const float* input;  // of output 0: what tap (rows.first, columns.first) reads, channel 0
  std::size_t input_row, input_step, tap_step;  // floats between kernel rows, outputs, kernel columns
  TapRange rows, columns;
};

/// Pixels x V vectors of channels, of which `block.valid` exist, to `sums`, `stride` floats from pixel to
/// pixel.
template <std::size_t Pixels, std::size_t V>
void depthwise_kernel(const PackedDepthwise& conv, const DepthwiseTile& tile, const RowBlock& block,
                      float* sums, std::size_t stride) {
  const std::size_t full = block.valid / vec::size, rest = block.valid % vec::size;
  vec acc[Pixels][V];
#pragma GCC unroll 16
  for (std::size_t i = 0; i < Pixels * V; ++i)
    acc[i / V][i % V] = vec::load(conv.bias() + block.column + i % V * vec::size);
  for (std::size_t kh = tile.rows.first; kh < tile.rows.end; ++kh) {
    const float* row = tile.input + (kh - tile.rows.first) * tile.input_row + block.column;
    for (std::size_t kw = tile.columns.first; kw < tile.columns.end; ++kw, row += tile.tap_step) {
      const float* weights = conv.tap(kh * conv.geometry().kernel_w + kw) + block.column;
      if (full >= V) {
#pragma GCC unroll 2
        for (std::size_t v = 0; v < V; ++v) {
          const vec w = vec::load(weights + v * vec::size);
#pragma GCC unroll 8
          for (std::size_t p = 0; p < Pixels; ++p)
            acc[p][v] = fma(vec::load(row + p * tile.input_step + v * vec::size), w, acc[p][v]);
        }
      } else {  // the last channels: V is 1
        const vec w = vec::load(weights);
#pragma GCC unroll 8
        for (std::size_t p = 0; p < Pixels; ++p)
          acc[p][0] = fma(vec::load_partial(row + p * tile.input_step, rest), w, acc[p][0]);
      }
    }
  }
#pragma GCC unroll 16
  for (std::size_t i = 0; i < Pixels * V; ++i)
    acc[i / V][i % V].store(sums + i / V * stride + i % V * vec::size);
}

/// Runs `kernel(sums, stride)` for `rows` pixels of a block of channels `width` floats wide: into the output
/// itself if it may.
template <std::size_t Rows, class Kernel>
void store_sums(const RowBlock& block, std::size_t rows, std::size_t width, const StoreFloat& store,
                const Kernel& kernel) {
  if (float* const out = store.in_place(block); out != nullptr && rows == Rows && block.valid == width)
    return kernel(out, store.channels);
  alignas(64) float sums[Rows * block_columns];
  kernel(sums, width);
  store(block, rows, sums, width);
}

/// All channels of `Pixels` outputs.
template <std::size_t Pixels>
void depthwise_tile(const PackedDepthwise& conv, const DepthwiseTile& tile, std::size_t pixel,
                    const StoreFloat& store) {
  const std::size_t channels = conv.channels();
  for (std::size_t c = 0; c < channels;) {
    const bool wide = channels - c >= block_columns;
    const std::size_t width = wide ? block_columns : vec::size;
    const RowBlock block{pixel, c, std::min(width, channels - c)};
    store_sums<Pixels>(block, Pixels, width, store, [&](float* sums, std::size_t stride) {
      if (wide)
        depthwise_kernel<Pixels, block_vectors>(conv, tile, block, sums, stride);
      else
        depthwise_kernel<Pixels, 1>(conv, tile, block, sums, stride);
    });
    c += block.valid;
  }
}

// Outputs that share a vector of weights: two vectors of channels each must stay in registers beside it.
#if QCNET_HAS_32_REGISTERS
inline constexpr std::size_t depthwise_pixels = 8;
#else
inline constexpr std::size_t depthwise_pixels = 4;
#endif

/// Neighbouring outputs whose windows slide over one row of inputs: each input is loaded once and meets every
/// tap of its kernel row. A zero in the padding is never multiplied.
struct DepthwiseWindow {
  const float* input;  // of the first column that exists, in the first row that does
  std::size_t input_row, channels;
  TapRange rows;
  std::size_t first, end;  // columns of the windows' union that exist
};

/// One vector of channels, of which `block.valid` exist, of `Pixels` outputs. Kernel columns `Taps`, stride
/// and dilation 1.
template <std::size_t Pixels, std::size_t Taps, bool Partial>
void depthwise_window(const PackedDepthwise& conv, const DepthwiseWindow& window, const RowBlock& block,
                      float* sums, std::size_t stride) {
  const vec bias = vec::load(conv.bias() + block.column);
  vec acc[Pixels];
#pragma GCC unroll 16
  for (std::size_t p = 0; p < Pixels; ++p) acc[p] = bias;
  const float* row = window.input + block.column;
  for (std::size_t kh = window.rows.first; kh < window.rows.end; ++kh, row += window.input_row) {
    const float* weights = conv.tap(kh * Taps) + block.column;
    vec w[Taps];
#pragma GCC unroll 8
    for (std::size_t t = 0; t < Taps; ++t) w[t] = vec::load(weights + t * conv.stride());
    const float* at = row;
#pragma GCC unroll 20
    for (std::size_t column = 0; column < Pixels + Taps - 1; ++column) {
      if (column < window.first || column >= window.end) continue;
      const vec x = Partial ? vec::load_partial(at, block.valid) : vec::load(at);
      at += window.channels;
#pragma GCC unroll 8
      for (std::size_t t = 0; t < Taps; ++t)
        if (column >= t && column - t < Pixels) acc[column - t] = fma(x, w[t], acc[column - t]);
    }
  }
#pragma GCC unroll 16
  for (std::size_t p = 0; p < Pixels; ++p) acc[p].store(sums + p * stride);
}

/// All channels of `Pixels` outputs, `valid_pixels` of which are stored.
template <std::size_t Pixels, std::size_t Taps>
void depthwise_windows(const PackedDepthwise& conv, const DepthwiseWindow& window, std::size_t pixel,
                       std::size_t valid_pixels, const StoreFloat& store) {
  for (std::size_t c = 0; c < conv.channels(); c += vec::size) {
    const RowBlock block{pixel, c, std::min(vec::size, conv.channels() - c)};
    store_sums<Pixels>(block, valid_pixels, vec::size, store, [&](float* sums, std::size_t stride) {
      if (block.valid == vec::size)
        depthwise_window<Pixels, Taps, false>(conv, window, block, sums, stride);
      else
        depthwise_window<Pixels, Taps, true>(conv, window, block, sums, stride);
    });
  }
}

// Outputs of a wide and of a narrow window: they, a row of the kernel and an input stay in registers.
#if QCNET_HAS_32_REGISTERS
inline constexpr std::size_t wide_window = 14, narrow_window = 7;
#else
inline constexpr std::size_t wide_window = 7, narrow_window = 4;
#endif

/// One row of the output by sliding windows of `Taps` columns.
template <std::size_t Taps>
void depthwise_sliding_row(const PackedDepthwise& conv, ConstTensorView input, const Shape& output,
                           std::size_t row, const StoreFloat& store) {
  const ConvGeometry& g = conv.geometry();
  const std::size_t height = input.shape[1], width = input.shape[2], channels = input.shape[3];
  const std::size_t n = row / output[1], y = row % output[1];
  const TapRange rows = TapRange::of(y, 1, g.pad_h, g.dilation_h, g.kernel_h, height);
  const std::size_t in_y = y + rows.first * g.dilation_h - g.pad_h;
  for (std::size_t x = 0; x < output[2];) {
    const std::size_t pixels = output[2] - x > narrow_window ? wide_window : narrow_window;
    const TapRange columns = TapRange::of(x, 1, g.pad_w, 1, pixels + Taps - 1, width);
    const std::size_t in_x = x + columns.first - g.pad_w;
    const bool none = rows.first == rows.end || columns.first == columns.end;
    const DepthwiseWindow window{
        none ? input.data : input.data + ((n * height + in_y) * width + in_x) * channels,
        g.dilation_h * width * channels,
        channels,
        rows,
        columns.first,
        columns.end};
    const std::size_t valid = std::min(pixels, output[2] - x), pixel = row * output[2] + x;
    if (pixels == wide_window)
      depthwise_windows<wide_window, Taps>(conv, window, pixel, valid, store);
    else
      depthwise_windows<narrow_window, Taps>(conv, window, pixel, valid, store);
    x += valid;
  }
}

/// One row of the output: wide tiles where neighbours have all columns of the kernel, else pixel by pixel.
inline void depthwise_row(const PackedDepthwise& conv, ConstTensorView input, const Shape& output,
                          std::size_t row, const StoreFloat& store) {
  const ConvGeometry& g = conv.geometry();
  if (g.stride_h == 1 && g.stride_w == 1 && g.dilation_w == 1 && g.kernel_w == 7)
    return depthwise_sliding_row<7>(conv, input, output, row, store);
  const std::size_t height = input.shape[1], width = input.shape[2], channels = input.shape[3];
  const std::size_t n = row / output[1], y = row % output[1];
  const TapRange rows = TapRange::of(y, g.stride_h, g.pad_h, g.dilation_h, g.kernel_h, height);
  const auto columns = [&](std::size_t x) {
    return TapRange::of(x, g.stride_w, g.pad_w, g.dilation_w, g.kernel_w, width);
  };
  const std::size_t in_y = y * g.stride_h + rows.first * g.dilation_h - g.pad_h;
  for (std::size_t x = 0; x < output[2];) {
    const TapRange taps = columns(x);
    const std::size_t in_x = x * g.stride_w + taps.first * g.dilation_w - g.pad_w;
    const bool none = rows.first == rows.end || taps.first == taps.end;
    const DepthwiseTile tile{none ? input.data : input.data + ((n * height + in_y) * width + in_x) * channels,
                             g.dilation_h * width * channels,
                             g.stride_w * channels,
                             g.dilation_w * channels,
                             rows,
                             taps};
    const std::size_t pixel = row * output[2] + x;
    const std::size_t last = x + depthwise_pixels - 1;
    const bool inside = taps == TapRange{0, g.kernel_w};
    if (inside && last < output[2] && columns(last) == taps) {
      depthwise_tile<depthwise_pixels>(conv, tile, pixel, store);
      x += depthwise_pixels;
    } else {
      depthwise_tile<1>(conv, tile, pixel, store);
      ++x;
    }
  }
}

}  // namespace detail

/// output = activation(depthwise convolution(input) + bias). Maps are `[N, H, W, C]`; `output` has the shape
/// that `conv.output_shape(input.shape)` gives and is not `input`. Allocates nothing.
inline void depthwise_conv2d(const PackedDepthwise& conv, ConstTensorView input, TensorView output,
                             Activation activation = Activation::none) {
  const StoreFloat store{output.data, nullptr, conv.channels(), activation};
  const auto work = std::uint64_t{output.shape.elements()} * conv.geometry().taps();
  parallel_for(
      output.shape[0] * output.shape[1],
      [&](std::size_t row) { detail::depthwise_row(conv, input, output.shape, row, store); },
      is_worth_threads(work));
}

}  // namespace qcnet::inline QCNET_ABI::kernels
