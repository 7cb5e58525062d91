// The order in which packets carry the bits of a frame: each packet's lie scattered over all of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI {

/// A permutation of the N bits of so many bytes, least significant first: interleaved bit t is bit t M mod N,
/// where M is the least number from N * 40503 / 65536 (rounded down) on that has no divisor in common with N.
/// That is next to the golden section, so any run of interleaved bits lies nearly evenly over the maps
/// (three-distance theorem); and as M is prime also to the bits of a pixel, which divide N, evenly over the
/// channels. The next bit costs an addition.
class Interleaving {
 public:
  static constexpr std::size_t max_bytes = std::size_t{1} << 28;  // two numbers of a bit add up in 32 bits

  /// Of 1 to `max_bytes`.
  explicit Interleaving(std::size_t bytes) : bits_(8 * bytes) {
    step_ = static_cast<std::size_t>(std::uint64_t{bits_} * 40503 >> 16);
    while (std::gcd(step_, bits_) != 1) ++step_;
  }

  std::size_t bytes() const { return bits_ / 8; }

  /// Writes as many interleaved bytes of `bits` as `out` holds, from the one numbered `first` on.
  void gather(std::span<const std::uint8_t> bits, std::size_t first, std::span<std::uint8_t> out) const {
    std::size_t at = place(first);
    for (std::uint8_t& byte : out) {
      unsigned gathered = 0;
      for (unsigned i = 0; i < 8; ++i, at = next(at)) gathered |= (bits[at / 8] >> at % 8 & 1u) << i;
      byte = static_cast<std::uint8_t>(gathered);
    }
  }

  /// Sets in `bits` what is set in interleaved bytes, of which the first is the one numbered `first`.
  void scatter(std::span<const std::uint8_t> interleaved, std::size_t first,
               std::span<std::uint8_t> bits) const {
    std::size_t at = place(first);
    for (const std::uint8_t byte : interleaved)
      for (unsigned i = 0; i < 8; ++i, at = next(at))
        bits[at / 8] = static_cast<std::uint8_t>(bits[at / 8] | (byte >> i & 1u) << at % 8);
  }

 private:
  /// Where the first bit of an interleaved byte is.
  std::size_t place(std::size_t byte) const {
    return static_cast<std::size_t>(std::uint64_t{8 * byte} * step_ % bits_);
  }
  std::size_t next(std::size_t at) const {
    at += step_;
    return at < bits_ ? at : at - bits_;
  }

  std::size_t bits_, step_ = 0;
};

}  // namespace qcnet::inline QCNET_ABI
