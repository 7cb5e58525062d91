// Partial loads and stores for instruction sets without masks: through memory.
#pragma once

#include <cstddef>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI::simd {

template <class Register>
Register load_lanes(const float* p, std::size_t count) {
  alignas(64) float lanes[Register::size] = {};
  for (std::size_t i = 0; i < count; ++i) lanes[i] = p[i];
  return Register::load_unaligned(lanes);
}
template <class Register>
void store_lanes(float* p, Register x, std::size_t count) {
  alignas(64) float lanes[Register::size];
  x.store_unaligned(lanes);
  for (std::size_t i = 0; i < count; ++i) p[i] = lanes[i];
}

}  // namespace qcnet::inline QCNET_ABI::simd
