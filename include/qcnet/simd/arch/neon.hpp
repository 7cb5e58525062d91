// NEON of 64-bit and of 32-bit ARM: 4 floats. The latter takes denormal numbers for 0, and has no instruction
// that adds up a register.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/core/config.hpp>
#include <qcnet/simd/arch/lanes.hpp>

namespace qcnet::inline QCNET_ABI::simd {

#if defined(__aarch64__)
using Register = xsimd::batch<float, xsimd::neon64>;
#else
using Register = xsimd::batch<float, xsimd::neon>;
#endif
inline constexpr std::size_t width = 4;
static_assert(Register::size == width);

inline Register load_partial(const float* p, std::size_t count) {
  return load_lanes<Register>(p, count);
}
inline void store_partial(float* p, Register x, std::size_t count) {
  store_lanes(p, x, count);
}

inline Register fma(Register a, Register b, Register c) {
#if QCNET_HAS_FMA
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}
#if QCNET_HAS_BF16
inline Register bf16_pairs(Register low, Register high) {
  return vreinterpretq_f32_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(low), high));
}
inline Register dot_bf16(Register a, Register b, Register c) {
  return vbfdotq_f32(c, vreinterpretq_bf16_f32(a), vreinterpretq_bf16_f32(b));
}
#endif
/// All ones where a > b. Of the intrinsic GCC 12 makes four scalar comparisons on 32 bits, for denormals'
/// sake.
inline uint32x4_t greater(float32x4_t a, float32x4_t b) {
#if defined(__aarch64__)
  return vcgtq_f32(a, b);
#else
  uint32x4_t mask;
  asm("vcgt.f32 %q0, %q1, %q2" : "=w"(mask) : "w"(a), "w"(b));
  return mask;
#endif
}
// Compare and select, not fmin: a NaN in `a` gives `b`, as on x86.
inline Register min(Register a, Register b) {
  return vbslq_f32(greater(b, a), a, b);
}
inline Register max(Register a, Register b) {
  return vbslq_f32(greater(a, b), a, b);
}

#if QCNET_HAS_FMA
inline Register nearest(Register x) {
#if defined(__aarch64__)
  return vrndnq_f32(x);
#else
  const Register whole(12582912.0f);  // 1.5 * 2^23: a sum with it has no fraction
  return x + whole - whole;
#endif
}
/// In two steps, as 2^n alone may be no normal number.
inline Register scale(Register p, Register n) {
  const auto power = [](int32x4_t k) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(k, vdupq_n_s32(127)), 23));
  };
  const int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1);
  return vmulq_f32(vmulq_f32(p, power(half)), power(vsubq_s32(whole, half)));
}
inline Register zero_below(Register x, Register bound, Register y) {
  return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(y), greater(bound, x)));
}
#else
inline Register exp(Register x) {
  return xsimd::exp(x);
}
#endif

inline float sum(Register x) {
  const float32x2_t two = vadd_f32(vget_low_f32(x), vget_high_f32(x));
  return vget_lane_f32(vpadd_f32(two, two), 0);
}

inline uint32x4_t lane_bits() {
  const std::uint32_t lanes[width] = {1, 2, 4, 8};
  return vld1q_u32(lanes);
}
inline std::uint32_t greater_bits(Register a, Register b) {
  const uint32x4_t bits = vandq_u32(greater(a, b), lane_bits());
#if defined(__aarch64__)
  return vaddvq_u32(bits);
#else
  const uint32x2_t two = vpadd_u32(vget_low_u32(bits), vget_high_u32(bits));
  return vget_lane_u32(vpadd_u32(two, two), 0);
#endif
}
inline Register blend_bits(std::uint32_t bits, Register zero, Register one) {
  return vbslq_f32(vtstq_u32(vdupq_n_u32(bits), lane_bits()), one, zero);
}

}  // namespace qcnet::inline QCNET_ABI::simd
