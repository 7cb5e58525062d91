// Sixteen counts in the bytes of a 128-bit register: what SSE2 and SSSE3 count alike.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits::popcount {

using Register = __m128i;
inline constexpr std::size_t lanes = 16;

inline Register zero() {
  return _mm_setzero_si128();
}
inline Register load_weights(const std::uint8_t* p) {
  return _mm_load_si128(reinterpret_cast<const __m128i*>(p));
}
inline Register in_register(Register x) {
  asm("" : "+x"(x));
  return x;
}
inline void subtract_twice(const std::int32_t* from, Register sums, std::int32_t* to) {
  const __m128i none = _mm_setzero_si128();
  const auto part = [&](std::size_t i, __m128i words) {
    const __m128i start = _mm_load_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm_store_si128(reinterpret_cast<__m128i*>(to + i), _mm_sub_epi32(start, _mm_add_epi32(words, words)));
  };
  const __m128i low = _mm_unpacklo_epi8(sums, none), high = _mm_unpackhi_epi8(sums, none);
  part(0, _mm_unpacklo_epi16(low, none));
  part(4, _mm_unpackhi_epi16(low, none));
  part(8, _mm_unpacklo_epi16(high, none));
  part(12, _mm_unpackhi_epi16(high, none));
}
inline void add_to(std::uint16_t* to, Register sums) {
  const auto add = [&](std::size_t i, __m128i words) {
    auto* at = reinterpret_cast<__m128i*>(to + i);
    _mm_store_si128(at, _mm_add_epi16(_mm_load_si128(at), words));
  };
  add(0, _mm_unpacklo_epi8(sums, _mm_setzero_si128()));
  add(8, _mm_unpackhi_epi8(sums, _mm_setzero_si128()));
}

}  // namespace qcnet::inline QCNET_ABI::bits::popcount
