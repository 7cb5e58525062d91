// Max pooling of bits: the largest of +1 and -1 is +1 as soon as any is.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/conv_geometry.hpp>
#include <qcnet/core/parallel.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// Bits `[N, H', W', C]`: set where any bit of the window is. Padding never wins. Raises unless `out` has the
/// shape that `geometry.output(in.shape, C)` tells. As max pooling and comparing with one threshold a channel
/// change places, this is also the pool of a float map that was binarized before.
inline void max_pool(const ConvGeometry& geometry, ConstBitplaneView in, BitplaneView out) {
  const ConvGeometry& g = geometry;
  const Shape expected = g.output(in.shape, in.shape.channels()).value();
  if (!(out.shape == expected))
    raise(Error("max pool of bits: expected an output " + expected.to_string() + ", found " +
                out.shape.to_string()));
  const std::size_t height = in.shape[1], width = in.shape[2], bytes = in.pixel_bytes();
  const auto line = [&](std::size_t i) {
    const std::size_t n = i / expected[1], y = i % expected[1];
    for (std::size_t x = 0; x < expected[2]; ++x) {
      std::uint8_t* __restrict to = out.pixel(i * expected[2] + x);
      std::fill_n(to, bytes, std::uint8_t{0});
      for (std::size_t kh = 0; kh < g.kernel_h; ++kh)
        for (std::size_t kw = 0; kw < g.kernel_w; ++kw) {
          // Unsigned wrap-around makes a pixel above or left of the map larger than any size.
          const std::size_t in_y = y * g.stride_h + kh * g.dilation_h - g.pad_h;
          const std::size_t in_x = x * g.stride_w + kw * g.dilation_w - g.pad_w;
          if (in_y >= height || in_x >= width) continue;
          const std::uint8_t* __restrict from = in.pixel((n * height + in_y) * width + in_x);
          for (std::size_t b = 0; b < bytes; ++b) to[b] = static_cast<std::uint8_t>(to[b] | from[b]);
        }
    }
  };
  const bool worth_it = out.size_bytes() * g.taps() > (std::size_t{1} << 17);
  parallel_for(expected[0] * expected[1], line, worth_it);
}

}  // namespace qcnet::inline QCNET_ABI::bits
