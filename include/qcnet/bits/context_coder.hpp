// A map's bits in fewer bits, without loss: neighbours tell much of what a bit will be.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <qcnet/bits/context_model.hpp>
#include <qcnet/bits/range_coder.hpp>
#include <qcnet/bits/rows.hpp>
#include <qcnet/core/bitplane.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// How an image of a map is walked through: `lead` pixels by themselves, then rows of `width` pixels.
struct CodingGrid {
  std::size_t images, lead, height, width;

  /// Tokens `[N, T, C]` are taken for a square of patches in rows if they are so many, or one more: then the
  /// first is a class token. Others are one row.
  static CodingGrid of(const Shape& map) {
    if (map.rank() == 4) return {map[0], 0, map[1], map[2]};
    const std::size_t tokens = map.rank() == 3 ? map[1] : map.pixels();
    const std::size_t images = map.rank() == 3 ? map[0] : 1;
    std::size_t side = 1;
    while ((side + 1) * (side + 1) <= tokens) ++side;
    if (side * side == tokens) return {images, 0, side, side};
    if (side * side + 1 == tokens) return {images, 1, side, side};
    return {images, 0, 1, tokens};
  }
};

/// Codes the channels of a map one after another, for a channel's pixels tell more of one another than a
/// pixel's channels do. To decode, the map must be zero at first: it is written bit by bit.
template <class Byte, class Coder>
class MapCoder {
 public:
  MapCoder(const BitView<Byte>& map, Coder& coder) : map_(map), coder_(coder) {}

  void run() {
    const CodingGrid grid = CodingGrid::of(map_.shape);
    const std::size_t image_size = grid.lead + grid.height * grid.width;
    for (channel_ = 0; channel_ < map_.shape.channels(); ++channel_) {
      model_.start_channel();
      for (std::size_t i = 0; i < grid.images; ++i) {
        code_rows(i * image_size, 1, grid.lead);
        code_rows(i * image_size + grid.lead, grid.height, grid.width);
      }
    }
  }

 private:
  /// Pixels of a row that are looked up at a time, before the first of them is coded.
  static constexpr std::size_t most = 64;

  void code_rows(std::size_t first, std::size_t height, std::size_t width) {
    for (std::size_t y = 0; y < height; ++y) {
      left_ = 0;
      for (std::size_t x = 0; x < width; x += most) {
        look_above(first + y * width, y, width, x);
        look_before(first + y * width + x, std::min(most, width - x));
        code_pixels(first + y * width + x, std::min(most, width - x));
      }
    }
  }

  /// Finds the neighbours in the rows above the one that begins at pixel `row`, from `x` on. Behind the map's
  /// edges there are zeros.
  void look_above(std::size_t row, std::size_t y, std::size_t width, std::size_t x) {
    const std::size_t count = std::min(most, width - x);
    std::uint8_t above[most + 2] = {}, two_above[most] = {};  // above[i] is above and to the left of pixel i
    if (y >= 1) {
      if (x > 0) read(channel_, row - width + x - 1, 1, above);
      read(channel_, row - width + x, count + (x + count < width ? 1 : 0), above + 1);
    }
    if (y >= 2) read(channel_, row - 2 * width + x, count, two_above);
    for (std::size_t i = 0; i < count; ++i)
      around_[i] =
          static_cast<std::uint8_t>(above[i + 2] | above[i + 1] << 1 | above[i] << 2 | two_above[i] << 5);
  }

  /// Finds the same pixels' bits in the two channels before.
  void look_before(std::size_t first, std::size_t count) {
    std::uint8_t one[most] = {}, two[most] = {};
    if (channel_ >= 1) read(channel_ - 1, first, count, one);
    if (channel_ >= 2) read(channel_ - 2, first, count, two);
    for (std::size_t i = 0; i < count; ++i) before_[i] = static_cast<std::uint8_t>(one[i] | two[i] << 1);
  }

  void code_pixels(std::size_t first, std::size_t count) {
    std::uint8_t bits[most] = {};
    if constexpr (std::is_const_v<Byte>) read(channel_, first, count, bits);
    // Copies, which can stay in registers: any write of a byte might change what is in memory.
    Coder coder = coder_;
    Mixer mixer = mixer_;
    unsigned left = left_;  // the last bit of the row, and the one before it
    for (std::size_t i = 0; i < count; ++i) {
      const bool bit = model_.code({around_[i] | left << 3, before_[i]}, bits[i] != 0, mixer, coder);
      left = (left << 1 | unsigned{bit}) & 3;
      bits[i] = bit;
    }
    coder_ = coder;
    mixer_ = mixer;
    left_ = left;
    if constexpr (!std::is_const_v<Byte>)
      for (std::size_t i = 0; i < count; ++i) {
        Byte& byte = map_.pixel(first + i)[channel_ / 8];
        byte = static_cast<Byte>(byte | bits[i] << channel_ % 8);
      }
  }

  /// The bits of a channel at pixels that follow one another, as bytes of 0 and 1.
  void read(std::size_t channel, std::size_t first, std::size_t count, std::uint8_t* out) const {
    const Byte* from = map_.pixel(first) + channel / 8;
    const std::size_t stride = map_.pixel_bytes();
    for (std::size_t i = 0; i < count; ++i, from += stride)
      out[i] = static_cast<std::uint8_t>(*from >> channel % 8 & 1);
  }

  BitView<Byte> map_;
  Coder& coder_;
  ContextModel model_;
  Mixer mixer_;
  std::size_t channel_ = 0;
  std::uint8_t around_[most] = {}, before_[most] = {};  // of the pixels that come next
  unsigned left_ = 0;
};

}  // namespace qcnet::inline QCNET_ABI::bits

namespace qcnet::inline QCNET_ABI {

/// Codes the bits of a map `[N, H, W, C]` or `[N, T, C]`. The model of the bits is learned anew with each
/// map: it takes 1.4 KB of stack and allocates nothing. Maps coded one after another share the code's end.
inline void encode_bits(ConstBitplaneView map, bits::RangeEncoder& encoder) {
  bits::MapCoder<const std::uint8_t, bits::RangeEncoder>(map, encoder).run();
}

/// The inverse, for as many maps in the same order; `decoder.finish()` then tells whether the code was one.
inline void decode_bits(bits::RangeDecoder& decoder, BitplaneView map) {
  std::ranges::fill(map.bytes(), std::uint8_t{0});
  bits::MapCoder<std::uint8_t, bits::RangeDecoder>(map, decoder).run();
}

}  // namespace qcnet::inline QCNET_ABI
