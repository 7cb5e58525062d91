// In how many bits two half bytes differ: a table for byte shuffles.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits::popcount {

/// Row a holds the number of bits in which a differs from 0, 1, ... 15. Half a byte of a pixel chooses the
/// row; a byte shuffle of it looks up the half bytes of as many output channels as a register has bytes. That
/// takes no xor and half the instructions a bit of the usual way, which splits an xor into halves and looks
/// both up in a table of 16 counts.
struct MismatchTable {
  alignas(64) std::uint8_t counts[16 * 16];
};

inline constexpr MismatchTable mismatch_table = [] {
  MismatchTable table{};
  for (unsigned a = 0; a < 16; ++a)
    for (unsigned w = 0; w < 16; ++w)
      table.counts[16 * a + w] = static_cast<std::uint8_t>(std::popcount(a ^ w));
  return table;
}();

/// The row for half a byte that was multiplied by 16, its place in the table.
inline const std::uint8_t* mismatch_row(std::size_t half_by_16) {
  return mismatch_table.counts + half_by_16;
}

}  // namespace qcnet::inline QCNET_ABI::bits::popcount
