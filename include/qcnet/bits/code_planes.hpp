// Several bits a feature: the numbers of evenly spaced levels, as planes of one bit each.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/bits/expand.hpp>
#include <qcnet/bits/pack.hpp>

namespace qcnet::inline QCNET_ABI {

/// From a map `[N, ..., C]` to codes and back. A code is the number, 0 to 2^k - 1, of the nearest of 2^k
/// levels that are evenly spaced from a channel's `low` to its `high`. Codes are k planes of bits, least
/// significant first: a bitplane `[N, ..., k C]` whose channel p C + c is bit p of channel c. Holds its own
/// memory, so one map at a time; allocates nothing after it was made.
class CodePlanes {
 public:
  static constexpr std::size_t max_bits = 8;

  /// `low` and `high` for each of `channels`, or for each channel of each pixel of an image; `bits` is k, at
  /// most `max_bits`.
  CodePlanes(std::size_t bits, std::size_t channels, std::vector<float> low, const std::vector<float>& high)
      : bits_(bits),
        channels_(channels),
        low_(std::move(low)),
        codes_(channels),
        row_(bits::block_rows * channels * bits),
        halves_(channels * bits, 0.5f),
        zeros_(channels * bits) {
    for (std::size_t i = 0; i < low_.size(); ++i) {
      const float range = high[i] - low_[i];
      per_step_.push_back(range > 0 ? most() / range : 0.0f);
      steps_.push_back(range / most());
    }
    for (std::size_t p = 0; p < bits; ++p)
      powers_.insert(powers_.end(), channels, static_cast<float>(1u << p));
  }

  std::size_t bits() const { return bits_; }

  /// `planes` = the codes of `map`; NaN has code 0. Raises if the shapes do not fit.
  void encode_into(ConstTensorView map, BitplaneView planes) {
    check(map.shape, planes.shape);
    for_blocks(map.shape, [&](std::size_t first, std::size_t count) {
      for (std::size_t r = 0; r < count; ++r) {
        const float* x = map.pixel(first + r);
        const float* low = of_pixel(low_, first + r);
        const float* per_step = of_pixel(per_step_, first + r);
        const float last = most();
        std::int32_t* codes = codes_.data();
        for (std::size_t c = 0; c < channels_; ++c)
          codes[c] =
              static_cast<std::int32_t>(std::min(last, std::max(0.0f, (x[c] - low[c]) * per_step[c] + 0.5f)));
        for (std::size_t p = 0; p < bits_; ++p) {
          float* plane = &row_[(r * bits_ + p) * channels_];
          for (std::size_t c = 0; c < channels_; ++c) plane[c] = static_cast<float>(codes[c] >> p & 1);
        }
      }
      bits::binarize_rows(row_.data(), count, bits_ * channels_, halves_.data(), planes.pixel(first));
    });
  }

  /// `map` = the levels that `planes` are the codes of. Raises if the shapes do not fit.
  void decode_into(ConstBitplaneView planes, TensorView map) {
    check(map.shape, planes.shape);
    for_blocks(map.shape, [&](std::size_t first, std::size_t count) {
      bits::expand_rows(planes.pixel(first), count, bits_ * channels_, zeros_.data(), powers_.data(),
                        row_.data());
      for (std::size_t r = 0; r < count; ++r) {
        float* code = &row_[r * bits_ * channels_];
        for (std::size_t p = 1; p < bits_; ++p)
          for (std::size_t c = 0; c < channels_; ++c) code[c] += code[p * channels_ + c];
        const float* low = of_pixel(low_, first + r);
        const float* step = of_pixel(steps_, first + r);
        float* out = map.pixel(first + r);
        for (std::size_t c = 0; c < channels_; ++c) out[c] = low[c] + code[c] * step[c];
      }
    });
  }

  /// The same where only bits set in `received` are known; each other one counts as a half.
  void decode_into(ConstBitplaneView planes, ConstBitplaneView received, TensorView map) {
    decode_into(planes, map);
    if (!(received.shape == planes.shape))
      raise(Error("codes: the bits that arrived are " + received.shape.to_string() + ", the planes are " +
                  planes.shape.to_string()));
    for (std::size_t i = 0; i < map.shape.pixels(); ++i)
      for (std::size_t at = 0; at < bits_ * channels_; ++at)
        if (!received.get(i, at)) {
          const std::size_t c = at % channels_;
          const float bit = planes.get(i, at) ? 1.0f : 0.0f;
          map.pixel(i)[c] += (0.5f - bit) * powers_[at] * of_pixel(steps_, i)[c];
        }
  }

  /// The shape of the planes of a map, which is at least `[C]`.
  static Shape planes_of(const Shape& map, std::size_t bits) {
    std::array<std::size_t, Shape::max_rank> dims{};
    std::copy(map.dims().begin(), map.dims().end(), dims.begin());
    dims[map.rank() - 1] *= bits;
    return Shape::make(std::span<const std::size_t>(dims.data(), map.rank())).value();
  }

 private:
  float most() const { return static_cast<float>((1u << bits_) - 1); }

  const float* of_pixel(const std::vector<float>& values, std::size_t pixel) const {
    return &values[pixel * channels_ % values.size()];
  }

  void check(const Shape& map, const Shape& planes) const {
    if (map.rank() == 0 || map.channels() != channels_ || !bits::fits_features(low_.size(), map) ||
        !(planes == planes_of(map, bits_)))
      raise(Error("codes: a map " + map.to_string() + " with " + std::to_string(low_.size()) + " levels of " +
                  std::to_string(bits_) + " bits does not fit planes " + planes.to_string()));
  }

  template <class Body>
  static void for_blocks(const Shape& map, const Body& body) {
    const std::size_t pixels = map.elements() == 0 ? 0 : map.pixels();
    for (std::size_t first = 0; first < pixels; first += bits::block_rows)
      body(first, std::min(bits::block_rows, pixels - first));
  }

  std::size_t bits_, channels_;
  std::vector<float> low_, per_step_, steps_;
  std::vector<std::int32_t> codes_;             // of a pixel
  std::vector<float> row_;                      // the planes of a block of pixels, as floats
  std::vector<float> halves_, zeros_, powers_;  // of each channel of a pixel's planes
};

}  // namespace qcnet::inline QCNET_ABI
