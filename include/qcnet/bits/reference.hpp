// Plain-loop twins of the bit kernels, written to be read. Tests compare the two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <qcnet/bits/code_planes.hpp>
#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/conv_geometry.hpp>
#include <qcnet/core/tensor.hpp>

namespace qcnet::inline QCNET_ABI::bits::reference {

/// That of the channel, or where there are more, of the pixel's channel.
inline float value_of(std::span<const float> values, std::size_t pixel, std::size_t channel,
                      std::size_t channels) {
  return values[(pixel * channels + channel) % values.size()];
}

/// Twin of qcnet::binarize.
inline Bitplane binarize(ConstTensorView map, std::span<const float> thresholds) {
  Bitplane bits(map.shape);
  const std::size_t channels = map.shape.channels();
  for (std::size_t p = 0; p < map.shape.pixels(); ++p)
    for (std::size_t c = 0; c < channels; ++c)
      bits.set(p, c, map.pixel(p)[c] > value_of(thresholds, p, c, channels));
  return bits;
}

/// Bits that all arrived.
inline Bitplane all_received(const Shape& shape) {
  Bitplane received(shape);
  for (std::size_t p = 0; p < shape.pixels(); ++p)
    for (std::size_t c = 0; c < shape.channels(); ++c) received.set(p, c, true);
  return received;
}

/// Twin of qcnet::expand_into.
inline Tensor expand(ConstBitplaneView bits, ConstBitplaneView received, std::span<const float> low,
                     std::span<const float> high) {
  Tensor map(bits.shape);
  const std::size_t channels = bits.shape.channels();
  for (std::size_t p = 0; p < bits.shape.pixels(); ++p)
    for (std::size_t c = 0; c < channels; ++c) {
      const float zero = value_of(low, p, c, channels), one = value_of(high, p, c, channels);
      map.view().pixel(p)[c] = !received.get(p, c) ? 0.5f * (zero + one) : bits.get(p, c) ? one : zero;
    }
  return map;
}
inline Tensor expand(ConstBitplaneView bits, std::span<const float> low, std::span<const float> high) {
  return expand(bits, all_received(bits.shape), low, high);
}

/// The bits of a channel of CodePlanes.
inline std::size_t bits_of(std::span<const std::size_t> counts, std::size_t channel) {
  std::size_t bits = 0;
  while (bits < counts.size() && counts[bits] > channel) ++bits;
  return bits;
}

/// The channel of CodePlanes' planes that is bit `plane` of a channel.
inline std::size_t plane_channel(std::span<const std::size_t> counts, std::size_t plane,
                                 std::size_t channel) {
  std::size_t first = 0;
  for (std::size_t p = 0; p < plane; ++p) first += counts[p];
  return first + channel;
}

/// Twin of CodePlanes::encode_into.
inline Bitplane encode(ConstTensorView map, std::span<const std::size_t> counts, std::span<const float> low,
                       std::span<const float> high) {
  const std::size_t channels = map.shape.channels();
  Bitplane planes(CodePlanes::planes_of(map.shape, counts));
  for (std::size_t p = 0; p < map.shape.pixels(); ++p)
    for (std::size_t c = 0; c < channels; ++c) {
      const std::size_t bits = bits_of(counts, c);
      const float most = static_cast<float>((1u << bits) - 1);
      const float bottom = value_of(low, p, c, channels), top = value_of(high, p, c, channels);
      const float at = top > bottom ? (map.pixel(p)[c] - bottom) * (most / (top - bottom)) + 0.5f : 0.0f;
      const unsigned code = at >= most ? (1u << bits) - 1 : at > 0 ? static_cast<unsigned>(at) : 0u;
      for (std::size_t plane = 0; plane < bits; ++plane)
        planes.set(p, plane_channel(counts, plane, c), ((code >> plane) & 1u) != 0);
    }
  return planes;
}

/// A bit as a number, a half if it did not arrive.
inline float half_if_lost(ConstBitplaneView bits, ConstBitplaneView received, std::size_t pixel,
                          std::size_t channel) {
  return !received.get(pixel, channel) ? 0.5f : bits.get(pixel, channel) ? 1.0f : 0.0f;
}

/// Twin of CodePlanes::decode_into, of a map of this `shape`.
inline Tensor decode(ConstBitplaneView planes, ConstBitplaneView received, const Shape& shape,
                     std::span<const std::size_t> counts, std::span<const float> low,
                     std::span<const float> high) {
  const std::size_t channels = shape.channels();
  Tensor map(shape);
  for (std::size_t p = 0; p < shape.pixels(); ++p)
    for (std::size_t c = 0; c < channels; ++c) {
      const std::size_t bits = bits_of(counts, c);
      float code = 0.0f, most = 0.0f;
      for (std::size_t plane = 0; plane < bits; ++plane) {
        const float power = static_cast<float>(1u << plane);
        code += half_if_lost(planes, received, p, plane_channel(counts, plane, c)) * power;
        most += power;
      }
      const float bottom = value_of(low, p, c, channels), top = value_of(high, p, c, channels);
      map.view().pixel(p)[c] = bottom + (bits > 0 ? code / most : 0.5f) * (top - bottom);
    }
  return map;
}

/// Twin of LookupConv2d, in double: the convolution `[N, H', W', Cout]` of +1 for a set bit, -1 for a clear
/// one and 0 for one that was not received or lies in the padding, with `weights` [Cout, Kh, Kw, Cin].
inline std::vector<double> conv2d(ConstBitplaneView bits, ConstBitplaneView received, ConstTensorView weights,
                                  std::span<const float> bias, const ConvGeometry& g, bool relu) {
  const std::size_t height = bits.shape[1], width = bits.shape[2], channels = bits.shape[3];
  const Shape out = g.output(bits.shape, weights.shape[0]).value();
  std::vector<double> result;
  for (std::size_t n = 0; n < out[0]; ++n)
    for (std::size_t y = 0; y < out[1]; ++y)
      for (std::size_t x = 0; x < out[2]; ++x)
        for (std::size_t o = 0; o < out[3]; ++o) {
          double sum = bias.empty() ? 0.0 : double{bias[o]};
          for (std::size_t kh = 0; kh < g.kernel_h; ++kh)
            for (std::size_t kw = 0; kw < g.kernel_w; ++kw) {
              const std::size_t in_y = y * g.stride_h + kh * g.dilation_h - g.pad_h;
              const std::size_t in_x = x * g.stride_w + kw * g.dilation_w - g.pad_w;
              if (in_y >= height || in_x >= width) continue;  // padding; what is negative has wrapped around
              for (std::size_t c = 0; c < channels; ++c) {
                const double w = weights.data[((o * g.kernel_h + kh) * g.kernel_w + kw) * channels + c];
                const std::size_t pixel = (n * height + in_y) * width + in_x;
                if (received.get(pixel, c)) sum += bits.get(pixel, c) ? w : -w;
              }
            }
          result.push_back(relu && sum < 0 ? 0.0 : sum);
        }
  return result;
}
inline std::vector<double> conv2d(ConstBitplaneView bits, ConstTensorView weights,
                                  std::span<const float> bias, const ConvGeometry& g, bool relu) {
  return conv2d(bits, all_received(bits.shape), weights, bias, g, relu);
}

/// Twin of bits::PackedBinaryConv2d: the counts `[N, H', W', Cout]` of +1 for a set bit and -1 for a clear
/// one, `padding` (0 or 1) beyond the edges, with `weights` [Cout, Kh, Kw, Cin / groups] of +1 and -1.
inline std::vector<std::int32_t> binary_conv2d(ConstBitplaneView bits, ConstTensorView weights,
                                               const ConvGeometry& g, std::int32_t padding) {
  const std::size_t height = bits.shape[1], width = bits.shape[2], channels = weights.shape[3];
  const Shape out = g.output(bits.shape, weights.shape[0]).value();
  std::vector<std::int32_t> counts;
  for (std::size_t n = 0; n < out[0]; ++n)
    for (std::size_t y = 0; y < out[1]; ++y)
      for (std::size_t x = 0; x < out[2]; ++x)
        for (std::size_t o = 0; o < out[3]; ++o) {
          const std::size_t first = o / (out[3] / g.groups) * channels;  // of the group's input channels
          std::int32_t count = 0;
          for (std::size_t kh = 0; kh < g.kernel_h; ++kh)
            for (std::size_t kw = 0; kw < g.kernel_w; ++kw)
              for (std::size_t c = 0; c < channels; ++c) {
                const std::size_t in_y = y * g.stride_h + kh * g.dilation_h - g.pad_h;
                const std::size_t in_x = x * g.stride_w + kw * g.dilation_w - g.pad_w;
                const bool inside = in_y < height && in_x < width;  // what is negative has wrapped around
                const float w = weights.data[((o * g.kernel_h + kh) * g.kernel_w + kw) * channels + c];
                const std::int32_t sign = w > 0 ? 1 : -1;
                if (!inside)
                  count += padding * sign;
                else
                  count += bits.get((n * height + in_y) * width + in_x, first + c) ? sign : -sign;
              }
          counts.push_back(count);
        }
  return counts;
}

/// Twin of bits::max_pool.
inline Bitplane max_pool(const ConvGeometry& g, ConstBitplaneView bits) {
  const std::size_t height = bits.shape[1], width = bits.shape[2], channels = bits.shape[3];
  Bitplane pooled(g.output(bits.shape, channels).value());
  const Shape& out = pooled.shape();
  for (std::size_t p = 0; p < out.pixels(); ++p)
    for (std::size_t tap = 0; tap < g.taps(); ++tap) {
      const std::size_t y = p / out[2] % out[1] * g.stride_h + tap / g.kernel_w * g.dilation_h - g.pad_h;
      const std::size_t x = p % out[2] * g.stride_w + tap % g.kernel_w * g.dilation_w - g.pad_w;
      if (y >= height || x >= width) continue;
      const std::size_t pixel = (p / out[2] / out[1] * height + y) * width + x;
      for (std::size_t c = 0; c < channels; ++c)
        if (bits.get(pixel, c)) pooled.set(p, c, true);
    }
  return pooled;
}

}  // namespace qcnet::inline QCNET_ABI::bits::reference
