// Counting bits with AVX-512 without VPOPCNTDQ: a byte shuffle looks up 64 half bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/bits/arch/mismatch_table.hpp>

namespace qcnet::inline QCNET_ABI::bits::popcount {

using Register = __m512i;
inline constexpr std::size_t lanes = 64;
inline constexpr std::size_t lane_bits = 4;
inline constexpr std::size_t block_rows = 4;
inline constexpr std::size_t block_vectors = 4;
inline constexpr std::size_t most_steps = 63;

inline Register zero() {
  return _mm512_setzero_si512();
}
inline Register load_weights(const std::uint8_t* p) {
  return _mm512_load_si512(p);
}
inline Register load_input(const std::uint8_t* p) {
  return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(mismatch_row(*p))));
}
inline Register in_register(Register x) {
  asm("" : "+v"(x));
  return x;
}
inline Register add_mismatches(Register sums, Register input, Register weights) {
  return _mm512_add_epi8(sums, _mm512_shuffle_epi8(input, weights));
}
inline void subtract_twice(const std::int32_t* from, Register sums, std::int32_t* to) {
  const auto part = [&](std::size_t i, __m128i bytes) {
    const __m512i words = _mm512_cvtepu8_epi32(bytes);
    _mm512_store_si512(to + i, _mm512_sub_epi32(_mm512_load_si512(from + i), _mm512_add_epi32(words, words)));
  };
  part(0, _mm512_castsi512_si128(sums));
  part(16, _mm512_extracti32x4_epi32(sums, 1));
  part(32, _mm512_extracti32x4_epi32(sums, 2));
  part(48, _mm512_extracti32x4_epi32(sums, 3));
}
inline void add_to(std::uint16_t* to, Register sums) {
  const auto add = [&](std::size_t i, __m256i bytes) {
    _mm512_store_si512(to + i, _mm512_add_epi16(_mm512_load_si512(to + i), _mm512_cvtepu8_epi16(bytes)));
  };
  add(0, _mm512_castsi512_si256(sums));
  add(32, _mm512_extracti64x4_epi64(sums, 1));
}

}  // namespace qcnet::inline QCNET_ABI::bits::popcount
