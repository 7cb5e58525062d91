// Counting bits in plain C++.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits::popcount {

using Register = std::uint64_t;
inline constexpr std::size_t lanes = 1;
inline constexpr std::size_t lane_bits = 64;
inline constexpr std::size_t block_rows = 1;
inline constexpr std::size_t block_vectors = 8;
inline constexpr std::size_t most_steps = ~std::size_t{0};

inline Register zero() {
  return 0;
}
inline Register load_weights(const std::uint8_t* p) {
  Register word;
  std::memcpy(&word, p, sizeof word);
  return word;
}
inline Register load_input(const std::uint8_t* p) {
  return load_weights(p);
}
inline Register in_register(Register x) {
  asm("" : "+r"(x));
  return x;
}
inline Register add_mismatches(Register sums, Register input, Register weights) {
  return sums + static_cast<Register>(std::popcount(input ^ weights));
}
inline void subtract_twice(const std::int32_t* from, Register sums, std::int32_t* to) {
  *to = *from - 2 * static_cast<std::int32_t>(sums);
}
inline void add_to(std::uint16_t*, Register) {}  // 64 bits never overflow

}  // namespace qcnet::inline QCNET_ABI::bits::popcount
