// How likely is the next bit of a map to be one? Three guesses from what is around it, mixed by what they
// have been worth so far in this map.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// The logistic function in integers. A log-odds ln(p / (1 - p)) is in units of 1/128 and from -1024 to 1023,
/// a probability in units of 2^-16. Both tables are part of the frame's format (docs/frame.md).
struct Logistic {
  /// probability[x + 1024] = 65536 / (1 + e^(-x / 128)), rounded: 22 to 65514.
  std::array<std::uint16_t, 2048> probability{};
  /// log_odds[i] is the smallest x of a probability of at least 64 i + 32.
  std::array<std::int16_t, 1024> log_odds{};

  constexpr Logistic() {
    double power = 2980.957987041728;  // e^8
    for (std::uint16_t& p : probability) {
      p = static_cast<std::uint16_t>(65536.0 / (1.0 + power) + 0.5);
      power *= 0.9922179382602435;  // e^(-1/128)
    }
    std::size_t x = 0;
    for (std::size_t i = 0; i < log_odds.size(); ++i) {
      while (x < probability.size() - 1 && probability[x] < 64 * i + 32) ++x;
      log_odds[i] = static_cast<std::int16_t>(static_cast<int>(x) - 1024);
    }
  }
};
inline constexpr Logistic logistic;

/// The share of ones among the bits seen in one context. It begins at 1/2 and learns fast, as if one bit of
/// each kind had been seen before (Laplace), and ever more slowly up to a `limit` of bits, from which on it
/// forgets.
class AdaptiveBit {
 public:
  std::int32_t log_odds() const { return logistic.log_odds[state_ >> 22]; }

  template <std::uint32_t limit>
  void update(bool bit) {
    static_assert(limit < shares.size());
    const std::uint32_t seen = state_ & 1023;
    const std::int64_t p = state_ >> 10, goal = std::int64_t{bit} << 22;
    const auto step = static_cast<std::uint32_t>((goal - p) * shares[seen] >> 16);
    state_ += (step << 10) + (seen < limit ? 1u : 0u);
  }

 private:
  /// shares[n] = 65536 / (n + 2), rounded down: how far the (n + 1)-th bit moves the probability.
  static constexpr auto shares = [] {
    std::array<std::uint16_t, 256> table{};
    for (std::uint32_t n = 0; n < table.size(); ++n) table[n] = static_cast<std::uint16_t>(65536 / (n + 2));
    return table;
  }();

  std::uint32_t state_ = std::uint32_t{1} << 31;  // the probability, 22 bits; bits seen, 10 bits
};

/// Weighs guesses by what they have been worth so far: their log-odds, times the weights, are added up. Each
/// bit moves the weights a step down the gradient of its code's length (Mahoney, Florida Tech CS-2005-16).
class Mixer {
 public:
  static constexpr std::size_t guesses = 3;
  using LogOdds = std::array<std::int32_t, guesses>;

  std::uint32_t probability(const LogOdds& odds) const {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < guesses; ++i) sum += weights_[i] * static_cast<std::uint32_t>(odds[i]);
    const int row = std::clamp(static_cast<std::int32_t>(sum) >> 16, -1024, 1023) + 1024;
    return logistic.probability[static_cast<std::size_t>(row)];
  }

  void learn(const LogOdds& odds, bool bit, std::uint32_t probability) {
    const std::int32_t error = (std::int32_t{bit} << 16) - static_cast<std::int32_t>(probability);
    for (std::size_t i = 0; i < guesses; ++i)
      weights_[i] += static_cast<std::uint32_t>((odds[i] * error + 32768) >> 16);
  }

 private:
  /// In units of 2^-16: 3/8 at first. They stay small, but it would take a proof to say so for every map:
  /// sums are modulo 2^32, which is defined whatever comes.
  std::array<std::uint32_t, guesses> weights_{24576, 24576, 24576};
};

/// What has been coded of the neighbours of a bit.
struct BitContext {
  /// Of the same channel, from bit 0: above to the right, above, above to the left, left, two to the left,
  /// two above.
  unsigned around = 0;
  /// Of the same pixel: the channel before, the one before that.
  unsigned before = 0;
};

/// What is known of the bits in each context. Of 28 kinds of contexts these three were chosen by what they
/// save together in the shipped models' maps. With so few bits in a map, what it takes to learn a context
/// costs more than what it would tell: so two are shared by all channels.
class ContextModel {
 public:
  /// To be called before the first bit of every channel.
  void start_channel() {
    in_channel_.fill({});
    ones_ = {};
  }

  /// Calls `coder.code(bit, probability of a one)`, learns from the bit that it returns, and returns it.
  template <class Coder>
  bool code(const BitContext& context, bool bit, Mixer& mixer, Coder& coder) {
    const unsigned around = context.around, left = around >> 3 & 1, above = around & 2;
    // 16 classes, half a unit of log-odds wide: 0.25 % of ones or fewer, ..., 82 % or more.
    const auto density = static_cast<unsigned>(std::clamp((ones_.log_odds() + 768) >> 6, 0, 15));
    AdaptiveBit& by_shape = by_shape_[around];
    AdaptiveBit& by_density = by_density_[density << 4 | (around & 15)];
    AdaptiveBit& in_channel = in_channel_[left | above | context.before << 2];
    const Mixer::LogOdds odds{by_shape.log_odds(), by_density.log_odds(), in_channel.log_odds()};
    const std::uint32_t p = mixer.probability(odds);
    bit = coder.code(bit, p);
    mixer.learn(odds, bit, p);
    by_shape.update<255>(bit);
    by_density.update<255>(bit);
    in_channel.update<40>(bit);
    ones_.update<255>(bit);
    return bit;
  }

 private:
  std::array<AdaptiveBit, 64> by_shape_;
  std::array<AdaptiveBit, 256> by_density_;
  std::array<AdaptiveBit, 16> in_channel_;
  AdaptiveBit ones_;  // of the channel
};

}  // namespace qcnet::inline QCNET_ABI::bits
