// Arithmetic coding of single bits, given how likely each is to be one: the less likely what comes, the more
// of the output it takes, -log2 of its probability in bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// The interval of 32-bit numbers that stand for all bits so far (Witten, Neal & Cleary, Commun. ACM 30(6),
/// 1987). Each bit divides it in the ratio of the probabilities and keeps a part. A leading byte that both
/// ends have is certain and leaves; so there never is a carry (Mahoney, Florida Tech CS-2005-16). Encoder and
/// decoder go through the same intervals.
class CodingInterval {
 public:
  /// The last number that stands for a one. `p` is the probability of a one in units of 2^-16, 1 to 65535:
  /// neither part is empty.
  std::uint32_t split(std::uint32_t p) const {
    return low_ + static_cast<std::uint32_t>(std::uint64_t{high_ - low_} * p >> 16);
  }
  void keep(bool one, std::uint32_t middle) {
    const std::uint32_t mask = 0u - std::uint32_t{one};  // no branch: which way it goes is what is not known
    low_ = (low_ & mask) | ((middle + 1) & ~mask);
    high_ = (middle & mask) | (high_ & ~mask);
  }
  bool leading_byte_is_certain() const { return (low_ ^ high_) >> 24 == 0; }
  std::uint8_t leading_byte() const { return static_cast<std::uint8_t>(high_ >> 24); }
  void drop_leading_byte() {
    low_ <<= 8;
    high_ = high_ << 8 | 0xFF;
  }

  /// What ends a code, zeros being read behind it: nothing if 0 is in the interval, else one byte, the
  /// smallest that will do. One always does, for the leading bytes of the ends differ.
  std::size_t last_bytes() const { return low_ == 0 ? 0 : 1; }
  std::uint8_t last_byte() const {
    return static_cast<std::uint8_t>((low_ >> 24) + ((low_ & 0xFFFFFF) != 0 ? 1 : 0));
  }

 private:
  std::uint32_t low_ = 0, high_ = 0xFFFFFFFF;
};

/// Writes a code into the caller's memory. What does not fit is counted, not written.
class RangeEncoder {
 public:
  explicit RangeEncoder(std::span<std::uint8_t> out) : out_(out) {}

  /// Returns `bit`, as the decoder's function of the same name returns the bit it read.
  bool code(bool bit, std::uint32_t p) {
    interval_.keep(bit, interval_.split(p));
    while (interval_.leading_byte_is_certain()) {
      put(interval_.leading_byte());
      interval_.drop_leading_byte();
    }
    return bit;
  }

  /// Ends the code and returns its size in bytes. If that is more than there was room for, the code is lost.
  std::size_t finish() {
    if (interval_.last_bytes() != 0) put(interval_.last_byte());
    return size_;
  }

 private:
  void put(std::uint8_t byte) {
    if (size_ < out_.size()) out_[size_] = byte;
    ++size_;
  }

  CodingInterval interval_;
  std::span<std::uint8_t> out_;
  std::size_t size_ = 0;
};

/// Reads bits from bytes that nobody vouches for; behind their end it reads zeros. Any bytes give some bits:
/// `finish` tells whether an encoder would have made these bytes of them.
class RangeDecoder {
 public:
  explicit RangeDecoder(std::span<const std::uint8_t> in) : in_(in) {
    for (int i = 0; i < 4; ++i) number_ = number_ << 8 | next();
  }

  /// The next bit; the argument in its place makes this function stand in for the encoder's.
  bool code(bool, std::uint32_t p) {
    const std::uint32_t middle = interval_.split(p);
    const bool bit = number_ <= middle;
    interval_.keep(bit, middle);
    while (interval_.leading_byte_is_certain()) {
      interval_.drop_leading_byte();
      number_ = number_ << 8 | next();
    }
    return bit;
  }

  /// Whether the code is what an encoder makes of the bits that were read, byte for byte, and behind it there
  /// is nothing but zeros up to at least `least` bytes in all.
  bool finish(std::size_t least = 0) const {
    // The bytes that have left the interval were in the input, or it would have been left; so what remains to
    // be judged is the last byte, and where it stands.
    const std::size_t size = read_ - 4 + interval_.last_bytes();
    const std::uint32_t last = interval_.last_bytes() == 0 ? 0 : interval_.last_byte();
    if (number_ != last << 24 || (size < least ? least : size) != in_.size()) return false;
    for (std::size_t i = size; i < in_.size(); ++i)
      if (in_[i] != 0) return false;
    return true;
  }

 private:
  std::uint8_t next() {
    const std::uint8_t byte = read_ < in_.size() ? in_[read_] : std::uint8_t{0};
    ++read_;
    return byte;
  }

  CodingInterval interval_;
  std::span<const std::uint8_t> in_;
  std::size_t read_ = 0;
  std::uint32_t number_ = 0;
};

}  // namespace qcnet::inline QCNET_ABI::bits
