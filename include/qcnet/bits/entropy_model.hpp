// How likely is each bit of a map to be one, given all the bits before it? A model that was trained for the
// map.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <qcnet/bits/context_coder.hpp>
#include <qcnet/core/aligned_buffer.hpp>
#include <qcnet/core/result.hpp>
#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// A logistic regression for each channel: the log-odds of its bit are a bias, plus a weight for every bit
/// that is one among the channels of some pixels before and the pixel's own channels before. Bits go pixel by
/// pixel (an autoregressive entropy model, as of Minnen et al., NeurIPS 2018, but linear and in integers:
/// node and server must find the same numbers). Units of log-odds are `Logistic`'s, 1/128.
class EntropyModel {
  /// A register of sums, and as many as make a cache line of channels. Loops instead, left to GCC 12, take
  /// ten times as long.
  using Part [[gnu::vector_size(std::max<std::size_t>(vec::size, 4) * 4), gnu::may_alias]] = std::int16_t;
  static constexpr std::size_t block = 32;
  struct Block {
    static constexpr std::size_t count = block * sizeof(std::int16_t) / sizeof(Part);
    Part parts[count];

    explicit Block(const std::int16_t* from) {
      for (std::size_t i = 0; i < count; ++i) parts[i] = reinterpret_cast<const Part*>(from)[i];
    }
    void store(std::int16_t* to) const {
      for (std::size_t i = 0; i < count; ++i) reinterpret_cast<Part*>(to)[i] = parts[i];
    }
    void add(const std::int16_t* row) {
      for (std::size_t i = 0; i < count; ++i) parts[i] += reinterpret_cast<const Part*>(row)[i];
    }
  };

 public:
  /// Where a pixel before is, seen from the one that is coded: rows down and columns to the right.
  struct Neighbor {
    int dy, dx;
  };
  static constexpr std::size_t max_channels = 4096, max_neighbors = 8, biases = 5;
  static constexpr int max_distance = 2;

  /// `bias` [5, C]: of pixels in the first row and column, in the first column, in the first row, elsewhere,
  /// and by themselves (class tokens). `weights` [K, C, C]: from each channel of each neighbor to every
  /// channel. `own` [C, C]: from each of the pixel's channels to those behind it; zero to others. Error:
  /// sizes that do not fit these, a neighbor that is not before, or so large weights that their sum might not
  /// fit 16 bits.
  static Result<EntropyModel> make(std::size_t channels, std::vector<Neighbor> neighbors,
                                   std::span<const std::int16_t> bias, std::span<const std::int16_t> weights,
                                   std::span<const std::int16_t> own) {
    if (channels == 0 || channels > max_channels)
      return Error("an entropy model cannot be of " + std::to_string(channels) + " channels, only of 1 to " +
                   std::to_string(max_channels));
    if (neighbors.size() > max_neighbors)
      return Error("an entropy model cannot have " + std::to_string(neighbors.size()) +
                   " neighbors, at most " + std::to_string(max_neighbors));
    for (const Neighbor& n : neighbors)
      if (std::abs(n.dy) > max_distance || std::abs(n.dx) > max_distance || n.dy > 0 ||
          (n.dy == 0 && n.dx >= 0))
        return Error("an entropy model's neighbor (" + std::to_string(n.dy) + ", " + std::to_string(n.dx) +
                     ") is not at most " + std::to_string(max_distance) + " rows and columns before");
    if (bias.size() != biases * channels || weights.size() != neighbors.size() * channels * channels ||
        own.size() != channels * channels)
      return Error("an entropy model's weights are not of its channels and neighbors");
    EntropyModel model(channels, std::move(neighbors));
    model.add_rows(bias);
    model.add_rows(weights);
    model.add_rows(own);
    QCNET_CHECK(model.check_own(own));
    QCNET_CHECK(model.check_sums());
    return model;
  }

  std::size_t channels() const { return channels_; }
  std::span<const Neighbor> neighbors() const { return neighbors_; }

  /// The log-odds of a pixel's channels while bits before it become known.
  class LogOdds {
   public:
    explicit LogOdds(const EntropyModel& model) : model_(model) {}

    /// Begins with a row of biases.
    void start(std::size_t bias) { std::copy_n(model_.row(bias), model_.stride_, sums_); }

    /// Adds the weights from all channels that are one in a neighbor's pixel; the neighbor behind the last is
    /// the pixel itself.
    void add(std::size_t neighbor, const std::uint8_t* pixel) {
      std::uint16_t ones[max_channels];
      const std::size_t count = find_ones(pixel, ones);
      const std::int16_t* const rows = model_.row(biases + neighbor * model_.channels_);
      for (std::size_t c = 0; c < model_.stride_; c += block) {
        Block sums(sums_ + c);
        for (std::size_t i = 0; i < count; ++i) sums.add(rows + ones[i] * model_.stride_ + c);
        sums.store(sums_ + c);
      }
    }

    /// The same from one channel of the pixel itself: only those behind it change.
    void add_own(std::size_t channel) {
      const std::int16_t* row = model_.row(biases + model_.neighbors_.size() * model_.channels_ + channel);
      for (std::size_t c = channel / block * block; c < model_.stride_; c += block) {
        Block sums(sums_ + c);
        sums.add(row + c);
        sums.store(sums_ + c);
      }
    }

    /// Of a one, in units of 2^-16.
    std::uint32_t probability(std::size_t channel) const {
      const int row = std::clamp<int>(sums_[channel], -1024, 1023) + 1024;
      return logistic.probability[static_cast<std::size_t>(row)];
    }

   private:
    std::size_t find_ones(const std::uint8_t* pixel, std::uint16_t* ones) const {
      std::size_t count = 0;
      for (std::size_t i = 0; i < packed_bytes(model_.channels_); ++i)
        for (unsigned byte = pixel[i]; byte != 0; byte &= byte - 1)
          ones[count++] =
              static_cast<std::uint16_t>(8 * i + static_cast<std::size_t>(std::countr_zero(byte)));
      return count;
    }

    const EntropyModel& model_;
    alignas(64) std::int16_t sums_[max_channels];
  };

 private:
  EntropyModel(std::size_t channels, std::vector<Neighbor> neighbors)
      : channels_(channels),
        stride_((channels + block - 1) / block * block),
        neighbors_(std::move(neighbors)),
        rows_((biases + (neighbors_.size() + 1) * channels) * stride_) {}

  const std::int16_t* row(std::size_t i) const { return rows_.data() + i * stride_; }

  void add_rows(std::span<const std::int16_t> values) {
    for (std::size_t i = 0; i < values.size(); i += channels_, ++filled_)
      std::copy_n(values.data() + i, channels_, rows_.data() + filled_ * stride_);
  }

  Result<void> check_own(std::span<const std::int16_t> own) const {
    for (std::size_t i = 0; i < channels_; ++i)
      for (std::size_t c = 0; c <= i; ++c)
        if (own[i * channels_ + c] != 0)
          return Error("an entropy model's channel " + std::to_string(c) + " cannot depend on channel " +
                       std::to_string(i) + " of the same pixel, which comes later");
    return {};
  }

  /// In whatever order they are added, sums stay within 16 bits.
  Result<void> check_sums() const {
    for (std::size_t c = 0; c < channels_; ++c) {
      std::int64_t bias = 0, sum = 0;
      for (std::size_t i = 0; i < biases; ++i) bias = std::max<std::int64_t>(bias, std::abs(int{row(i)[c]}));
      for (std::size_t i = biases; i < filled_; ++i) sum += std::abs(int{row(i)[c]});
      if (bias + sum > INT16_MAX)
        return Error("an entropy model's weights to channel " + std::to_string(c) + " add up to " +
                     std::to_string(bias + sum) + ", more than " + std::to_string(INT16_MAX));
    }
    return {};
  }

  std::size_t channels_, stride_, filled_ = 0;
  std::vector<Neighbor> neighbors_;
  AlignedBuffer<std::int16_t> rows_;  // bias, each neighbor's, own; zero behind the channels
};

/// Codes a map's bits, pixel by pixel and in it channel by channel. To decode, the map must be zero at first.
template <class Byte, class Coder>
class ModeledMapCoder {
 public:
  ModeledMapCoder(const BitView<Byte>& map, const EntropyModel& model, Coder& coder)
      : map_(map), model_(model), coder_(coder), odds_(model) {
    if (map.shape.channels() != model.channels())
      raise(Error("an entropy model of " + std::to_string(model.channels()) + " channels cannot code a map " +
                  map.shape.to_string()));
  }

  void run() {
    const CodingGrid grid = CodingGrid::of(map_.shape);
    std::size_t pixel = 0;
    for (std::size_t i = 0; i < grid.images; ++i) {
      for (std::size_t p = 0; p < grid.lead; ++p, ++pixel) {
        odds_.start(EntropyModel::biases - 1);
        code_pixel(pixel);
      }
      for (std::size_t y = 0; y < grid.height; ++y)
        for (std::size_t x = 0; x < grid.width; ++x, ++pixel) {
          look_around(pixel, y, x, grid.width);
          code_pixel(pixel);
        }
    }
  }

 private:
  void look_around(std::size_t pixel, std::size_t y, std::size_t x, std::size_t width) {
    odds_.start((y > 0 ? 1u : 0u) + (x > 0 ? 2u : 0u));
    for (std::size_t i = 0; i < model_.neighbors().size(); ++i) {
      const auto [dy, dx] = model_.neighbors()[i];
      const std::size_t up = static_cast<std::size_t>(-dy), column = x + static_cast<std::size_t>(dx);
      if (up <= y && column < width) odds_.add(i, map_.pixel(pixel - up * width + column - x));
    }
  }

  void code_pixel(std::size_t pixel) {
    constexpr bool encodes = std::is_const_v<Byte>;
    Byte* const bytes = map_.pixel(pixel);
    if constexpr (encodes) odds_.add(model_.neighbors().size(), bytes);
    Coder coder = coder_;  // a copy, which can stay in registers
    for (std::size_t c = 0; c < model_.channels(); ++c) {
      const bool bit = coder.code((bytes[c / 8] >> c % 8 & 1) != 0, odds_.probability(c));
      if constexpr (!encodes) {
        bytes[c / 8] = static_cast<Byte>(bytes[c / 8] | unsigned{bit} << c % 8);
        if (bit) odds_.add_own(c);
      }
    }
    coder_ = coder;
  }

  BitView<Byte> map_;
  const EntropyModel& model_;
  Coder& coder_;
  EntropyModel::LogOdds odds_;
};

}  // namespace qcnet::inline QCNET_ABI::bits

namespace qcnet::inline QCNET_ABI {

/// Codes the bits of a map `[N, H, W, C]` or `[N, T, C]`, whose padding bits are zero, with a model of C
/// channels; with none, by what is learned on the way. Raises if the model has others. Allocates nothing;
/// takes 16 KB of stack.
inline void encode_bits(ConstBitplaneView map, const bits::EntropyModel* model, bits::RangeEncoder& encoder) {
  if (model == nullptr) return encode_bits(map, encoder);
  bits::ModeledMapCoder<const std::uint8_t, bits::RangeEncoder>(map, *model, encoder).run();
}

/// The inverse, as that of the other `encode_bits`.
inline void decode_bits(bits::RangeDecoder& decoder, const bits::EntropyModel* model, BitplaneView map) {
  if (model == nullptr) return decode_bits(decoder, map);
  std::ranges::fill(map.bytes(), std::uint8_t{0});
  bits::ModeledMapCoder<std::uint8_t, bits::RangeDecoder>(map, *model, decoder).run();
}

}  // namespace qcnet::inline QCNET_ABI
