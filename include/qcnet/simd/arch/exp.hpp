// The exponential function of the instruction sets with a fused multiply-add, by their own operations.
// xsimd's takes up to twice the instructions: a third of them are for results that overflow or are denormal.
#pragma once

#include <cstddef>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI::simd {

/// e^(high + low) as 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2], to 1 ulp. The instruction set's are
/// `nearest`, the whole number, and `scale(p, n)`, p times 2^n.
inline Register exp_of_sum(Register high, Register low) {
  const Register n = nearest(high * Register(1.44269504f));
  const Register coarse = fma(n, Register(-0.693147182f), high);
  const Register r = fma(n, Register(1.90465421e-9f), coarse) + low;
  Register p(0.0013814539f);
  for (const float c : {0.008368745f, 0.04166839f, 0.16666521f, 0.49999994f, 1.0f, 1.0f})
    p = fma(p, r, Register(c));
  return scale(p, n);
}

inline Register exp(Register x) {
  // Beyond the bounds it is 0 and infinity. In this order of arguments min and max let NaN pass.
  return exp_of_sum(max(Register(-104.0f), min(Register(89.0f), x)), Register(0.0f));
}

}  // namespace qcnet::inline QCNET_ABI::simd
