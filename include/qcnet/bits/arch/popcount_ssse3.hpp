// Counting bits with SSSE3: a byte shuffle looks up 16 half bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/bits/arch/mismatch_table.hpp>
#include <qcnet/bits/arch/popcount_bytes_128.hpp>

#include <tmmintrin.h>

namespace qcnet::inline QCNET_ABI::bits::popcount {

inline constexpr std::size_t lane_bits = 4;
inline constexpr std::size_t block_rows = 6;
inline constexpr std::size_t block_vectors = 2;
inline constexpr std::size_t most_steps = 63;

inline Register load_input(const std::uint8_t* p) {
  return _mm_load_si128(reinterpret_cast<const __m128i*>(mismatch_row(*p)));
}
inline Register add_mismatches(Register sums, Register input, Register weights) {
  return _mm_add_epi8(sums, _mm_shuffle_epi8(input, weights));
}
}  // namespace qcnet::inline QCNET_ABI::bits::popcount
