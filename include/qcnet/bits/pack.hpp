// Feature map -> bits: one comparison a feature, packed eight to a byte.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <qcnet/bits/rows.hpp>
#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/simd/vec.hpp>

#if QCNET_ISA_AVX512
#include <qcnet/bits/arch/avx512.hpp>
#elif QCNET_ISA_AVX2
#include <qcnet/bits/arch/avx2.hpp>
#elif QCNET_ISA_SSE2
#include <qcnet/bits/arch/sse2.hpp>
#elif QCNET_ISA_NEON
#include <qcnet/bits/arch/neon.hpp>
#else
#include <qcnet/bits/arch/scalar.hpp>
#endif

namespace qcnet::inline QCNET_ABI {

namespace bits {

/// greater_block for the first `count` of its channels; the bits behind them are 0.
inline std::uint32_t greater_partial(const float* x, const float* thresholds, std::size_t count) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < count; i += vec::size) {
    const std::size_t n = std::min(count - i, vec::size);
    bits |= greater_bits(vec::load_partial(x + i, n), vec::load_partial(thresholds + i, n)) << i;
  }
  return bits;
}

inline void store_bits(std::uint8_t* out, std::uint32_t bits, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::uint8_t>(bits >> (8 * i));
}

inline void binarize_rows(const float* map, std::size_t rows, std::size_t channels, const float* thresholds,
                          std::uint8_t* out) {
  const std::size_t row_bytes = packed_bytes(channels);
  for_each_rows(rows, channels, [=](std::size_t first, auto count) {
    const float* x = map + first * channels;
    std::uint8_t* to = out + first * row_bytes;
    std::size_t c = 0;
    for (; c + block <= channels; c += block) {
      std::uint32_t bits[decltype(count)::value];
      for (std::size_t r = 0; r < count; ++r) bits[r] = greater_block(x + r * channels + c, thresholds + c);
      for (std::size_t r = 0; r < count; ++r) store_bits(to + r * row_bytes + c / 8, bits[r], 4);
    }
    if (c == channels) return;
    for (std::size_t r = 0; r < count; ++r)
      store_bits(to + r * row_bytes + c / 8,
                 greater_partial(x + r * channels + c, thresholds + c, channels - c), row_bytes - c / 8);
  });
}

}  // namespace bits

/// out = map > threshold, strictly; NaN gives 0. `map` and `out` have the same shape `[N, ..., C]`, and there
/// is a threshold for each channel, or for each channel of each pixel of an image; raises if not. Padding
/// bits are written as zero.
inline void binarize_into(ConstTensorView map, std::span<const float> thresholds, BitplaneView out) {
  const std::size_t channels = map.shape.channels(), pixels = map.shape.pixels();
  if (!(out.shape == map.shape) || !bits::fits_features(thresholds.size(), map.shape))
    raise(Error("binarize: a map " + map.shape.to_string() + " with " + std::to_string(thresholds.size()) +
                " thresholds does not fit bits " + out.shape.to_string()));
  if (thresholds.size() != channels) {
    const std::size_t positions = bits::image_pixels(map.shape);
    for (std::size_t p = 0; p < pixels; ++p)
      bits::binarize_rows(map.pixel(p), 1, channels, &thresholds[p % positions * channels], out.pixel(p));
    return;
  }
  std::size_t done = 0;
  if (const std::size_t joined = bits::joined_pixels(channels); joined > 1) {
    const bits::Repeated repeated(thresholds.data(), channels, joined);
    done = pixels / joined * joined;
    bits::binarize_rows(map.data, pixels / joined, channels * joined, repeated.values, out.data);
  }
  bits::binarize_rows(map.pixel(done), pixels - done, channels, thresholds.data(), out.pixel(done));
}

inline Bitplane binarize(ConstTensorView map, std::span<const float> thresholds) {
  Bitplane bits(map.shape);
  binarize_into(map, thresholds, bits);
  return bits;
}

}  // namespace qcnet::inline QCNET_ABI
