// Layer normalization over channels (Ba, Kiros and Hinton, 2016).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include <qcnet/core/parallel.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

namespace detail {

/// Sum of f(x) over a row, on four accumulators so that additions need not wait for each other.
template <class F>
float sum_over_row(const float* row, std::size_t channels, const F& f) {
  vec total[4] = {vec::zero(), vec::zero(), vec::zero(), vec::zero()};
  std::size_t i = 0;
  for (; i + 4 * vec::size <= channels; i += 4 * vec::size)
    for (std::size_t k = 0; k < 4; ++k) total[k] = total[k] + f(vec::load(row + i + k * vec::size));
  for (; i + vec::size <= channels; i += vec::size) total[0] = total[0] + f(vec::load(row + i));
  float result = sum((total[0] + total[1]) + (total[2] + total[3]));
  if (i < channels) {
    alignas(64) float rest[vec::size];
    f(vec::load_partial(row + i, channels - i)).store(rest);
    for (std::size_t k = 0; k < channels - i; ++k) result += rest[k];
  }
  return result;
}

inline void layer_norm_row(const float* from, std::size_t channels, const float* gamma, const float* beta,
                           float eps, float* to) {
  const float count = static_cast<float>(channels);
  const vec mean = vec::broadcast(sum_over_row(from, channels, [](vec x) { return x; }) / count);
  const float variance = sum_over_row(from, channels, [&](vec x) { return (x - mean) * (x - mean); }) / count;
  const vec scale = vec::broadcast(1.0f / std::sqrt(variance + eps));
  for (std::size_t i = 0; i < channels; i += vec::size) {
    const std::size_t left = channels - i;
    if (left >= vec::size)
      fma((vec::load(from + i) - mean) * scale, vec::load(gamma + i), vec::load(beta + i)).store(to + i);
    else
      fma((vec::load_partial(from + i, left) - mean) * scale, vec::load_partial(gamma + i, left),
          vec::load_partial(beta + i, left))
          .store_partial(to + i, left);
  }
}

}  // namespace detail

/// output = (input - mean) / sqrt(variance + eps) * gamma + beta, mean and (biased) variance of each pixel or
/// token over its channels. `gamma` and `beta` hold one value a channel; `output` may be `input`.
inline void layer_norm(ConstTensorView input, std::span<const float> gamma, std::span<const float> beta,
                       float eps, TensorView output) {
  const std::size_t rows = input.shape.pixels(), channels = input.shape.channels();
  constexpr std::size_t chunk = 16;
  parallel_for((rows + chunk - 1) / chunk,
               [&](std::size_t c) {
                 for (std::size_t r = c * chunk; r < std::min(rows, (c + 1) * chunk); ++r)
                   detail::layer_norm_row(input.pixel(r), channels, gamma.data(), beta.data(), eps,
                                          output.pixel(r));
               },
               rows * channels > (std::size_t{1} << 15));
}

}  // namespace qcnet::inline QCNET_ABI::kernels
