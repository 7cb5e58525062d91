// Pooling over windows of a feature map, vectorized over channels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include <qcnet/core/conv_geometry.hpp>
#include <qcnet/core/parallel.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

namespace detail {

/// Folds the pixels of each output pixel's window (padding left out) with `fold`, from `start`, and finishes
/// with `finish(value, pixels in the window that lie in the image)`. `rows_apart`: each row of the window is
/// folded by itself first, as a sum of many thousand values loses digits.
template <bool rows_apart, class Fold, class Finish>
void pool(const ConvGeometry& g, ConstTensorView input, TensorView output, float start, const Fold& fold,
          const Finish& finish) {
  const std::size_t height = input.shape[1], width = input.shape[2], channels = input.shape[3];
  const std::size_t down = g.dilation_h * width * channels, right = g.dilation_w * channels;
  const auto line = [&](std::size_t index) {
    const std::size_t n = index / output.shape[1], y = index % output.shape[1];
    const TapRange rows = TapRange::of(y, g.stride_h, g.pad_h, g.dilation_h, g.kernel_h, height);
    const std::size_t top = n * height + y * g.stride_h + rows.first * g.dilation_h - g.pad_h;
    for (std::size_t x = 0; x < output.shape[2]; ++x) {
      const TapRange columns = TapRange::of(x, g.stride_w, g.pad_w, g.dilation_w, g.kernel_w, width);
      const std::size_t left = x * g.stride_w + columns.first * g.dilation_w - g.pad_w;
      const auto window = [&](std::size_t c, const auto& load) {
        vec value = vec::broadcast(start);
        const float* row = input.data + (top * width + left) * channels + c;
        for (std::size_t kh = 0; kh < rows.size(); ++kh, row += down) {
          vec part = rows_apart ? vec::broadcast(start) : value;
          for (std::size_t kw = 0; kw < columns.size(); ++kw) part = fold(part, load(row + kw * right));
          value = rows_apart ? fold(value, part) : part;
        }
        return finish(value, rows.size() * columns.size());
      };
      float* const to = output.pixel(index * output.shape[2] + x);
      std::size_t c = 0;
      for (; c + vec::size <= channels; c += vec::size)
        window(c, [](const float* from) { return vec::load(from); }).store(to + c);
      if (const std::size_t rest = channels - c; rest > 0)
        window(c, [&](const float* from) {
          return vec::load_partial(from, rest);
        }).store_partial(to + c, rest);
    }
  };
  const bool worth_it = output.shape.elements() * g.taps() > (std::size_t{1} << 17);
  parallel_for(output.shape[0] * output.shape[1], line, worth_it);
}

}  // namespace detail

/// Largest value of each window of `[N, H, W, C]`; padding and NaN never win.
inline void max_pool(const ConvGeometry& geometry, ConstTensorView input, TensorView output) {
  detail::pool<false>(
      geometry, input, output, -std::numeric_limits<float>::infinity(),
      [](vec largest, vec x) { return max(x, largest); }, [](vec value, std::size_t) { return value; });
}

/// Mean of each window of `[N, H, W, C]`. Padding counts as zeros if `count_padding` (PyTorch's default),
/// else it is left out of the mean.
inline void average_pool(const ConvGeometry& geometry, ConstTensorView input, TensorView output,
                         bool count_padding = true) {
  detail::pool<true>(
      geometry, input, output, 0.0f, [](vec a, vec b) { return a + b; },
      [&](vec value, std::size_t seen) {
        return value / vec::broadcast(static_cast<float>(count_padding ? geometry.taps() : seen));
      });
}

/// Mean over all pixels: `[N, H, W, C]` to `[N, C]`.
inline void global_average_pool(ConstTensorView input, TensorView output) {
  const Shape& s = input.shape;
  ConvGeometry whole;
  whole.kernel_h = s[1];
  whole.kernel_w = s[2];
  average_pool(whole, input, {output.data, {s[0], 1, 1, s[3]}});
}

}  // namespace qcnet::inline QCNET_ABI::kernels
