// One SIMD register of floats: the only place that includes xsimd.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <qcnet/core/config.hpp>

#if !QCNET_ISA_SCALAR
// GCC 12 warns of uninitialized variables inside its own AVX-512 header (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <xsimd/xsimd.hpp>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif

#if QCNET_ISA_AVX512
#include <qcnet/simd/arch/avx512.hpp>
#elif QCNET_ISA_AVX2
#include <qcnet/simd/arch/avx2.hpp>
#elif QCNET_ISA_SSE2
#include <qcnet/simd/arch/sse2.hpp>
#elif QCNET_ISA_NEON
#include <qcnet/simd/arch/neon.hpp>
#else
#include <qcnet/simd/arch/scalar.hpp>
#endif
#if QCNET_HAS_FMA && !QCNET_ISA_SSE2 && !QCNET_ISA_SCALAR
#include <qcnet/simd/arch/exp.hpp>
namespace qcnet::inline QCNET_ABI::simd {
inline constexpr bool has_own_exp = true;
}
#else
namespace qcnet::inline QCNET_ABI::simd {
inline constexpr bool has_own_exp = false;

/// e^(high + low), low being small, where exp is not our own.
inline Register exp_of_sum(const Register& high, const Register& low) {
  const Register e = exp(high);
  return fma(low, e, e);
}

}  // namespace qcnet::inline QCNET_ABI::simd
#endif

namespace qcnet::inline QCNET_ABI {

/// `size` floats. What xsimd's batch offers alike in 8.1 and 14 is used as it is; what differs between them,
/// or is missing (fused multiply-add on AVX-512, masks as bits, partial loads), is in `simd/arch/`.
struct vec {
  static constexpr std::size_t size = simd::width;
  simd::Register raw;

  static vec load(const float* p) { return {simd::Register::load_unaligned(p)}; }
  /// The first `count` (at most `size`) floats, zero behind them; reads nothing past them.
  static vec load_partial(const float* p, std::size_t count) { return {simd::load_partial(p, count)}; }
  static vec broadcast(float x) { return {simd::Register(x)}; }
  static vec zero() { return broadcast(0.0f); }

  void store(float* p) const { raw.store_unaligned(p); }
  /// Writes the first `count` (at most `size`) floats and nothing past them.
  void store_partial(float* p, std::size_t count) const { simd::store_partial(p, raw, count); }

  friend vec operator+(vec a, vec b) { return {a.raw + b.raw}; }
  friend vec operator-(vec a, vec b) { return {a.raw - b.raw}; }
  friend vec operator*(vec a, vec b) { return {a.raw * b.raw}; }
  friend vec operator/(vec a, vec b) { return {a.raw / b.raw}; }
};

/// a * b + c, rounded once wherever the machine can (QCNET_HAS_FMA).
inline vec fma(vec a, vec b, vec c) {
  return {simd::fma(a.raw, b.raw, c.raw)};
}
#if QCNET_HAS_BF16
/// Two vectors rounded to bfloat16: two elements in place of each float, `low`'s first.
inline vec bf16_pairs(vec low, vec high) {
  return {simd::bf16_pairs(low.raw, high.raw)};
}
/// c plus both products of each two elements of `a` and `b`, which hold bfloat16.
inline vec dot_bf16(vec a, vec b, vec c) {
  return {simd::dot_bf16(a.raw, b.raw, c.raw)};
}
#endif
/// The smaller / the larger of each pair; if `a` is NaN the result is `b`'s.
inline vec min(vec a, vec b) {
  return {simd::min(a.raw, b.raw)};
}
inline vec max(vec a, vec b) {
  return {simd::max(a.raw, b.raw)};
}
/// e^x, 0 where it is denormal or nearly so.
inline vec exp(vec x) {
  return {simd::exp(x.raw)};
}
/// e^(high + low), `low` being what rounding took from `high`, for sums up to 80.
inline vec exp_of_sum(vec high, vec low) {
  return {simd::exp_of_sum(high.raw, low.raw)};
}

/// One bit per element, element 0 in bit 0: a > b. NaN compares false.
inline std::uint32_t greater_bits(vec a, vec b) {
  return simd::greater_bits(a.raw, b.raw);
}
/// Element i is `one`'s where bit i is set, else `zero`'s. Bits past the last element are ignored.
inline vec blend_bits(std::uint32_t bits, vec zero, vec one) {
  return {simd::blend_bits(bits, zero.raw, one.raw)};
}
/// Sum over the elements, in an order of its own: those of the upper half are added to the lower half's, and
/// so on.
inline float sum(vec x) {
  return simd::sum(x.raw);
}

}  // namespace qcnet::inline QCNET_ABI
