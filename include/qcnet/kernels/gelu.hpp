// The Gaussian error linear unit (Hendrycks and Gimpel, 2016), exact: x times the normal distribution
// function.
#pragma once

#include <algorithm>
#include <cstddef>

#include <qcnet/core/parallel.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

/// x * Phi(x), the erf form and not its tanh approximation. Relative error below 4e-7 with AVX-512, else
/// 4.5e-7 (NEON 5e-7), wherever the result is normal, else it may be 0; without a fused multiply-add
/// (SSE2) 4e-8 x^2 more for negative x. NaN stays NaN.
///
/// gelu(x) = max(x, 0) - t Q(t) with t = |x| and Q(t) = Phi(-t) = exp(-t^2 / 2) R(t): nothing cancels on
/// either side of zero. R falls slowly from 1/2 and is a polynomial in (t - 4) / (t + 4), fitted to 1.6e-8.
inline vec gelu(vec x) {
  // Of 2 R.
  constexpr float coefficients[] = {-0.00013178731f, -0.000337757374f, 0.00131549535f, 0.00100645237f,
                                    -0.016995566f,   0.0617307052f,    -0.143413529f,  0.24875842f,
                                    -0.340795487f,   0.188821286f};
  const vec four = vec::broadcast(4.0f);
  // Behind 14.4 the product is 0 in float. In this order of arguments min and max let NaN pass.
  const vec t = min(vec::broadcast(14.4f), max(x, vec::zero() - x));
  const vec u = (t - four) / (t + four);
  vec r = vec::broadcast(coefficients[0]);
  for (std::size_t i = 1; i < std::size(coefficients); ++i) r = fma(r, u, vec::broadcast(coefficients[i]));
  // The rounding of t^2 / 2 would be an absolute error of the exponent: give it back.
  const vec half = t * vec::broadcast(-0.5f), square = half * t;
  const vec lost = fma(half, t, vec::zero() - square);
  return fma(half * r, exp_of_sum(square, lost), max(x, vec::zero()));
}

namespace detail {
/// The same for `count` floats; `to` may be `from`.
inline void gelu_row(const float* from, std::size_t count, float* to) {
  std::size_t i = 0;
  for (; i + vec::size <= count; i += vec::size) gelu(vec::load(from + i)).store(to + i);
  if (i < count) gelu(vec::load_partial(from + i, count - i)).store_partial(to + i, count - i);
}
}  // namespace detail

/// The same for every element; `output` may be `input`.
inline void gelu(ConstTensorView input, TensorView output) {
  constexpr std::size_t chunk = 4096;
  const std::size_t n = input.span().size();
  parallel_for((n + chunk - 1) / chunk,
               [&](std::size_t c) {
                 const std::size_t first = c * chunk;
                 detail::gelu_row(input.data + first, std::min(chunk, n - first), output.data + first);
               },
               n > (std::size_t{1} << 14));
}

}  // namespace qcnet::inline QCNET_ABI::kernels
