// Loops whose index must be a constant, as a register's number is.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI {

/// Calls `f(std::integral_constant<std::size_t, I>{})` for each I.
template <std::size_t... I, class F>
[[gnu::always_inline]] inline void unroll(std::index_sequence<I...>, [[maybe_unused]] F f) {
  (f(std::integral_constant<std::size_t, I>{}), ...);
}

}  // namespace qcnet::inline QCNET_ABI
