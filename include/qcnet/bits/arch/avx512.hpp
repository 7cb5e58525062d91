// Packing with AVX-512: a comparison is a mask of 16 bits already.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// Bit i is x[i] > thresholds[i], for 32 channels.
inline std::uint32_t greater_block(const float* x, const float* thresholds) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < 32; i += vec::size)
    bits |= greater_bits(vec::load(x + i), vec::load(thresholds + i)) << i;
  return bits;
}

/// The same of whole numbers.
inline std::uint32_t greater_block(const std::int32_t* x, const std::int32_t* thresholds) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < 32; i += 16)
    bits |=
        std::uint32_t{_mm512_cmpgt_epi32_mask(_mm512_loadu_si512(x + i), _mm512_loadu_si512(thresholds + i))}
        << i;
  return bits;
}

}  // namespace qcnet::inline QCNET_ABI::bits
