// One bit per feature, packed as it travels in a frame.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <qcnet/core/aligned_buffer.hpp>
#include <qcnet/core/shape.hpp>

namespace qcnet::inline QCNET_ABI {

/// Bytes that one pixel's channels take: channel c is bit c % 8 (least significant first) of byte c / 8.
inline std::size_t packed_bytes(std::size_t channels) {
  return channels / 8 + (channels % 8 != 0 ? 1 : 0);
}

/// Mask of the padding bits in a pixel's last byte; 0 when the channels fill it.
inline std::uint8_t padding_mask(std::size_t channels) {
  return channels % 8 == 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(0xFFu << (channels % 8));
}

/// Borrowed packed bits of a map of `shape` ([N, H, W, C] or [N, T, C]): each pixel's channels start on a
/// byte. Invariant, kept by every writer: the padding bits of each pixel are zero.
template <class Byte>
struct BitView {
  Byte* data = nullptr;
  Shape shape;

  BitView() = default;
  BitView(Byte* data_in, const Shape& shape_in) : data(data_in), shape(shape_in) {}
  template <class U>
  requires(std::is_same_v<Byte, const U>) BitView(const BitView<U>& other)
      : data(other.data), shape(other.shape) {}

  std::size_t pixel_bytes() const { return packed_bytes(shape.channels()); }
  std::size_t size_bytes() const { return shape.pixels() * pixel_bytes(); }
  std::span<Byte> bytes() const { return {data, data == nullptr ? 0 : size_bytes()}; }
  Byte* pixel(std::size_t i) const { return data + i * pixel_bytes(); }
  bool get(std::size_t pixel_index, std::size_t channel) const {
    return ((pixel(pixel_index)[channel / 8] >> (channel % 8)) & 1u) != 0;
  }
};

using BitplaneView = BitView<std::uint8_t>;
using ConstBitplaneView = BitView<const std::uint8_t>;

/// True when every padding bit is zero.
inline bool padding_is_zero(ConstBitplaneView bits) {
  const std::uint8_t mask = padding_mask(bits.shape.channels());
  if (mask == 0 || bits.bytes().empty()) return true;
  std::uint8_t seen = 0;
  for (std::size_t i = 0, n = bits.shape.pixels(), last = bits.pixel_bytes() - 1; i < n; ++i)
    seen |= bits.pixel(i)[last];
  return (seen & mask) == 0;
}

/// How many bits are set.
inline std::size_t count_set(ConstBitplaneView bits) {
  std::size_t count = 0;
  for (const std::uint8_t byte : bits.bytes()) count += static_cast<std::size_t>(std::popcount(byte));
  return count;
}

/// Owned packed bits, all zero when made.
class Bitplane {
 public:
  Bitplane() = default;
  explicit Bitplane(const Shape& shape)
      : shape_(shape), buffer_(shape.pixels() * packed_bytes(shape.channels())) {}

  const Shape& shape() const { return shape_.value; }
  std::span<const std::uint8_t> bytes() const { return buffer_.span(); }
  bool get(std::size_t pixel, std::size_t channel) const { return view().get(pixel, channel); }
  void set(std::size_t pixel, std::size_t channel, bool value) {
    std::uint8_t& byte = view().pixel(pixel)[channel / 8];
    const auto bit = static_cast<std::uint8_t>(1u << (channel % 8));
    byte = static_cast<std::uint8_t>(value ? byte | bit : byte & ~bit);
  }

  BitplaneView view() { return {buffer_.data(), shape_.value}; }
  ConstBitplaneView view() const { return {buffer_.data(), shape_.value}; }
  operator BitplaneView() { return view(); }
  operator ConstBitplaneView() const { return view(); }

 private:
  OwnedShape shape_;
  AlignedBuffer<std::uint8_t> buffer_;
};

}  // namespace qcnet::inline QCNET_ABI
