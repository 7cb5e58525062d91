// The bits that a convolution's window covers, pixel after pixel of the output.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/conv_geometry.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// Copies a few bytes. `count` may be a constant; where it is not, some are copied twice and none beyond:
/// that is quicker than to call memcpy.
template <class Count>
void copy_run(const std::uint8_t* from, Count count, std::uint8_t* to) {
  if constexpr (!std::is_same_v<Count, std::size_t>) {
    std::memcpy(to, from, Count::value);
  } else {
    const auto copy = [&]<std::size_t Size>(std::integral_constant<std::size_t, Size>) {
      for (std::size_t i = 0; i + Size <= count; i += Size) std::memcpy(to + i, from + i, Size);
      std::memcpy(to + count - Size, from + count - Size, Size);
    };
    if (count >= 16)
      copy(std::integral_constant<std::size_t, 16>());
    else if (count >= 8)
      copy(std::integral_constant<std::size_t, 8>());
    else if (count >= 4)
      copy(std::integral_constant<std::size_t, 4>());
    else
      for (std::size_t i = 0; i < count; ++i) to[i] = from[i];
  }
}

/// Gathers the taps of windows. A tap takes the `packed_bytes` of a group's channels, and the taps follow one
/// another, row by row of the kernel.
class BitPatches {
 public:
  BitPatches() = default;
  /// `padding_bit`: what is read beyond the map's edges.
  BitPatches(const ConvGeometry& geometry, std::size_t group_channels, bool padding_bit)
      : geometry_(geometry), group_channels_(group_channels), tap_bytes_(packed_bytes(group_channels)) {
    const bool one_run = geometry.dilation_w == 1 && geometry.groups == 1;
    run_taps_ = one_run ? geometry.kernel_w : 1;
    for (std::size_t y = 0; y < geometry.kernel_h; ++y)
      for (std::size_t x = 0; x < geometry.kernel_w; x += run_taps_)
        runs_.push_back({y * geometry.dilation_h - geometry.pad_h, x * geometry.dilation_w - geometry.pad_w});
    padding_tap_.assign(tap_bytes_, padding_bit ? std::uint8_t{0xFF} : std::uint8_t{0});
    padding_tap_.back() &= static_cast<std::uint8_t>(~padding_mask(group_channels));
  }

  std::size_t patch_bytes() const { return geometry_.taps() * tap_bytes_; }

  /// Bytes `begin` to `end` of the patches of `pixels` output pixels, the first of which is `first`, written
  /// `stride` bytes apart. `out` is the output's shape.
  void gather(ConstBitplaneView in, const Shape& out, std::size_t first, std::size_t pixels,
              std::size_t group, std::size_t begin, std::size_t end, std::uint8_t* to,
              std::size_t stride) const {
    const std::size_t run_bytes = run_taps_ * tap_bytes_;
    OutputPixel pixel(out, first);
    // Pixels of one line of the output read the same lines of the input.
    for (std::size_t count; pixels > 0; pixels -= count, to += count * stride) {
      count = std::min(pixels, out[2] - pixel.x);
      for (std::size_t byte = begin, run = begin / run_bytes; byte < end; ++run) {
        const std::size_t at = byte - run * run_bytes, bytes = std::min(run_bytes - at, end - byte);
        gather_run({in, pixel, count, group, runs_[run], at}, bytes, to + (byte - begin), stride);
        byte += bytes;
      }
      pixel.x += count - 1;
      pixel.advance(out);
    }
  }

 private:
  struct Run {
    std::size_t dy, dx;  // from the pixel's place in the map, times the strides
  };
  /// A run of some pixels of a line, from byte `at` on.
  struct LineRun {
    ConstBitplaneView in;
    OutputPixel pixel;
    std::size_t pixels, group;
    Run run;
    std::size_t at;
  };

  void gather_run(const LineRun& line, std::size_t bytes, std::uint8_t* to, std::size_t stride) const {
    const auto gather = [&](auto count) { gather_line(line, count, to, stride); };
    // Copies of constant length are a few instructions. These are rows of 3 taps, or of 1, of 8, 16, 32, 64,
    // ... channels.
    switch (bytes) {
      case 1:
        return gather(std::integral_constant<std::size_t, 1>());
      case 3:
        return gather(std::integral_constant<std::size_t, 3>());
      case 4:
        return gather(std::integral_constant<std::size_t, 4>());
      case 6:
        return gather(std::integral_constant<std::size_t, 6>());
      case 8:
        return gather(std::integral_constant<std::size_t, 8>());
      case 12:
        return gather(std::integral_constant<std::size_t, 12>());
      case 16:
        return gather(std::integral_constant<std::size_t, 16>());
      case 24:
        return gather(std::integral_constant<std::size_t, 24>());
      case 32:
        return gather(std::integral_constant<std::size_t, 32>());
      case 48:
        return gather(std::integral_constant<std::size_t, 48>());
      default:
        return gather(bytes);
    }
  }

  template <class Count>
  void gather_line(const LineRun& line, Count bytes, std::uint8_t* to, std::size_t stride) const {
    const std::size_t height = line.in.shape[1], width = line.in.shape[2];
    // Above or left of the map these sums wrap to numbers larger than any height or width.
    const std::size_t y = line.pixel.y * geometry_.stride_h + line.run.dy;
    std::size_t x = line.pixel.x * geometry_.stride_w + line.run.dx;
    const std::size_t first = (line.pixel.n * height + y) * width;
    for (std::size_t p = 0; p < line.pixels; ++p, x += geometry_.stride_w, to += stride) {
      if (geometry_.groups == 1 && y < height && x < width && x + run_taps_ <= width)
        copy_run(line.in.pixel(first + x) + line.at, bytes, to);
      else
        gather_taps(line, y < height ? line.in.pixel(first) : nullptr, x, bytes, to);
    }
  }

  /// A run of one pixel, tap by tap; `map_line` is the line of the map, or null beyond the map.
  void gather_taps(const LineRun& line, const std::uint8_t* map_line, std::size_t x, std::size_t count,
                   std::uint8_t* to) const {
    const std::size_t pixel_bytes = line.in.pixel_bytes(), width = line.in.shape[2];
    for (std::size_t tap = line.at / tap_bytes_, first = line.at % tap_bytes_; count > 0; ++tap, first = 0) {
      const std::size_t bytes = std::min(tap_bytes_ - first, count);
      if (map_line == nullptr || x + tap >= width)
        copy_run(padding_tap_.data() + first, bytes, to);
      else
        copy_channels(map_line + (x + tap) * pixel_bytes, pixel_bytes, line.group * group_channels_, first,
                      bytes, to);
      to += bytes;
      count -= bytes;
    }
  }

  /// Bytes `first` to `first + bytes` of a group's channels, which begin with a pixel's `channel`.
  void copy_channels(const std::uint8_t* pixel, std::size_t pixel_bytes, std::size_t channel,
                     std::size_t first, std::size_t bytes, std::uint8_t* to) const {
    if (geometry_.groups == 1) return copy_run(pixel + first, bytes, to);
    const std::size_t shift = channel % 8;
    for (std::size_t i = 0; i < bytes; ++i) {
      const std::size_t at = channel / 8 + first + i;
      const unsigned next = at + 1 < pixel_bytes ? pixel[at + 1] : 0u;
      to[i] = static_cast<std::uint8_t>((pixel[at] | next << 8) >> shift);
      if (first + i + 1 == tap_bytes_) to[i] &= static_cast<std::uint8_t>(~padding_mask(group_channels_));
    }
  }

  ConvGeometry geometry_;
  std::size_t group_channels_ = 1, tap_bytes_ = 1;
  std::size_t run_taps_ = 1;  // that lie side by side in the map
  std::vector<Run> runs_;     // of a patch
  std::vector<std::uint8_t> padding_tap_;
};

}  // namespace qcnet::inline QCNET_ABI::bits
