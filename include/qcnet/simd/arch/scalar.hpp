// Plain C++ for machines without SIMD: 4 floats that the compiler keeps in as many registers as it has.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI::simd {

inline constexpr std::size_t width = 4;
struct Register {
  float lane[width];
};

/// Lane by lane: `op(a, b)`.
template <class Op>
Register each(const Register& a, const Register& b, const Op& op) {
  Register result;
  for (std::size_t i = 0; i < width; ++i) result.lane[i] = op(a.lane[i], b.lane[i]);
  return result;
}

inline Register load(const float* p) {
  return {{p[0], p[1], p[2], p[3]}};
}
inline void store(float* p, const Register& x) {
  for (std::size_t i = 0; i < width; ++i) p[i] = x.lane[i];
}
inline Register broadcast(float x) {
  return {{x, x, x, x}};
}

inline Register load_partial(const float* p, std::size_t count) {
  Register result{};
  for (std::size_t i = 0; i < count; ++i) result.lane[i] = p[i];
  return result;
}
inline void store_partial(float* p, const Register& x, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) p[i] = x.lane[i];
}

inline Register add(const Register& a, const Register& b) {
  return each(a, b, [](float x, float y) { return x + y; });
}
inline Register sub(const Register& a, const Register& b) {
  return each(a, b, [](float x, float y) { return x - y; });
}
inline Register mul(const Register& a, const Register& b) {
  return each(a, b, [](float x, float y) { return x * y; });
}
inline Register div(const Register& a, const Register& b) {
  return each(a, b, [](float x, float y) { return x / y; });
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
inline Register exp(const Register& x) {
  return each(x, x, [](float y, float) { return std::exp(y); });
}
inline Register tanh(const Register& x) {
  return each(x, x, [](float y, float) { return std::tanh(y); });
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
