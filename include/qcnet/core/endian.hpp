// Numbers as they lie in files and frames: little-endian, at any address.
#pragma once

#include <bit>
#include <cstring>
#include <type_traits>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI {

static_assert(std::endian::native == std::endian::little,
              "qcnet copies weights and frames as they are and needs a little-endian machine");

/// The little-endian number at `from`, which need not be aligned.
template <class T>
T load_le(const void* from) {
  static_assert(std::is_arithmetic_v<T>);
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

/// Writes `value` as little-endian bytes at `to`, which need not be aligned.
template <class T>
void store_le(void* to, T value) {
  static_assert(std::is_arithmetic_v<T>);
  std::memcpy(to, &value, sizeof(T));
}

}  // namespace qcnet::inline QCNET_ABI
