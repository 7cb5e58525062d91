// Counting bits with SSE2: halves are added to halves, from single bits to bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/bits/arch/popcount_bytes_128.hpp>

namespace qcnet::inline QCNET_ABI::bits::popcount {

inline constexpr std::size_t lane_bits = 8;
inline constexpr std::size_t block_rows = 4;
inline constexpr std::size_t block_vectors = 2;
inline constexpr std::size_t most_steps = 31;

inline Register load_input(const std::uint8_t* p) {
  return _mm_set1_epi8(static_cast<char>(*p));
}
inline Register add_mismatches(Register sums, Register input, Register weights) {
  const auto all = [](int byte) { return _mm_set1_epi8(static_cast<char>(byte)); };
  __m128i x = _mm_xor_si128(input, weights);
  x = _mm_sub_epi8(x, _mm_and_si128(_mm_srli_epi16(x, 1), all(0x55)));
  x = _mm_add_epi8(_mm_and_si128(x, all(0x33)), _mm_and_si128(_mm_srli_epi16(x, 2), all(0x33)));
  x = _mm_and_si128(_mm_add_epi8(x, _mm_srli_epi16(x, 4)), all(0x0F));
  return _mm_add_epi8(sums, x);
}
}  // namespace qcnet::inline QCNET_ABI::bits::popcount
