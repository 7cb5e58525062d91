// Several bits a feature: the numbers of evenly spaced levels, as planes of one bit each.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/bits/expand.hpp>
#include <qcnet/bits/pack.hpp>

namespace qcnet::inline QCNET_ABI {

/// From a map `[N, ..., C]` to codes and back. A code is the number, 0 to 2^k - 1, of the nearest of 2^k
/// levels that are evenly spaced from a channel's `low` to its `high`. Codes are planes of bits, least
/// significant first: plane p carries bit p of the first counts[p] channels, so that channel c has as many
/// bits, k, as there are counts above c; one that has none comes back as the middle of its levels. Planes
/// are a bitplane `[N, ..., sum of counts]`, one behind the other. Holds its own memory, so one map at a
/// time; allocates nothing after it was made.
class CodePlanes {
 public:
  static constexpr std::size_t max_bits = 8;

  /// Whether there are 1 to `max_bits` of them, from `channels` down to 1, none above the one before.
  static bool are_counts(std::span<const std::size_t> counts, std::size_t channels) {
    return !counts.empty() && counts.size() <= max_bits && counts.front() <= channels && counts.back() >= 1 &&
           std::is_sorted(counts.begin(), counts.end(), std::greater<>());
  }

  /// `low` and `high` for each of `channels`, or for each channel of each pixel of an image. Raises unless
  /// they are as many and `are_counts`.
  CodePlanes(std::vector<std::size_t> counts, std::size_t channels, std::vector<float> low,
             const std::vector<float>& high)
      : counts_(std::move(counts)), channels_(channels), low_(std::move(low)) {
    if (!are_counts(counts_, channels_))
      raise(Error("codes: there are no planes of such counts of " + std::to_string(channels_) + " channels"));
    if (high.size() != low_.size() || low_.empty() || low_.size() % channels_ != 0)
      raise(Error("codes: " + std::to_string(low_.size()) + " lowest and " + std::to_string(high.size()) +
                  " highest levels are not those of " + std::to_string(channels_) + " channels"));
    for (std::size_t p = 0; p < counts_.size(); ++p)
      powers_.insert(powers_.end(), counts_[p], static_cast<float>(1u << p));
    codes_.resize(coded());
    row_.resize(bits::block_rows * powers_.size());
    halves_.resize(powers_.size(), 0.5f);
    zeros_.resize(powers_.size());
    for (std::size_t c = 0; c < coded(); ++c) last_.push_back(static_cast<float>((1u << bits_of(c)) - 1));
    for (std::size_t i = 0; i < low_.size(); ++i) add_steps(i, high[i]);
  }

  /// `planes` = the codes of `map`; NaN has code 0. Raises if the shapes do not fit.
  void encode_into(ConstTensorView map, BitplaneView planes) {
    check(map.shape, planes.shape);
    for_blocks(map.shape, [&](std::size_t first, std::size_t count) {
      float* plane = row_.data();
      for (std::size_t r = 0; r < count; ++r) {
        const float* x = map.pixel(first + r);
        const float* low = of_pixel(low_, first + r);
        const float* per_step = of_pixel(per_step_, first + r);
        const float* last = last_.data();
        std::int32_t* codes = codes_.data();
        for (std::size_t c = 0; c < coded(); ++c)
          codes[c] = static_cast<std::int32_t>(
              std::min(last[c], std::max(0.0f, (x[c] - low[c]) * per_step[c] + 0.5f)));
        for (std::size_t p = 0; p < counts_.size(); plane += counts_[p++])
          for (std::size_t c = 0; c < counts_[p]; ++c) plane[c] = static_cast<float>(codes[c] >> p & 1);
      }
      bits::binarize_rows(row_.data(), count, powers_.size(), halves_.data(), planes.pixel(first));
    });
  }

  /// `map` = the levels that `planes` are the codes of. Raises if the shapes do not fit.
  void decode_into(ConstBitplaneView planes, TensorView map) {
    check(map.shape, planes.shape);
    for_blocks(map.shape, [&](std::size_t first, std::size_t count) {
      bits::expand_rows(planes.pixel(first), count, powers_.size(), zeros_.data(), powers_.data(),
                        row_.data());
      for (std::size_t r = 0; r < count; ++r) {
        float* code = &row_[r * powers_.size()];
        const float* plane = code + coded();
        for (std::size_t p = 1; p < counts_.size(); plane += counts_[p++])
          for (std::size_t c = 0; c < counts_[p]; ++c) code[c] += plane[c];
        const float* low = of_pixel(low_, first + r);
        const float* step = of_pixel(steps_, first + r);
        float* out = map.pixel(first + r);
        for (std::size_t c = 0; c < coded(); ++c) out[c] = low[c] + code[c] * step[c];
        std::copy(low + coded(), low + channels_, out + coded());
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
      for (std::size_t p = 0, at = 0; p < counts_.size(); ++p)
        for (std::size_t c = 0; c < counts_[p]; ++c, ++at)
          if (!received.get(i, at)) {
            const float bit = planes.get(i, at) ? 1.0f : 0.0f;
            map.pixel(i)[c] += (0.5f - bit) * powers_[at] * of_pixel(steps_, i)[c];
          }
  }

  /// The shape of the planes of a map, which is at least `[C]`; raises if it is not.
  static Shape planes_of(const Shape& map, std::span<const std::size_t> counts) {
    if (map.rank() == 0) raise(Error("codes: a single number is no map that planes can be of"));
    std::array<std::size_t, Shape::max_rank> dims{};
    std::copy(map.dims().begin(), map.dims().end(), dims.begin());
    dims[map.rank() - 1] = std::accumulate(counts.begin(), counts.end(), std::size_t{0});
    return Shape::make(std::span<const std::size_t>(dims.data(), map.rank())).value();
  }

 private:
  /// Channels that have any bits: the first ones.
  std::size_t coded() const { return counts_.front(); }

  std::size_t bits_of(std::size_t channel) const {
    return static_cast<std::size_t>(
        std::count_if(counts_.begin(), counts_.end(), [=](std::size_t n) { return n > channel; }));
  }

  /// The distance of feature i's levels. Without bits it has but one, the middle, instead of its lowest.
  void add_steps(std::size_t i, float high) {
    const std::size_t channel = i % channels_;
    const float range = high - low_[i];
    if (channel >= coded()) low_[i] = 0.5f * low_[i] + 0.5f * high;
    const float steps = channel < coded() ? last_[channel] : 0.0f;
    per_step_.push_back(range > 0 ? steps / range : 0.0f);
    steps_.push_back(steps > 0 ? range / steps : 0.0f);
  }

  const float* of_pixel(const std::vector<float>& values, std::size_t pixel) const {
    return &values[pixel * channels_ % values.size()];
  }

  void check(const Shape& map, const Shape& planes) const {
    if (map.rank() == 0 || map.channels() != channels_ || !bits::fits_features(low_.size(), map) ||
        !(planes == planes_of(map, counts_)))
      raise(Error("codes: a map " + map.to_string() + " with " + std::to_string(low_.size()) + " levels of " +
                  std::to_string(powers_.size()) + " bits a pixel does not fit planes " +
                  planes.to_string()));
  }

  template <class Body>
  static void for_blocks(const Shape& map, const Body& body) {
    const std::size_t pixels = map.elements() == 0 ? 0 : map.pixels();
    for (std::size_t first = 0; first < pixels; first += bits::block_rows)
      body(first, std::min(bits::block_rows, pixels - first));
  }

  std::vector<std::size_t> counts_;  // of each plane's channels
  std::size_t channels_;
  std::vector<float> low_, per_step_, steps_;
  std::vector<float> last_;                     // code of each channel that has any bits
  std::vector<std::int32_t> codes_;             // of a pixel
  std::vector<float> row_;                      // the planes of a block of pixels, as floats
  std::vector<float> halves_, zeros_, powers_;  // of each channel of a pixel's planes
};

}  // namespace qcnet::inline QCNET_ABI
