// Where a sliding window looks: shared by float and bit convolutions and by pooling.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string>

#include <qcnet/core/shape.hpp>

namespace qcnet::inline QCNET_ABI {

/// Kernel size, stride, padding and dilation of a 2-D sliding window, in pixels. `pad_h` and `pad_w` are the
/// padding on every side; `extra_bottom` and `extra_right` come on top of it there. `groups` splits the
/// channels (convolutions only).
///
/// Padding comes last: copying a constant geometry for AVX-512, GCC 12.2 takes eight words of which the first
/// four are equal and the others zero for eight equal ones, and square(1) would be padded.
struct ConvGeometry {
  std::size_t kernel_h = 1, kernel_w = 1;
  std::size_t stride_h = 1, stride_w = 1;
  std::size_t dilation_h = 1, dilation_w = 1;
  std::size_t groups = 1;
  std::size_t pad_h = 0, pad_w = 0;
  std::size_t extra_bottom = 0, extra_right = 0;
  static constexpr std::size_t most = 65535;  ///< of each, so that no product of two wraps

  /// A square window.
  static ConvGeometry square(std::size_t kernel, std::size_t stride = 1, std::size_t pad = 0) {
    ConvGeometry g;
    g.kernel_h = g.kernel_w = kernel;
    g.stride_h = g.stride_w = stride;
    g.pad_h = g.pad_w = pad;
    return g;
  }

  /// The window of a Darknet max pool: kernel - 1 pixels of padding in all, of an odd number the larger part
  /// at the bottom and right. So stride 1 keeps the size, and stride 2 rounds up where PyTorch rounds down.
  static ConvGeometry darknet_pool(std::size_t kernel, std::size_t stride) {
    ConvGeometry g = square(kernel, stride, (kernel - 1) / 2);
    g.extra_bottom = g.extra_right = (kernel - 1) % 2;
    return g;
  }

  /// The window over all pixels that this one, not a dilated one, sees from patch x patch outputs next to
  /// each other, moved on by as many: a convolution of that kernel gives what is linear in such a patch at
  /// once. The output in a patch's row a and column b has this kernel, a times the stride down and b times to
  /// the right; of a 1x1 kernel only these pixels are seen, none between them.
  ConvGeometry of_patches(std::size_t patch) const {
    ConvGeometry g = *this;
    if (taps() == 1) {
      g.kernel_h = g.kernel_w = patch;
      g.dilation_h = stride_h;
      g.dilation_w = stride_w;
    } else {
      g.kernel_h += stride_h * (patch - 1);
      g.kernel_w += stride_w * (patch - 1);
    }
    g.stride_h *= patch;
    g.stride_w *= patch;
    return g;
  }

  std::size_t taps() const { return kernel_h * kernel_w; }

  /// Shape `[N, H', W', channels]` of the output for an input `[N, H, W, C]`; an Error if the input is not of
  /// rank 4, the window does not fit into it or is larger than `most`.
  Result<Shape> output(const Shape& input, std::size_t channels) const {
    if (input.rank() != 4) return Error("expected an input [N, H, W, C], found " + input.to_string());
    if (taps() == 0 || stride_h == 0 || stride_w == 0 || dilation_h == 0 || dilation_w == 0)
      return Error("kernel size, stride and dilation must be at least 1");
    for (const std::size_t size : {kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_h,
                                   pad_w, extra_bottom, extra_right})
      if (size > most)
        return Error("kernel size, stride, dilation and padding are at most " + std::to_string(most) +
                     " pixels, found " + std::to_string(size));
    const std::size_t reach_h = (kernel_h - 1) * dilation_h + 1, reach_w = (kernel_w - 1) * dilation_w + 1;
    const std::size_t padded_h = input[1] + 2 * pad_h + extra_bottom;
    const std::size_t padded_w = input[2] + 2 * pad_w + extra_right;
    if (padded_h < reach_h || padded_w < reach_w)
      return Error("a window of " + std::to_string(reach_h) + "x" + std::to_string(reach_w) +
                   " does not fit into the padded input " + std::to_string(padded_h) + "x" +
                   std::to_string(padded_w));
    const std::size_t dims[] = {input[0], (padded_h - reach_h) / stride_h + 1,
                                (padded_w - reach_w) / stride_w + 1, channels};
    return Shape::make(std::span<const std::size_t>(dims));
  }
};

/// Where an output pixel lies; steps through the pixels of a map `[N, H', W', C]`.
struct OutputPixel {
  std::size_t n, y, x;

  OutputPixel(const Shape& out, std::size_t pixel)
      : n(pixel / out[2] / out[1]), y(pixel / out[2] % out[1]), x(pixel % out[2]) {}
  void advance(const Shape& out) {
    if (++x < out[2]) return;
    x = 0;
    if (++y == out[1]) y = 0, ++n;
  }
};

/// Kernel positions [first, end) of one axis that meet the image, for one output position.
struct TapRange {
  std::size_t first, end;
  static TapRange of(std::size_t out, std::size_t stride, std::size_t pad, std::size_t dilation,
                     std::size_t kernel, std::size_t size) {
    const std::size_t at = out * stride;  // minus pad: the position of tap 0
    if (at >= pad && at + (kernel - 1) * dilation < size + pad)
      return {0, kernel};  // mostly, and no division
    const std::size_t first = at >= pad ? 0 : std::min(kernel, (pad - at + dilation - 1) / dilation);
    const std::size_t fit = size + pad > at ? (size + pad - at - 1) / dilation + 1 : 0;
    return {first, std::max(first, std::min(kernel, fit))};
  }
  std::size_t size() const { return end - first; }
  bool operator==(const TapRange&) const = default;
};

}  // namespace qcnet::inline QCNET_ABI
