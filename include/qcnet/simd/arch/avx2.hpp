// AVX2 with FMA: 8 floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI::simd {

using Register = xsimd::batch<float, xsimd::fma3<xsimd::avx2>>;
inline constexpr std::size_t width = 8;
static_assert(Register::size == width);

inline __m256i first(std::size_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
}
inline Register load_partial(const float* p, std::size_t count) {
  return _mm256_maskload_ps(p, first(count));
}
inline void store_partial(float* p, Register x, std::size_t count) {
  _mm256_maskstore_ps(p, first(count), x);
}

inline Register fma(Register a, Register b, Register c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline Register min(Register a, Register b) {
  return _mm256_min_ps(a, b);
}
inline Register max(Register a, Register b) {
  return _mm256_max_ps(a, b);
}

inline Register nearest(Register x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/// In two steps, as 2^n alone may be no normal number.
inline Register scale(Register p, Register n) {
  const auto power = [](__m256i k) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(k, _mm256_set1_epi32(127)), 23));
  };
  const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
  return _mm256_mul_ps(_mm256_mul_ps(p, power(half)), power(_mm256_sub_epi32(whole, half)));
}
inline Register zero_below(Register x, Register bound, Register y) {
  return _mm256_and_ps(_mm256_cmp_ps(x, bound, _CMP_NLT_UQ), y);
}

inline float sum(Register x) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline std::uint32_t greater_bits(Register a, Register b) {
  return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)));
}
inline Register blend_bits(std::uint32_t bits, Register zero, Register one) {
  const __m256i lane_bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i set = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane_bit);
  return _mm256_blendv_ps(zero, one, _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, lane_bit)));
}

}  // namespace qcnet::inline QCNET_ABI::simd
