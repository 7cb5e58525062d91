// Plain-loop twins of the fast kernels, written to be read; sums in double. Tests compare the two.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include <qcnet/core/conv_geometry.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/kernels/epilogue.hpp>

namespace qcnet::inline QCNET_ABI::reference {

/// Calls `body(input pixel, kernel position)` for each tap of the window of output pixel (n, y, x) that lies
/// in the image.
template <class Body>
void for_each_tap(const ConvGeometry& g, const Shape& input, std::size_t n, std::size_t y, std::size_t x,
                  const Body& body) {
  for (std::size_t kh = 0; kh < g.kernel_h; ++kh)
    for (std::size_t kw = 0; kw < g.kernel_w; ++kw) {
      const auto in_y = static_cast<std::ptrdiff_t>(y * g.stride_h + kh * g.dilation_h) -
                        static_cast<std::ptrdiff_t>(g.pad_h);
      const auto in_x = static_cast<std::ptrdiff_t>(x * g.stride_w + kw * g.dilation_w) -
                        static_cast<std::ptrdiff_t>(g.pad_w);
      if (in_y < 0 || in_x < 0 || in_y >= static_cast<std::ptrdiff_t>(input[1]) ||
          in_x >= static_cast<std::ptrdiff_t>(input[2]))
        continue;
      body((n * input[1] + static_cast<std::size_t>(in_y)) * input[2] + static_cast<std::size_t>(in_x),
           kh * g.kernel_w + kw);
    }
}

/// Calls `body(n, y, x, output pixel)` for each pixel of an `[N, H, W, C]` output.
template <class Body>
void for_each_pixel(const Shape& output, const Body& body) {
  for (std::size_t n = 0, p = 0; n < output[0]; ++n)
    for (std::size_t y = 0; y < output[1]; ++y)
      for (std::size_t x = 0; x < output[2]; ++x) body(n, y, x, p++);
}

/// Twin of kernels::conv2d; `weights` is `[Cout, Kh, Kw, Cin / groups]`.
inline void conv2d(ConstTensorView weights, std::span<const float> bias, const ConvGeometry& g,
                   ConstTensorView input, TensorView output,
                   kernels::Activation activation = kernels::Activation::none,
                   ConstTensorView residual = {}) {
  const std::size_t cout = weights.shape[0], group_cin = weights.shape[3], group_cout = cout / g.groups;
  for_each_pixel(output.shape, [&](std::size_t n, std::size_t y, std::size_t x, std::size_t p) {
    for (std::size_t c = 0; c < cout; ++c) {
      double sum = bias.empty() ? 0.0 : static_cast<double>(bias[c]);
      for_each_tap(g, input.shape, n, y, x, [&](std::size_t in_pixel, std::size_t tap) {
        const float* in = input.pixel(in_pixel) + c / group_cout * group_cin;
        const float* w = weights.data + (c * g.taps() + tap) * group_cin;
        for (std::size_t k = 0; k < group_cin; ++k)
          sum += static_cast<double>(in[k]) * static_cast<double>(w[k]);
      });
      if (residual.data != nullptr) sum += static_cast<double>(residual.pixel(p)[c]);
      output.pixel(p)[c] = kernels::activate(static_cast<float>(sum), activation);
    }
  });
}

/// Twin of kernels::max_pool.
inline void max_pool(const ConvGeometry& g, ConstTensorView input, TensorView output) {
  for_each_pixel(output.shape, [&](std::size_t n, std::size_t y, std::size_t x, std::size_t p) {
    for (std::size_t c = 0; c < output.shape[3]; ++c) {
      float largest = -std::numeric_limits<float>::infinity();
      for_each_tap(g, input.shape, n, y, x, [&](std::size_t in_pixel, std::size_t) {
        largest = std::max(largest, input.pixel(in_pixel)[c]);
      });
      output.pixel(p)[c] = largest;
    }
  });
}

/// Twin of kernels::average_pool.
inline void average_pool(const ConvGeometry& g, ConstTensorView input, TensorView output,
                         bool count_padding = true) {
  for_each_pixel(output.shape, [&](std::size_t n, std::size_t y, std::size_t x, std::size_t p) {
    for (std::size_t c = 0; c < output.shape[3]; ++c) {
      double sum = 0.0;
      std::size_t seen = 0;
      for_each_tap(g, input.shape, n, y, x, [&](std::size_t in_pixel, std::size_t) {
        sum += static_cast<double>(input.pixel(in_pixel)[c]);
        ++seen;
      });
      output.pixel(p)[c] = static_cast<float>(sum / static_cast<double>(count_padding ? g.taps() : seen));
    }
  });
}

/// Twin of kernels::global_average_pool.
inline void global_average_pool(ConstTensorView input, TensorView output) {
  const std::size_t pixels = input.shape[1] * input.shape[2];
  for (std::size_t n = 0; n < input.shape[0]; ++n)
    for (std::size_t c = 0; c < input.shape[3]; ++c) {
      double sum = 0.0;
      for (std::size_t p = 0; p < pixels; ++p) sum += static_cast<double>(input.pixel(n * pixels + p)[c]);
      output.pixel(n)[c] = static_cast<float>(sum / static_cast<double>(pixels));
    }
}

/// Twin of kernels::upsample_by_2.
inline void upsample_by_2(ConstTensorView input, TensorView output) {
  for_each_pixel(output.shape, [&](std::size_t n, std::size_t y, std::size_t x, std::size_t p) {
    const std::size_t from = (n * input.shape[1] + y / 2) * input.shape[2] + x / 2;
    for (std::size_t c = 0; c < output.shape[3]; ++c) output.pixel(p)[c] = input.pixel(from)[c];
  });
}

/// Twin of kernels::depth_to_space.
inline void depth_to_space(std::size_t patch, ConstTensorView input, TensorView output) {
  const std::size_t channels = output.shape[3];
  for_each_pixel(output.shape, [&](std::size_t n, std::size_t y, std::size_t x, std::size_t p) {
    const std::size_t from = (n * input.shape[1] + y / patch) * input.shape[2] + x / patch;
    const std::size_t a = y % patch, b = x % patch;
    for (std::size_t c = 0; c < channels; ++c)
      output.pixel(p)[c] = input.pixel(from)[(a * patch + b) * channels + c];
  });
}

/// Twin of kernels::concat_channels.
inline void concat_channels(std::span<const ConstTensorView> inputs, TensorView output) {
  for (std::size_t p = 0; p < output.shape.pixels(); ++p) {
    std::size_t at = 0;
    for (const ConstTensorView& input : inputs)
      for (std::size_t c = 0; c < input.shape.channels(); ++c) output.pixel(p)[at++] = input.pixel(p)[c];
  }
}

/// Twin of kernels::softmax.
inline void softmax(ConstTensorView input, TensorView output) {
  for (std::size_t r = 0; r < input.shape.pixels(); ++r) {
    const std::size_t n = input.shape.channels();
    const float* from = input.pixel(r);
    const double largest = static_cast<double>(*std::max_element(from, from + n));
    double total = 0.0;
    for (std::size_t i = 0; i < n; ++i) total += std::exp(static_cast<double>(from[i]) - largest);
    for (std::size_t i = 0; i < n; ++i)
      output.pixel(r)[i] = static_cast<float>(std::exp(static_cast<double>(from[i]) - largest) / total);
  }
}

/// Twin of kernels::gelu.
inline void gelu(ConstTensorView input, TensorView output) {
  for (std::size_t i = 0; i < input.span().size(); ++i) {
    const double x = static_cast<double>(input.data[i]);
    output.data[i] = static_cast<float>(0.5 * x * std::erfc(-x / std::sqrt(2.0)));
  }
}

/// Twin of kernels::layer_norm.
inline void layer_norm(ConstTensorView input, std::span<const float> gamma, std::span<const float> beta,
                       float eps, TensorView output) {
  const std::size_t n = input.shape.channels();
  for (std::size_t r = 0; r < input.shape.pixels(); ++r) {
    double mean = 0.0, variance = 0.0;
    for (std::size_t i = 0; i < n; ++i)
      mean += static_cast<double>(input.pixel(r)[i]) / static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i)
      variance += std::pow(static_cast<double>(input.pixel(r)[i]) - mean, 2) / static_cast<double>(n);
    const double scale = 1.0 / std::sqrt(variance + static_cast<double>(eps));
    for (std::size_t i = 0; i < n; ++i)
      output.pixel(r)[i] = static_cast<float>((static_cast<double>(input.pixel(r)[i]) - mean) * scale *
                                                  static_cast<double>(gamma[i]) +
                                              static_cast<double>(beta[i]));
  }
}

/// Twin of kernels::attention.
inline void attention(ConstTensorView qkv, std::size_t heads, TensorView output) {
  const std::size_t tokens = output.shape[1], channels = output.shape[2], size = channels / heads;
  std::vector<double> weights(tokens);
  for (std::size_t n = 0; n < output.shape[0]; ++n)
    for (std::size_t h = 0; h < heads; ++h)
      for (std::size_t q = 0; q < tokens; ++q) {
        const float* query = qkv.pixel(n * tokens + q) + h * size;
        double largest = -std::numeric_limits<double>::infinity(), total = 0.0;
        for (std::size_t k = 0; k < tokens; ++k) {
          const float* key = qkv.pixel(n * tokens + k) + channels + h * size;
          weights[k] = 0.0;
          for (std::size_t d = 0; d < size; ++d)
            weights[k] += static_cast<double>(query[d]) * static_cast<double>(key[d]);
          weights[k] /= std::sqrt(static_cast<double>(size));
          largest = std::max(largest, weights[k]);
        }
        for (double& w : weights) total += w = std::exp(w - largest);
        for (std::size_t d = 0; d < size; ++d) {
          double sum = 0.0;
          for (std::size_t k = 0; k < tokens; ++k)
            sum += weights[k] * static_cast<double>(qkv.pixel(n * tokens + k)[2 * channels + h * size + d]);
          output.pixel(n * tokens + q)[h * size + d] = static_cast<float>(sum / total);
        }
      }
}

}  // namespace qcnet::inline QCNET_ABI::reference
