// Packing with SSE2: comparisons are narrowed to bytes and collected 16 at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// Bit i is x[i] > thresholds[i], for 32 channels.
inline std::uint32_t greater_block(const float* x, const float* thresholds) {
  const auto greater = [&](std::size_t i) {
    return _mm_castps_si128(_mm_cmpgt_ps(_mm_loadu_ps(x + i), _mm_loadu_ps(thresholds + i)));
  };
  const auto bits = [&](std::size_t i) {
    const __m128i bytes = _mm_packs_epi16(_mm_packs_epi32(greater(i), greater(i + 4)),
                                          _mm_packs_epi32(greater(i + 8), greater(i + 12)));
    return static_cast<std::uint32_t>(_mm_movemask_epi8(bytes));
  };
  return bits(0) | bits(16) << 16;
}

}  // namespace qcnet::inline QCNET_ABI::bits
