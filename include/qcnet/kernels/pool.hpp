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

/// Calls `body(first, count)` for pieces of `channels` of at most a vector.
template <class Body>
void for_each_vector(std::size_t channels, const Body& body) {
  for (std::size_t c = 0; c < channels; c += vec::size) body(c, std::min(vec::size, channels - c));
}

/// Folds the pixels of each output pixel's window (padding left out) with `fold`, from `start`, and finishes
/// with `finish(value, pixels in the window that lie in the image)`.
template <class Fold, class Finish>
void pool(const ConvGeometry& g, ConstTensorView input, TensorView output, float start, const Fold& fold,
          const Finish& finish) {
  const std::size_t height = input.shape[1], width = input.shape[2], channels = input.shape[3];
  const auto body = [&](std::size_t line) {
    const std::size_t n = line / output.shape[1], y = line % output.shape[1];
    for (std::size_t x = 0; x < output.shape[2]; ++x) {
      float* to = output.pixel(line * output.shape[2] + x);
      for_each_vector(channels, [&](std::size_t c, std::size_t count) {
        vec value = vec::broadcast(start);
        std::size_t seen = 0;
        for (std::size_t kh = 0; kh < g.kernel_h; ++kh)
          for (std::size_t kw = 0; kw < g.kernel_w; ++kw) {
            // Unsigned wrap-around makes a pixel above or left of the image larger than any size.
            const std::size_t in_y = y * g.stride_h + kh * g.dilation_h - g.pad_h;
            const std::size_t in_x = x * g.stride_w + kw * g.dilation_w - g.pad_w;
            if (in_y >= height || in_x >= width) continue;
            value =
                fold(value, vec::load_partial(input.pixel((n * height + in_y) * width + in_x) + c, count));
            ++seen;
          }
        finish(value, seen).store_partial(to + c, count);
      });
    }
  };
  const bool worth_it = output.shape.elements() * g.taps() > (std::size_t{1} << 17);
  parallel_for(output.shape[0] * output.shape[1], body, worth_it);
}

}  // namespace detail

/// Largest value of each window of `[N, H, W, C]`; padding never wins. A NaN may hide behind a number.
inline void max_pool(const ConvGeometry& geometry, ConstTensorView input, TensorView output) {
  detail::pool(
      geometry, input, output, -std::numeric_limits<float>::infinity(),
      [](vec a, vec b) { return max(a, b); }, [](vec value, std::size_t) { return value; });
}

/// Mean of each window of `[N, H, W, C]`. Padding counts as zeros if `count_padding` (PyTorch's default),
/// else it is left out of the mean.
inline void average_pool(const ConvGeometry& geometry, ConstTensorView input, TensorView output,
                         bool count_padding = true) {
  detail::pool(
      geometry, input, output, 0.0f, [](vec a, vec b) { return a + b; },
      [&](vec value, std::size_t seen) {
        return value / vec::broadcast(static_cast<float>(count_padding ? geometry.taps() : seen));
      });
}

/// Mean over all pixels: `[N, H, W, C]` to `[N, C]`.
inline void global_average_pool(ConstTensorView input, TensorView output) {
  const std::size_t pixels = input.shape[1] * input.shape[2], channels = input.shape[3];
  for (std::size_t n = 0; n < input.shape[0]; ++n)
    detail::for_each_vector(channels, [&](std::size_t c, std::size_t count) {
      vec total = vec::zero();
      for (std::size_t p = 0; p < pixels; ++p)
        total = total + vec::load_partial(input.pixel(n * pixels + p) + c, count);
      (total / vec::broadcast(static_cast<float>(pixels))).store_partial(output.pixel(n) + c, count);
    });
}

}  // namespace qcnet::inline QCNET_ABI::kernels
