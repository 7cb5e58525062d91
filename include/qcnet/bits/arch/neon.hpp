// Packing with NEON: comparisons are narrowed to bytes, each keeps its bit, and neighbours are added up.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits {

inline uint8x16_t add_pairs(uint8x16_t a, uint8x16_t b) {
#if defined(__aarch64__)
  return vpaddq_u8(a, b);
#else
  return vcombine_u8(vpadd_u8(vget_low_u8(a), vget_high_u8(a)), vpadd_u8(vget_low_u8(b), vget_high_u8(b)));
#endif
}

/// One bit for each of 32 elements, from eight registers of them that are all ones or zeros: `mask(i)` is the
/// one that begins with element i.
template <class Mask>
std::uint32_t collect_bits(const Mask& mask) {
  const auto half = [&](std::size_t i) {
    return vmovn_u16(vcombine_u16(vmovn_u32(mask(i)), vmovn_u32(mask(i + 4))));
  };
  const auto bytes = [&](std::size_t i) { return vcombine_u8(half(i), half(i + 8)); };
  const std::uint8_t bit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint8x16_t sums = add_pairs(vandq_u8(bytes(0), vld1q_u8(bit)), vandq_u8(bytes(16), vld1q_u8(bit)));
  sums = add_pairs(sums, sums);
  sums = add_pairs(sums, sums);
  return vgetq_lane_u32(vreinterpretq_u32_u8(sums), 0);
}

/// Bit i is x[i] > thresholds[i], for 32 channels.
inline std::uint32_t greater_block(const float* x, const float* thresholds) {
  return collect_bits(
      [&](std::size_t i) { return simd::greater(vld1q_f32(x + i), vld1q_f32(thresholds + i)); });
}

/// The same of whole numbers.
inline std::uint32_t greater_block(const std::int32_t* x, const std::int32_t* thresholds) {
  return collect_bits([&](std::size_t i) { return vcgtq_s32(vld1q_s32(x + i), vld1q_s32(thresholds + i)); });
}

}  // namespace qcnet::inline QCNET_ABI::bits
