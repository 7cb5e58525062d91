// AArch64 NEON: 4 floats.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI::simd {

using Register = xsimd::batch<float, xsimd::neon64>;
inline constexpr std::size_t width = 4;
static_assert(Register::size == width);

inline Register load(const float* p) {
  return Register::load_unaligned(p);
}
inline void store(float* p, Register x) {
  x.store_unaligned(p);
}
inline Register broadcast(float x) {
  return Register(x);
}

inline Register load_partial(const float* p, std::size_t count) {
  alignas(16) float lanes[width] = {};
  for (std::size_t i = 0; i < count; ++i) lanes[i] = p[i];
  return load(lanes);
}
inline void store_partial(float* p, Register x, std::size_t count) {
  alignas(16) float lanes[width];
  store(lanes, x);
  for (std::size_t i = 0; i < count; ++i) p[i] = lanes[i];
}

inline Register add(Register a, Register b) {
  return a + b;
}
inline Register sub(Register a, Register b) {
  return a - b;
}
inline Register mul(Register a, Register b) {
  return a * b;
}
inline Register div(Register a, Register b) {
  return a / b;
}
inline Register fma(Register a, Register b, Register c) {
  return vfmaq_f32(c, a, b);
}
// Compare and select, not fmin: a NaN in `a` gives `b`, as on x86.
inline Register min(Register a, Register b) {
  return vbslq_f32(vcltq_f32(a, b), a, b);
}
inline Register max(Register a, Register b) {
  return vbslq_f32(vcgtq_f32(a, b), a, b);
}
inline Register exp(Register x) {
  return xsimd::exp(x);
}
inline Register tanh(Register x) {
  return xsimd::tanh(x);
}

inline uint32x4_t lane_bits() {
  const std::uint32_t lanes[width] = {1, 2, 4, 8};
  return vld1q_u32(lanes);
}
inline std::uint32_t greater_bits(Register a, Register b) {
  return vaddvq_u32(vandq_u32(vcgtq_f32(a, b), lane_bits()));
}
inline Register blend_bits(std::uint32_t bits, Register zero, Register one) {
  return vbslq_f32(vtstq_u32(vdupq_n_u32(bits), lane_bits()), one, zero);
}

}  // namespace qcnet::inline QCNET_ABI::simd
