// Thresholds of whole numbers, which give the bits of float ones: no float between two binary layers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include <qcnet/core/aligned_buffer.hpp>
#include <qcnet/core/result.hpp>
#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// Products +1 and -1 that one output may add up: a float holds every count of at most as many exactly.
inline constexpr std::size_t most_products = std::size_t{1} << 24;

/// scale * count + bias, rounded as the epilogues of the binary convolution round it.
inline float scale_count(float scale, std::int32_t count, float bias) {
  alignas(64) float lanes[vec::size];
  fma(vec::broadcast(scale), vec::broadcast(static_cast<float>(count)), vec::broadcast(bias)).store(lanes);
  return lanes[0];
}

/// A bit: count > value, or with `below` count < value.
struct CountThreshold {
  std::int32_t value;
  bool below;

  bool operator()(std::int32_t count) const { return below ? count < value : count > value; }
  bool operator==(const CountThreshold&) const = default;
};

/// Of no count, and of every one.
inline constexpr CountThreshold never{std::numeric_limits<std::int32_t>::max(), false};
inline constexpr CountThreshold always{std::numeric_limits<std::int32_t>::min(), false};

/// The threshold that gives scale_count(scale, count, bias) > threshold for every count from -`most` to
/// `most`, which is at most `most_products`. A negative scale, as of a folded batch normalization, turns the
/// comparison round; a scale of 0, infinities and NaN are no exceptions.
///
/// Why there is one: rounding never swaps two numbers, so the scaled count rises with the count, or falls
/// with it where the scale is negative, and the bit changes at most once. Where NaN comes up (an infinite
/// scale: at count 0, or on the side where it meets an infinite bias of the other sign), it lies on the side
/// that is false anyway.
inline CountThreshold count_threshold(float scale, float bias, float threshold, std::int32_t most) {
  const auto bit = [&](std::int32_t count) { return scale_count(scale, count, bias) > threshold; };
  if (!(scale < 0.0f) && !(scale > 0.0f)) return bit(0) ? always : never;
  const bool below = scale < 0.0f;
  // `inside` has the bit if any count has, `outside` lacks it if any lacks it.
  std::int32_t inside = below ? -most : most, outside = -inside;
  if (!bit(inside)) return never;
  if (bit(outside)) return always;
  while (inside - outside != 1 && outside - inside != 1) {
    const std::int32_t middle = outside + (inside - outside) / 2;
    (bit(middle) ? inside : outside) = middle;
  }
  return {outside, below};
}

/// A CountThreshold for each output channel, as the epilogue reads them.
class CountThresholds {
 public:
  /// Channels that are read beyond the last: they get no bits.
  static constexpr std::size_t padding = 32;

  /// From C scales, biases and thresholds. `most`: the convolution's `most_count()`. An Error if they are not
  /// as many each, or `most` is beyond `most_products`.
  static Result<CountThresholds> make(std::span<const float> scale, std::span<const float> bias,
                                      std::span<const float> thresholds, std::size_t most) {
    if (bias.size() != scale.size() || thresholds.size() != scale.size())
      return Error("count thresholds: expected as many biases and thresholds as the " +
                   std::to_string(scale.size()) + " scales, found " + std::to_string(bias.size()) + " and " +
                   std::to_string(thresholds.size()));
    if (most > most_products)
      return Error("count thresholds: counts up to " + std::to_string(most) + " are beyond the " +
                   std::to_string(most_products) + " that floats hold exactly");
    CountThresholds made(scale.size());
    for (std::size_t c = 0; c < scale.size(); ++c)
      made.set(c, count_threshold(scale[c], bias[c], thresholds[c], static_cast<std::int32_t>(most)));
    return made;
  }

  /// One for each channel, given.
  explicit CountThresholds(std::span<const CountThreshold> thresholds) : CountThresholds(thresholds.size()) {
    for (std::size_t c = 0; c < thresholds.size(); ++c) set(c, thresholds[c]);
  }

  std::size_t channels() const { return flips_.size() - padding; }
  CountThreshold operator[](std::size_t c) const { return {values_[c] ^ flips_[c], flips_[c] != 0}; }

  /// The bit of channel c is (count ^ flips()[c]) > values()[c]. As ~count = -count - 1, to flip all bits of
  /// both sides turns count < value into ~count > ~value: one comparison serves both kinds.
  const std::int32_t* flips() const { return flips_.data(); }
  const std::int32_t* values() const { return values_.data(); }

 private:
  explicit CountThresholds(std::size_t channels) : flips_(channels + padding), values_(channels + padding) {
    std::fill_n(values_.data(), values_.size(), never.value);
  }
  void set(std::size_t c, CountThreshold threshold) {
    flips_[c] = threshold.below ? -1 : 0;
    values_[c] = threshold.value ^ flips_[c];
  }

  AlignedBuffer<std::int32_t> flips_, values_;
};

}  // namespace qcnet::inline QCNET_ABI::bits
