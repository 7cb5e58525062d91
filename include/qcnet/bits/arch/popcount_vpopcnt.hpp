// Counting bits with AVX-512 VPOPCNTDQ: an instruction for eight 64-bit elements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits::popcount {

using Register = __m512i;
inline constexpr std::size_t lanes = 8;
inline constexpr std::size_t lane_bits = 64;
inline constexpr std::size_t block_rows = 4;
inline constexpr std::size_t block_vectors = 4;
inline constexpr std::size_t most_steps = ~std::size_t{0};

inline Register zero() {
  return _mm512_setzero_si512();
}
inline Register load_weights(const std::uint8_t* p) {
  return _mm512_load_si512(p);
}
inline Register load_input(const std::uint8_t* p) {
  long long word;
  std::memcpy(&word, p, sizeof word);
  return _mm512_set1_epi64(word);
}
inline Register in_register(Register x) {
  asm("" : "+v"(x));
  return x;
}
inline Register add_mismatches(Register sums, Register input, Register weights) {
  return _mm512_add_epi64(sums, _mm512_popcnt_epi64(_mm512_xor_si512(input, weights)));
}
template <std::size_t Vectors>
void subtract_twice(const std::int32_t* from, const Register (&sums)[Vectors], std::int32_t* to) {
  // The lower halves of two registers' lanes make one register of counts.
  const __m512i halves = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  for (std::size_t v = 0; v + 1 < Vectors; v += 2) {
    const __m512i words = _mm512_permutex2var_epi32(sums[v], halves, sums[v + 1]);
    const __m512i start = _mm512_loadu_si512(from + v * lanes);
    _mm512_storeu_si512(to + v * lanes, _mm512_sub_epi32(start, _mm512_add_epi32(words, words)));
  }
  if constexpr (Vectors % 2 != 0) {
    constexpr std::size_t last = Vectors - 1;
    const __m256i words = _mm512_cvtepi64_epi32(sums[last]);
    const __m256i start = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + last * lanes));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + last * lanes),
                        _mm256_sub_epi32(start, _mm256_add_epi32(words, words)));
  }
}
inline void add_to(std::uint16_t*, Register) {}  // 64 bits never overflow

}  // namespace qcnet::inline QCNET_ABI::bits::popcount
