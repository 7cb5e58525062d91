// SSE2: 4 floats; a fused multiply-add only where the compiler has one (-mavx -mfma, AMD's -mfma4).
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__FMA4__)
#include <x86intrin.h>
#endif

#include <qcnet/core/config.hpp>
#include <qcnet/simd/arch/lanes.hpp>

namespace qcnet::inline QCNET_ABI::simd {

using Register = xsimd::batch<float, xsimd::sse2>;
inline constexpr std::size_t width = 4;
static_assert(Register::size == width);

inline Register load_partial(const float* p, std::size_t count) {
  return load_lanes<Register>(p, count);
}
inline void store_partial(float* p, Register x, std::size_t count) {
  store_lanes(p, x, count);
}

inline Register fma(Register a, Register b, Register c) {
#if QCNET_HAS_FMA && defined(__FMA__)
  return _mm_fmadd_ps(a, b, c);
#elif QCNET_HAS_FMA && defined(__FMA4__)
  return _mm_macc_ps(a, b, c);
#else
  return a * b + c;
#endif
}
inline Register min(Register a, Register b) {
  return _mm_min_ps(a, b);
}
inline Register max(Register a, Register b) {
  return _mm_max_ps(a, b);
}

inline Register exp(Register x) {
  return xsimd::exp(x);
}

inline float sum(Register x) {
  const __m128 two = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

inline std::uint32_t greater_bits(Register a, Register b) {
  return static_cast<std::uint32_t>(_mm_movemask_ps(_mm_cmpgt_ps(a, b)));
}
inline Register blend_bits(std::uint32_t bits, Register zero, Register one) {
  const __m128i lane_bit = _mm_setr_epi32(1, 2, 4, 8);
  const __m128i set = _mm_and_si128(_mm_set1_epi32(static_cast<int>(bits)), lane_bit);
  const __m128 mask = _mm_castsi128_ps(_mm_cmpeq_epi32(set, lane_bit));
  return _mm_or_ps(_mm_and_ps(mask, one), _mm_andnot_ps(mask, zero));
}

}  // namespace qcnet::inline QCNET_ABI::simd
