// Cutting many things into parts whose sizes differ by one at most.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI {

/// The first of `count` things that part `i` of `parts` holds; `parts` ends the last. The product needs 64
/// bits where a size_t has 32.
inline std::size_t part_begin(std::size_t count, std::size_t i, std::size_t parts) {
  return static_cast<std::size_t>(std::uint64_t{count} * i / parts);
}

}  // namespace qcnet::inline QCNET_ABI
