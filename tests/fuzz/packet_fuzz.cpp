// Any bytes as packets of a frame of 8 bytes of bits: an Error that changes nothing, or one that is taken;
// what comes of it is a frame that can be sent, without a bit that did not arrive.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include <qcnet/split/packet_assembler.hpp>

namespace {

using qcnet::PacketAssembler;

void require(bool holds) {
  if (!holds) std::abort();
}

/// Finishes what was begun, and cuts it again: of the packets that were taken the bytes must be the same.
void finish(PacketAssembler& assembler, std::span<const std::byte> taken) {
  const std::size_t count = assembler.count();
  const qcnet::PartialFrame& partial = assembler.finish();
  require(!assembler.begun() && qcnet::Frame::parse(partial.frame.bytes()).ok());
  const auto bits = partial.frame.all_bits(), received = partial.received.all_bits();
  for (std::size_t i = 0; i < bits.size(); ++i) require((bits[i] & ~received[i]) == 0);
  require(qcnet::padding_is_zero(partial.received.bits(0)));
  for (std::size_t mtu = 35; mtu <= 42; ++mtu) {
    auto packets = qcnet::Packetizer::make(partial.frame, mtu).value();
    if (packets.count() != count) continue;
    const std::size_t index = qcnet::load_le<std::uint16_t>(taken.data() + qcnet::packets::index_at);
    require(std::ranges::equal(packets.cut(partial.frame, index), taken));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const qcnet::MapSpec maps[] = {{"layer2", {1, 2, 2, 9}}};  // as in docs/packets.md
  static const std::uint32_t description =
      qcnet::crc32c(qcnet::Frame::make(0x0123456789ABCDEF, maps).value().description());
  PacketAssembler assembler = PacketAssembler::make(0x0123456789ABCDEF, maps).value();
  std::vector<std::byte> last;
  // Messages of a stream, each behind a byte that says how long it is; then the whole input.
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto add = [&](std::span<const std::byte> message) {
    const bool begun = assembler.begun();
    const std::size_t missing = assembler.missing();
    const auto added = assembler.add(message);
    const bool taken = added.ok() && *added == PacketAssembler::Added::taken;
    if (!taken) require(assembler.begun() == begun && assembler.missing() == missing);
    if (taken) last.assign(message.begin(), message.end());
    if (added.ok() && *added == PacketAssembler::Added::newer) {
      finish(assembler, last);
      require(*assembler.add(message) == PacketAssembler::Added::taken);
      last.assign(message.begin(), message.end());
    }
    if (assembler.complete()) finish(assembler, last);
  };
  for (std::size_t at = 0; at < size;) {
    const std::size_t length = std::min(std::size_t{data[at]}, size - at - 1);
    std::vector<std::byte> message(bytes.begin() + static_cast<std::ptrdiff_t>(at + 1),
                                   bytes.begin() + static_cast<std::ptrdiff_t>(at + 1 + length));
    add(message);
    if (length >= 4) {  // the same with a checksum that fits
      qcnet::store_le(message.data() + length - 4, qcnet::packets::checksum(description, message));
      add(message);
    }
    at += 1 + length;
  }
  add(bytes);
  if (assembler.begun()) finish(assembler, last);
  return 0;
}
