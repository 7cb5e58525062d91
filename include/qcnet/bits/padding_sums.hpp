// Zero padding of a binary convolution: what the borders' counts lack.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include <qcnet/bits/bit_patches.hpp>
#include <qcnet/core/aligned_buffer.hpp>
#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/conv_geometry.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// Taps of an output pixel's window that lie in the map.
struct WindowTaps {
  TapRange rows, columns;
  bool whole;  // all of them

  WindowTaps() = default;
  WindowTaps(const ConvGeometry& g, const Shape& in, const OutputPixel& pixel)
      : rows(TapRange::of(pixel.y, g.stride_h, g.pad_h, g.dilation_h, g.kernel_h, in[1])),
        columns(TapRange::of(pixel.x, g.stride_w, g.pad_w, g.dilation_w, g.kernel_w, in[2])),
        whole(rows.size() == g.kernel_h && columns.size() == g.kernel_w) {}
};

/// What the padding adds to counts. The kernel reads it as -1 (clear bits), so a tap that lies there added
/// -(sum of the tap's weights) where it must add nothing: its sum is put back.
class PaddingSums {
 public:
  PaddingSums() = default;
  /// `weights`: bits [Cout, Kh, Kw, Cin / groups].
  explicit PaddingSums(ConstBitplaneView weights)
      : outputs_(weights.shape[0]),
        kernel_h_(weights.shape[1]),
        kernel_w_(weights.shape[2]),
        sums_((kernel_h_ + 1) * (kernel_w_ + 1) * outputs_) {
    const auto channels = static_cast<std::int32_t>(weights.shape[3]);
    for (std::size_t o = 0; o < outputs_; ++o)
      for (std::size_t y = 0; y < kernel_h_; ++y)
        for (std::size_t x = 0; x < kernel_w_; ++x) {
          std::int32_t ones = 0;
          const std::uint8_t* tap = weights.pixel((o * kernel_h_ + y) * kernel_w_ + x);
          for (std::size_t i = 0; i < weights.pixel_bytes(); ++i) ones += std::popcount(tap[i]);
          sums_[at(y + 1, x + 1) + o] =
              2 * ones - channels + sums_[at(y, x + 1) + o] + sums_[at(y + 1, x) + o] - sums_[at(y, x) + o];
        }
  }

  std::size_t bytes() const { return sums_.size() * sizeof(std::int32_t); }

  /// Adds to the counts of `count` output channels from `first` on the weights of all taps outside `inside`.
  void add_to(std::int32_t* counts, std::size_t first, std::size_t count, const WindowTaps& inside) const {
    const TapRange &rows = inside.rows, &columns = inside.columns;
    const std::int32_t* s = sums_.data() + first;
    const std::size_t all = at(kernel_h_, kernel_w_), a = at(rows.end, columns.end),
                      b = at(rows.first, columns.end), c = at(rows.end, columns.first),
                      d = at(rows.first, columns.first);
    for (std::size_t i = 0; i < count; ++i)
      counts[i] += s[all + i] - s[a + i] + s[b + i] + s[c + i] - s[d + i];
  }

 private:
  std::size_t at(std::size_t y, std::size_t x) const { return (y * (kernel_w_ + 1) + x) * outputs_; }

  std::size_t outputs_ = 0, kernel_h_ = 0, kernel_w_ = 0;
  // [Kh + 1][Kw + 1][Cout]: sums over all taps above and to the left, so that any rectangle takes four.
  AlignedBuffer<std::int32_t> sums_;
};

}  // namespace qcnet::inline QCNET_ABI::bits
