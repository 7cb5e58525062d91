// Weights of +1 and -1, one bit each, as the popcount kernel reads them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <qcnet/bits/popcount_kernel.hpp>
#include <qcnet/core/aligned_buffer.hpp>
#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/result.hpp>
#include <qcnet/core/tensor.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// The bits [Cout, Kh, Kw, Cin / groups] of weights that are +1 (a set bit) or -1; an Error that names the
/// first that is neither.
inline Result<Bitplane> pack_signs(ConstTensorView weights) {
  const std::size_t channels = weights.shape.channels();
  Bitplane bits(weights.shape);
  for (std::size_t i = 0; i < weights.shape.elements(); ++i) {
    const float w = weights.data[i];
    if (w != 1.0f && w != -1.0f)
      return Error("expected weights of +1 and -1, found " + std::to_string(w) + " at " + std::to_string(i));
    if (w > 0.0f) bits.set(i / channels, i % channels, true);
  }
  return bits;
}

/// Rows of bits, one for each output channel, laid out for the kernel: groups of output channels, in each
/// blocks of `popcount::block_columns`, in each step after step of all its channels. The last block of a
/// group is as narrow as its channels allow.
class BinaryWeights {
 public:
  BinaryWeights() = default;
  /// `rows`: [groups * columns][row_bytes].
  BinaryWeights(std::span<const std::uint8_t> rows, std::size_t groups, std::size_t columns,
                std::size_t row_bytes)
      : columns_(columns),
        steps_(popcount::steps_of(row_bytes)),
        data_(groups * popcount::padded(columns) * steps_ * popcount::step_bytes) {
    for (std::size_t g = 0; g < groups; ++g)
      for (std::size_t c = 0; c < columns; ++c)
        place(rows.subspan((g * columns + c) * row_bytes, row_bytes), g, c);
  }

  std::size_t bytes() const { return data_.size(); }
  /// Lanes of the block that begins with a group's channel `column`.
  std::size_t block_width(std::size_t column) const {
    return std::min(popcount::block_columns, popcount::padded(columns_) - column);
  }
  /// That block from a step on.
  const std::uint8_t* block(std::size_t group, std::size_t column, std::size_t step) const {
    const std::size_t before = (group * popcount::padded(columns_) + column) * steps_;
    return data_.data() + (before + step * block_width(column)) * popcount::step_bytes;
  }

 private:
  void place(std::span<const std::uint8_t> row, std::size_t group, std::size_t c) {
    const std::size_t first = c / popcount::block_columns * popcount::block_columns;
    std::uint8_t* lane =
        data_.data() + (block(group, first, 0) - data_.data()) + (c - first) * popcount::step_bytes;
    const std::size_t step = block_width(first) * popcount::step_bytes;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if constexpr (popcount::lane_bits == 4) {
        lane[2 * i * step] = row[i] & 0x0F;
        lane[(2 * i + 1) * step] = static_cast<std::uint8_t>(row[i] >> 4);
      } else {
        lane[i / popcount::step_bytes * step + i % popcount::step_bytes] = row[i];
      }
    }
  }

  std::size_t columns_ = 0, steps_ = 0;
  AlignedBuffer<std::uint8_t> data_;  // [groups][blocks][steps][block_width][step_bytes]
};

}  // namespace qcnet::inline QCNET_ABI::bits
