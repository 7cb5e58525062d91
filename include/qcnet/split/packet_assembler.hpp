// Packets back to a frame, or to what arrived of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/core/part.hpp>
#include <qcnet/split/packets.hpp>
#include <qcnet/split/partial_frame.hpp>

namespace qcnet::inline QCNET_ABI {

/// Collects the packets of one frame after another; those of a frame come in any order, some perhaps twice,
/// some never. One for each connection, as a ReplayGuard: numbers must rise. Whatever arrives, its memory is
/// that of four frames and a byte for each packet of one.
class PacketAssembler {
 public:
  enum class Added {
    taken,
    again,  ///< was here before
    newer,  ///< not taken: it is of a newer frame than that begun, which has to be finished first
  };

  /// For frames of these maps from a node of this hash: packets do not repeat names and shapes. Error: as for
  /// Frame::make, and if there are more bits than can be interleaved.
  static Result<PacketAssembler> make(std::uint64_t model_hash, std::span<const MapSpec> maps) {
    QCNET_TRY(Frame frame, Frame::make(model_hash, maps));
    QCNET_CHECK(packets::check_size(frame));
    return PacketAssembler(std::move(frame));
  }

  /// Whether packets, or all packets, are here of a frame that is not finished.
  bool begun() const { return !arrived_.empty(); }
  bool complete() const { return begun() && missing_ == 0; }
  /// How many packets the frame has, and how many of them are not here.
  std::size_t count() const { return arrived_.size(); }
  std::size_t missing() const { return missing_; }

  /// Takes a packet that nobody vouches for. Error, and nothing has changed: it is damaged, of another model,
  /// of a frame that came before, or contradicts those that are here.
  Result<Added> add(std::span<const std::byte> bytes) {
    QCNET_TRY(const Packet packet, read(bytes));
    const auto wrong = [&](const std::string& what) {
      return Error("a packet of frame " + std::to_string(packet.sequence) + what);
    };
    if (newest_ && packet.sequence < *newest_)
      return wrong(" comes after frame " + std::to_string(*newest_) +
                   ": it was replayed or overtaken, or its node began anew, which takes a new connection");
    const bool same = newest_ && packet.sequence == *newest_;
    if (same && !begun()) return wrong(" comes after that frame was finished");
    if (begun() && !same) return Added::newer;
    if (!begun())
      begin(packet);
    else if (packet.count != count() || packet.picture != partial_.frame.picture())
      return wrong(" contradicts the first one of that frame");
    if (arrived_[packet.index] != 0) return Added::again;
    arrived_[packet.index] = 1;
    --missing_;
    order_.scatter(packet.bits, packet.first, partial_.frame.all_bits());
    order_.scatter(mask_, packet.first, partial_.received.all_bits());
    return Added::taken;
  }

  /// What arrived, sealed, valid until the next `add`; `count` and `missing` then are 0. Without any packet
  /// all is missing, the number is 0.
  const PartialFrame& finish() & {
    if (!begun()) clear(0, {});
    partial_.frame.seal(partial_.frame.sequence(), partial_.frame.picture());
    arrived_.clear();
    missing_ = 0;
    return partial_;
  }

 private:
  struct Packet {
    std::uint64_t sequence;
    PictureSize picture;
    std::size_t index, count;
    std::size_t first;                   // of its interleaved bytes
    std::span<const std::uint8_t> bits;  // these
  };

  explicit PacketAssembler(Frame frame)
      : partial_{frame, frame},
        order_(frame.all_bits().size()),
        description_crc_(crc32c(frame.description())) {
    for (std::size_t i = 0; i < frame.map_count(); ++i) {
      const BitplaneView map = frame.bits(i);
      std::ranges::fill(map.bytes(), std::uint8_t{0xFF});
      for (std::size_t pixel = 0; pixel < map.shape.pixels(); ++pixel)
        map.pixel(pixel)[map.pixel_bytes() - 1] =
            static_cast<std::uint8_t>(~padding_mask(map.shape.channels()));
    }
    features_.assign(frame.all_bits().begin(), frame.all_bits().end());
    mask_.reserve(features_.size());
  }

  /// Checks all that does not depend on packets before; leaves in `mask_` which of its bits are features.
  Result<Packet> read(std::span<const std::byte> bytes) {
    if (bytes.size() <= packets::overhead)
      return Error("a packet cannot have " + std::to_string(bytes.size()) + " bytes");
    if (!is_packet(bytes)) return Error("this is not a packet: it does not begin with QCNP");
    if (partial_.frame.map_count() == 0) return Error("the packet assembler was moved away");
    const std::byte* from = bytes.data();
    const auto u16 = [from](std::size_t at) { return load_le<std::uint16_t>(from + at); };
    if (u16(packets::version_at) != packets::version)
      return Error("packet version " + std::to_string(u16(packets::version_at)) +
                   " is not supported, this build reads version " + std::to_string(packets::version));
    if (packets::checksum(description_crc_, bytes) !=
        load_le<std::uint32_t>(from + bytes.size() - packets::checksum_bytes))
      return Error("the packet's checksum is wrong: it was damaged on the way, or is of other maps");
    if (load_le<std::uint64_t>(from + packets::hash_at) != partial_.frame.model_hash())
      return Error("the packet comes from another model");
    const std::size_t count = u16(packets::count_at), index = u16(packets::index_at), all = order_.bytes();
    if (index >= count || count > all)
      return Error("there is no packet " + std::to_string(index) + " of " + std::to_string(count) + " for " +
                   std::to_string(all) + " bytes of bits");
    const std::size_t first = part_begin(all, index, count), size = part_begin(all, index + 1, count) - first;
    if (bytes.size() != packets::overhead + size)
      return Error("the packet has " + std::to_string(bytes.size()) + " bytes, its header asks for " +
                   std::to_string(packets::overhead + size));
    const PictureSize picture{u16(packets::picture_at), u16(packets::picture_at + 2)};
    if ((picture.width == 0) != (picture.height == 0))
      return Error("the packet's picture has a width or a height of 0 pixels, not both");
    const std::span bits(reinterpret_cast<const std::uint8_t*>(from) + packets::bits_at, size);
    mask_.resize(size);
    order_.gather(features_, first, mask_);
    for (std::size_t i = 0; i < size; ++i)
      if ((bits[i] & ~mask_[i]) != 0) return Error("the packet has padding bits that are not zero");
    return Packet{load_le<std::uint64_t>(from + packets::sequence_at), picture, index, count, first, bits};
  }

  void begin(const Packet& packet) {
    clear(packet.sequence, packet.picture);
    newest_ = packet.sequence;
    arrived_.assign(packet.count, 0);
    missing_ = packet.count;
  }

  void clear(std::uint64_t sequence, PictureSize picture) {
    std::ranges::fill(partial_.frame.all_bits(), std::uint8_t{0});
    std::ranges::fill(partial_.received.all_bits(), std::uint8_t{0});
    partial_.frame.seal(sequence, picture);
  }

  PartialFrame partial_;
  Interleaving order_;
  std::uint32_t description_crc_;
  std::vector<std::uint8_t> features_;  // 1 for each bit that is no padding
  std::vector<std::uint8_t> mask_;      // the same of one packet's bits
  std::vector<std::uint8_t> arrived_;   // 1 for each packet that is here; empty if no frame is begun
  std::size_t missing_ = 0;
  std::optional<std::uint64_t> newest_;  // of the frames that were begun
};

}  // namespace qcnet::inline QCNET_ABI
