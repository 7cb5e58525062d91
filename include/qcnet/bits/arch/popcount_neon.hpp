// Counting bits with NEON: an instruction for sixteen bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits::popcount {

using Register = uint8x16_t;
inline constexpr std::size_t lanes = 16;
inline constexpr std::size_t lane_bits = 8;
inline constexpr std::size_t block_rows = 8;
inline constexpr std::size_t block_vectors = 2;
inline constexpr std::size_t most_steps = 31;

inline Register zero() {
  return vdupq_n_u8(0);
}
inline Register load_weights(const std::uint8_t* p) {
  return vld1q_u8(p);
}
inline Register load_input(const std::uint8_t* p) {
  return vld1q_dup_u8(p);
}
inline Register in_register(Register x) {
  asm("" : "+w"(x));
  return x;
}
inline Register add_mismatches(Register sums, Register input, Register weights) {
  return vaddq_u8(sums, vcntq_u8(veorq_u8(input, weights)));
}
inline void subtract_twice(const std::int32_t* from, Register sums, std::int32_t* to) {
  const auto part = [&](std::size_t i, uint16x4_t halves) {
    const int32x4_t words = vreinterpretq_s32_u32(vshll_n_u16(halves, 1));
    vst1q_s32(to + i, vsubq_s32(vld1q_s32(from + i), words));
  };
  const uint16x8_t low = vmovl_u8(vget_low_u8(sums)), high = vmovl_u8(vget_high_u8(sums));
  part(0, vget_low_u16(low));
  part(4, vget_high_u16(low));
  part(8, vget_low_u16(high));
  part(12, vget_high_u16(high));
}
inline void add_to(std::uint16_t* to, Register sums) {
  vst1q_u16(to, vaddw_u8(vld1q_u16(to), vget_low_u8(sums)));
  vst1q_u16(to + 8, vaddw_u8(vld1q_u16(to + 8), vget_high_u8(sums)));
}

}  // namespace qcnet::inline QCNET_ABI::bits::popcount
