// AVX-512 (F, BW, DQ, VL): 16 floats, masks in their own registers.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI::simd {

using Register = xsimd::batch<float, xsimd::avx512f>;
inline constexpr std::size_t width = 16;
static_assert(Register::size == width);

inline __mmask16 first(std::size_t count) {
  return static_cast<__mmask16>((1u << count) - 1u);
}
inline Register load_partial(const float* p, std::size_t count) {
  return _mm512_maskz_loadu_ps(first(count), p);
}
inline void store_partial(float* p, Register x, std::size_t count) {
  _mm512_mask_storeu_ps(p, first(count), x);
}

// xsimd 8.1's fma is a multiplication and an addition here.
inline Register fma(Register a, Register b, Register c) {
  return _mm512_fmadd_ps(a, b, c);
}
#if QCNET_HAS_BF16
inline Register bf16_pairs(Register low, Register high) {
  return reinterpret_cast<__m512>(_mm512_cvtne2ps_pbh(high, low));
}
inline Register dot_bf16(Register a, Register b, Register c) {
  return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(static_cast<__m512>(a)),
                          reinterpret_cast<__m512bh>(static_cast<__m512>(b)));
}
#endif
inline Register min(Register a, Register b) {
  return _mm512_min_ps(a, b);
}
inline Register max(Register a, Register b) {
  return _mm512_max_ps(a, b);
}

inline Register nearest(Register x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT);
}
inline Register scale(Register p, Register n) {
  return _mm512_scalef_ps(p, n);
}
inline Register zero_below(Register x, Register bound, Register y) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, bound, _CMP_NLT_UQ), y);
}

inline float sum(Register x) {
  return _mm512_reduce_add_ps(x);
}

inline std::uint32_t greater_bits(Register a, Register b) {
  return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}
inline Register blend_bits(std::uint32_t bits, Register zero, Register one) {
  return _mm512_mask_blend_ps(static_cast<__mmask16>(bits), zero, one);
}

}  // namespace qcnet::inline QCNET_ABI::simd
