// Packing with NEON: comparisons are narrowed to bytes, each keeps its bit, and neighbours are added up.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// Bit i is x[i] > thresholds[i], for 32 channels.
inline std::uint32_t greater_block(const float* x, const float* thresholds) {
  const auto greater = [&](std::size_t i) {
    return vmovn_u32(vcgtq_f32(vld1q_f32(x + i), vld1q_f32(thresholds + i)));
  };
  const auto bytes = [&](std::size_t i) {
    return vcombine_u8(vmovn_u16(vcombine_u16(greater(i), greater(i + 4))),
                       vmovn_u16(vcombine_u16(greater(i + 8), greater(i + 12))));
  };
  const std::uint8_t bit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint8x16_t sums = vpaddq_u8(vandq_u8(bytes(0), vld1q_u8(bit)), vandq_u8(bytes(16), vld1q_u8(bit)));
  sums = vpaddq_u8(sums, sums);
  sums = vpaddq_u8(sums, sums);
  return vgetq_lane_u32(vreinterpretq_u32_u8(sums), 0);
}

}  // namespace qcnet::inline QCNET_ABI::bits
