// The exponential function of the instruction sets with a fused multiply-add, by their own operations.
// xsimd's takes up to twice the instructions: a third of them are for results that overflow or are denormal.
#pragma once

#include <cstddef>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI::simd {

/// Below this GELU, 0.4 e^x, would be no normal number but a denormal one, and soon e^x itself: these take
/// Intel's processors a hundred times as long, to make and to read.
inline constexpr float lowest_exponent = -86.4119f;

/// e^(high + low) as 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2], to 1 ulp; 0 below `lowest_exponent`.
/// The instruction set's are `nearest`, the whole number, `scale(p, n)`, p times 2^n, and
/// `zero_below(x, bound, y)`, 0 where x is below the bound and else y.
inline Register exp_of_sum(Register high, Register low) {
  // In this order of arguments min and max let NaN pass.
  const Register lowest(lowest_exponent), x = max(lowest, high);
  const Register n = nearest(x * Register(1.44269504f));
  const Register coarse = fma(n, Register(-0.693147182f), x);
  const Register r = fma(n, Register(1.90465421e-9f), coarse) + low;
  Register p(0.0013814539f);
  for (const float c : {0.008368745f, 0.04166839f, 0.16666521f, 0.49999994f, 1.0f, 1.0f})
    p = fma(p, r, Register(c));
  return zero_below(high, lowest, scale(p, n));
}

inline Register exp(Register x) {
  return exp_of_sum(min(Register(89.0f), x), Register(0.0f));  // from there on infinity
}

}  // namespace qcnet::inline QCNET_ABI::simd
