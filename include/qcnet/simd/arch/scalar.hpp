// Plain C++ for machines without SIMD: 4 floats that the compiler keeps in as many registers as it has.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <qcnet/core/config.hpp>
#include <qcnet/simd/arch/lanes.hpp>

namespace qcnet::inline QCNET_ABI::simd {

inline constexpr std::size_t width = 4;

/// The part of xsimd's batch that `vec` uses.
struct Register {
  static constexpr std::size_t size = width;
  float lane[width];

  Register() = default;
  explicit Register(float x) : lane{x, x, x, x} {}
  static Register load_unaligned(const float* p) {
    Register result;
    for (std::size_t i = 0; i < width; ++i) result.lane[i] = p[i];
    return result;
  }
  void store_unaligned(float* p) const {
    for (std::size_t i = 0; i < width; ++i) p[i] = lane[i];
  }
};

/// Lane by lane: `op(a, b)`.
template <class Op>
Register each(const Register& a, const Register& b, const Op& op) {
  Register result;
  for (std::size_t i = 0; i < width; ++i) result.lane[i] = op(a.lane[i], b.lane[i]);
  return result;
}

inline Register operator+(const Register& a, const Register& b) {
  return each(a, b, [](float x, float y) { return x + y; });
}
inline Register operator-(const Register& a, const Register& b) {
  return each(a, b, [](float x, float y) { return x - y; });
}
inline Register operator*(const Register& a, const Register& b) {
  return each(a, b, [](float x, float y) { return x * y; });
}
inline Register operator/(const Register& a, const Register& b) {
  return each(a, b, [](float x, float y) { return x / y; });
}
inline Register exp(const Register& x) {
  return each(x, x, [](float y, float) { return std::exp(y); });
}

inline Register load_partial(const float* p, std::size_t count) {
  return load_lanes<Register>(p, count);
}
inline void store_partial(float* p, const Register& x, std::size_t count) {
  store_lanes(p, x, count);
}

inline Register fma(const Register& a, const Register& b, const Register& c) {
  Register result;
  for (std::size_t i = 0; i < width; ++i)
    result.lane[i] =
        QCNET_HAS_FMA ? std::fma(a.lane[i], b.lane[i], c.lane[i]) : a.lane[i] * b.lane[i] + c.lane[i];
  return result;
}
inline Register min(const Register& a, const Register& b) {
  return each(a, b, [](float x, float y) { return x < y ? x : y; });
}
inline Register max(const Register& a, const Register& b) {
  return each(a, b, [](float x, float y) { return x > y ? x : y; });
}

inline float sum(Register x) {
  for (std::size_t half = width / 2; half > 0; half /= 2)
    for (std::size_t i = 0; i < half; ++i) x.lane[i] += x.lane[i + half];
  return x.lane[0];
}

inline std::uint32_t greater_bits(const Register& a, const Register& b) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < width; ++i) bits |= (a.lane[i] > b.lane[i] ? 1u : 0u) << i;
  return bits;
}
inline Register blend_bits(std::uint32_t bits, const Register& zero, const Register& one) {
  Register result;
  for (std::size_t i = 0; i < width; ++i)
    result.lane[i] = ((bits >> i) & 1u) != 0 ? one.lane[i] : zero.lane[i];
  return result;
}

}  // namespace qcnet::inline QCNET_ABI::simd
