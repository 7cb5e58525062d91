// Packing with AVX2: comparisons are narrowed to bytes and collected 32 at a time; one by one,
// vmovmskps is the bottleneck.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// One bit for each of 32 elements, from four registers of them that are all ones or zeros: `mask(i)` is the
/// one that begins with element i.
template <class Mask>
std::uint32_t collect_bits(const Mask& mask) {
  // Packing works within 128-bit lanes, so groups of 4 come out in the order 0 2 4 6 1 3 5 7.
  const __m256i bytes =
      _mm256_packs_epi16(_mm256_packs_epi32(mask(0), mask(8)), _mm256_packs_epi32(mask(16), mask(24)));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_permutevar8x32_epi32(bytes, order)));
}

/// Bit i is x[i] > thresholds[i], for 32 channels.
inline std::uint32_t greater_block(const float* x, const float* thresholds) {
  return collect_bits([&](std::size_t i) {
    return _mm256_castps_si256(
        _mm256_cmp_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(thresholds + i), _CMP_GT_OQ));
  });
}

/// The same of whole numbers.
inline std::uint32_t greater_block(const std::int32_t* x, const std::int32_t* thresholds) {
  const auto load = [](const std::int32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  };
  return collect_bits([&](std::size_t i) { return _mm256_cmpgt_epi32(load(x + i), load(thresholds + i)); });
}

}  // namespace qcnet::inline QCNET_ABI::bits
