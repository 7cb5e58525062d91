// Packing with SSE2: comparisons are narrowed to bytes and collected 16 at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// One bit for each of 32 elements, from eight registers of them that are all ones or zeros: `mask(i)` is the
/// one that begins with element i.
template <class Mask>
std::uint32_t collect_bits(const Mask& mask) {
  const auto bits = [&](std::size_t i) {
    const __m128i bytes =
        _mm_packs_epi16(_mm_packs_epi32(mask(i), mask(i + 4)), _mm_packs_epi32(mask(i + 8), mask(i + 12)));
    return static_cast<std::uint32_t>(_mm_movemask_epi8(bytes));
  };
  return bits(0) | bits(16) << 16;
}

/// Bit i is x[i] > thresholds[i], for 32 channels.
inline std::uint32_t greater_block(const float* x, const float* thresholds) {
  return collect_bits([&](std::size_t i) {
    return _mm_castps_si128(_mm_cmpgt_ps(_mm_loadu_ps(x + i), _mm_loadu_ps(thresholds + i)));
  });
}

/// The same of whole numbers.
inline std::uint32_t greater_block(const std::int32_t* x, const std::int32_t* thresholds) {
  const auto load = [](const std::int32_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  };
  return collect_bits([&](std::size_t i) { return _mm_cmpgt_epi32(load(x + i), load(thresholds + i)); });
}

}  // namespace qcnet::inline QCNET_ABI::bits
