// Counting bits with AVX2: a byte shuffle looks up 32 half bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/bits/arch/mismatch_table.hpp>

namespace qcnet::inline QCNET_ABI::bits::popcount {

using Register = __m256i;
inline constexpr std::size_t lanes = 32;
inline constexpr std::size_t lane_bits = 4;
inline constexpr std::size_t block_rows = 6;
inline constexpr std::size_t block_vectors = 2;
inline constexpr std::size_t most_steps = 63;

inline Register zero() {
  return _mm256_setzero_si256();
}
inline Register load_weights(const std::uint8_t* p) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}
inline Register load_input(const std::uint8_t* p) {
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(mismatch_row(*p))));
}
inline Register in_register(Register x) {
  asm("" : "+x"(x));
  return x;
}
inline Register add_mismatches(Register sums, Register input, Register weights) {
  return _mm256_add_epi8(sums, _mm256_shuffle_epi8(input, weights));
}
inline void subtract_twice(const std::int32_t* from, Register sums, std::int32_t* to) {
  const auto part = [&](std::size_t i, __m128i bytes) {
    const __m256i words = _mm256_cvtepu8_epi32(bytes);
    const __m256i start = _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i));
    _mm256_store_si256(reinterpret_cast<__m256i*>(to + i),
                       _mm256_sub_epi32(start, _mm256_add_epi32(words, words)));
  };
  const __m128i low = _mm256_castsi256_si128(sums), high = _mm256_extracti128_si256(sums, 1);
  part(0, low);
  part(8, _mm_srli_si128(low, 8));
  part(16, high);
  part(24, _mm_srli_si128(high, 8));
}
inline void add_to(std::uint16_t* to, Register sums) {
  const auto add = [&](std::size_t i, __m128i bytes) {
    auto* at = reinterpret_cast<__m256i*>(to + i);
    _mm256_store_si256(at, _mm256_add_epi16(_mm256_load_si256(at), _mm256_cvtepu8_epi16(bytes)));
  };
  add(0, _mm256_castsi256_si128(sums));
  add(16, _mm256_extracti128_si256(sums, 1));
}

}  // namespace qcnet::inline QCNET_ABI::bits::popcount
