// A frame in packets, for links that lose some: each is of use by itself. Format: docs/packets.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <qcnet/bits/interleave.hpp>
#include <qcnet/core/crc32c.hpp>
#include <qcnet/core/endian.hpp>
#include <qcnet/core/part.hpp>
#include <qcnet/split/frame.hpp>

namespace qcnet::inline QCNET_ABI {

/// Where the fields of a packet are. What lies before the index is the same in all packets of a frame.
namespace packets {
inline constexpr std::uint32_t magic = 0x504E4351;  // "QCNP"
inline constexpr std::uint16_t version = 1;
inline constexpr std::size_t version_at = 4, count_at = 6, hash_at = 8, sequence_at = 16, picture_at = 24,
                             index_at = 28, bits_at = 30, checksum_bytes = 4;
inline constexpr std::size_t overhead = bits_at + checksum_bytes;
inline constexpr std::size_t max_count = 65535;

/// Frames may be larger than what can be interleaved.
inline Result<void> check_size(const Frame& frame) {
  if (frame.map_count() == 0) return Error("the frame was moved away, nothing is in it");
  if (frame.all_bits().size() <= Interleaving::max_bytes) return {};
  return Error("a frame of " + std::to_string(frame.all_bits().size()) +
               " bytes of bits cannot be sent in packets, at most " +
               std::to_string(Interleaving::max_bytes) + " can");
}

/// The checksum also covers what the frame says of its maps, which is not sent: as with the addresses under
/// UDP's, a packet that is for other maps does not pass. The hash alone would let it, as the same weights may
/// run over pictures of any size.
inline std::uint32_t checksum(std::uint32_t description_crc, std::span<const std::byte> packet) {
  return crc32c(packet.first(packet.size() - checksum_bytes), description_crc);
}
}  // namespace packets

/// Whether a message is meant to be a packet, and not a frame, say.
inline bool is_packet(std::span<const std::byte> bytes) {
  return bytes.size() >= sizeof packets::magic && load_le<std::uint32_t>(bytes.data()) == packets::magic;
}

/// Cuts frames into packets of at most so many bytes, each with bits from all over the maps: a packet that is
/// lost costs features here and there, not a region or a channel.
class Packetizer {
 public:
  /// For frames of the same maps as `frame`. Error: `mtu`, the most bytes that a packet may have, is too
  /// small.
  static Result<Packetizer> make(const Frame& frame, std::size_t mtu) {
    QCNET_CHECK(packets::check_size(frame));
    const std::size_t bytes = frame.all_bits().size();
    if (mtu <= packets::overhead)
      return Error("packets of " + std::to_string(mtu) + " bytes are too small: at least " +
                   std::to_string(packets::overhead + 1) + " are needed");
    const std::size_t room = mtu - packets::overhead, count = bytes / room + (bytes % room != 0 ? 1 : 0);
    if (count > packets::max_count)
      return Error("packets of " + std::to_string(mtu) + " bytes are too small: a frame would need " +
                   std::to_string(count) + " of them, at most " + std::to_string(packets::max_count) +
                   " can be numbered");
    return Packetizer(frame, count, bytes / count + (bytes % count != 0 ? 1 : 0));
  }

  /// Packets of a frame.
  std::size_t count() const { return count_; }

  /// Packet `index` below `count()` of a sealed frame, coded or not; valid until the next call. Allocates
  /// nothing. Raises if the frame is of other maps than `make` was given.
  std::span<const std::byte> cut(const Frame& frame, std::size_t index) & {
    if (index >= count_ || packet_.empty() || frame.map_count() == 0 ||
        frame.all_bits().size() != order_.bytes() || crc32c(frame.description()) != description_crc_)
      raise(Error("packets are cut by a packetizer that was made for such a frame, by their index"));
    const auto bits = frame.all_bits();
    store_le(packet_.data() + packets::hash_at, frame.model_hash());
    store_le(packet_.data() + packets::sequence_at, frame.sequence());
    store_le(packet_.data() + packets::picture_at, frame.picture().width);
    store_le(packet_.data() + packets::picture_at + 2, frame.picture().height);
    store_le(packet_.data() + packets::index_at, static_cast<std::uint16_t>(index));
    const std::size_t first = part_begin(bits.size(), index, count_),
                      size = part_begin(bits.size(), index + 1, count_) - first;
    const auto whole = std::span(packet_).first(packets::overhead + size);
    order_.gather(bits, first, whole.subspan(packets::bits_at, size));
    store_le(&whole[packets::bits_at + size], packets::checksum(description_crc_, std::as_bytes(whole)));
    return std::as_bytes(whole);
  }

 private:
  Packetizer(const Frame& frame, std::size_t count, std::size_t most_bytes)
      : order_(frame.all_bits().size()),
        count_(count),
        description_crc_(crc32c(frame.description())),
        packet_(packets::overhead + most_bytes) {
    store_le(packet_.data(), packets::magic);
    store_le(packet_.data() + packets::version_at, packets::version);
    store_le(packet_.data() + packets::count_at, static_cast<std::uint16_t>(count));
  }

  Interleaving order_;
  std::size_t count_;
  std::uint32_t description_crc_;
  std::vector<std::uint8_t> packet_;  // room for the longest
};

}  // namespace qcnet::inline QCNET_ABI
