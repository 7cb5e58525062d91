#include "allocations.hpp"
#include "support.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <qcnet/split/packet_assembler.hpp>

using namespace qcnet;
using Added = PacketAssembler::Added;

namespace {

constexpr std::uint64_t model = 0x0123456789ABCDEF;

using Message = std::vector<std::byte>;

Frame random_frame(const std::vector<MapSpec>& maps, std::uint64_t sequence, PictureSize picture = {}) {
  Frame frame = Frame::make(model, maps).value();
  for (std::size_t i = 0; i < maps.size(); ++i)
    std::ranges::copy(test::random_bits(maps[i].shape, static_cast<std::uint32_t>(sequence + i)).bytes(),
                      frame.bits(i).data);
  frame.seal(sequence, picture);
  return frame;
}

std::vector<Message> cut(const Frame& frame, std::size_t mtu) {
  Packetizer packetizer = Packetizer::make(frame, mtu).value();
  std::vector<Message> packets;
  for (std::size_t i = 0; i < packetizer.count(); ++i) {
    const auto packet = packetizer.cut(frame, i);
    packets.emplace_back(packet.begin(), packet.end());
  }
  return packets;
}

PacketAssembler assembler_for(const std::vector<MapSpec>& maps) {
  return PacketAssembler::make(model, maps).value();
}

/// What adding a message says: "", "again", "newer" or the error.
std::string said(PacketAssembler& assembler, std::span<const std::byte> message) {
  const auto added = assembler.add(message);
  if (!added) return added.error().message();
  return *added == Added::taken ? "" : *added == Added::again ? "again" : "newer";
}

const std::vector<std::vector<MapSpec>> awkward = {
    {{"a", {1}}},
    {{"a", {1, 1, 1, 9}}},
    {{"a", {1, 3, 5, 7}}},
    {{"a", {1, 4, 4, 16}}},
    {{"a", {2, 5, 33}}, {"b", {1, 2, 3, 8}}, {"c", {1}}},
};

const std::vector<MapSpec> small = {{"layer2", {1, 3, 2, 12}}};  // 12 bytes of bits

}  // namespace

TEST_CASE("assembler: what was cut is put together, in any order and with duplicates") {
  std::mt19937 random(1);
  for (const auto& maps : awkward)
    for (const std::size_t mtu : {35u, 36u, 41u, 128u, 100000u}) {
      CAPTURE(maps[0].shape.to_string());
      CAPTURE(mtu);
      PacketAssembler assembler = assembler_for(maps);
      for (std::uint64_t sequence = 1; sequence < 4; ++sequence) {
        const Frame frame = random_frame(maps, sequence, {640, 480});
        std::vector<Message> packets = cut(frame, mtu);
        std::shuffle(packets.begin(), packets.end(), random);
        for (std::size_t i = 0; i < packets.size(); ++i) {
          CHECK(assembler.begun() == (i > 0));
          REQUIRE_FALSE(assembler.complete());
          REQUIRE(said(assembler, packets[i]).empty());
          REQUIRE(said(assembler, packets[i / 2]) == "again");
          CHECK(assembler.count() == packets.size());
          CHECK(assembler.missing() == packets.size() - i - 1);
        }
        REQUIRE(assembler.complete());
        const PartialFrame& got = assembler.finish();
        CHECK(std::ranges::equal(got.frame.bytes(), frame.bytes()));
        for (std::size_t i = 0; i < maps.size(); ++i) {
          CHECK(count_set(got.received.bits(i)) == maps[i].shape.elements());
          CHECK(padding_is_zero(got.received.bits(i)));
        }
      }
    }
}

TEST_CASE("assembler: every subset of a frame's packets gives just their features") {
  const Frame frame = random_frame(small, 1, {5, 6});
  const std::vector<Message> packets = cut(frame, 36);
  REQUIRE(packets.size() == 6);
  // Which features a packet carries, from a frame of ones.
  Frame ones = frame;
  for (std::size_t p = 0; p < 6; ++p) {
    ones.bits(0).pixel(p)[0] = 0xFF;
    ones.bits(0).pixel(p)[1] = 0x0F;
  }
  ones.seal(1, {5, 6});
  const std::vector<Message> of_ones = cut(ones, 36);
  std::vector<Bitplane> carried;
  for (const Message& packet : of_ones) {
    PacketAssembler assembler = assembler_for(small);
    REQUIRE(said(assembler, packet).empty());
    carried.emplace_back(small[0].shape);
    std::ranges::copy(assembler.finish().frame.bits(0).bytes(), carried.back().view().data);
  }
  PacketAssembler assembler = assembler_for(small);
  for (unsigned subset = 0; subset < 64; ++subset) {
    PacketAssembler fresh = assembler;
    Bitplane expected(small[0].shape), received(small[0].shape);
    for (std::size_t i = 0; i < 6; ++i) {
      if ((subset >> i & 1u) == 0) continue;
      REQUIRE(said(fresh, packets[i]).empty());
      for (std::size_t b = 0; b < 12; ++b) {
        const std::uint8_t mask = carried[i].bytes()[b];
        REQUIRE((received.bytes()[b] & mask) == 0);  // a feature is in one packet
        received.view().data[b] |= mask;
        expected.view().data[b] |= static_cast<std::uint8_t>(mask & frame.bits(0).data[b]);
      }
    }
    CHECK(fresh.complete() == (subset == 63));
    const PartialFrame& got = fresh.finish();
    CHECK(got.frame.sequence() == (subset == 0 ? 0 : 1));
    CHECK(got.frame.picture() == (subset == 0 ? PictureSize{} : PictureSize{5, 6}));
    CHECK(std::ranges::equal(got.frame.bits(0).bytes(), expected.bytes()));
    CHECK(std::ranges::equal(got.received.bits(0).bytes(), received.bytes()));
    CHECK(Frame::parse(got.frame.bytes()).ok());  // sealed
  }
}

TEST_CASE("assembler: a newer frame waits until the one begun is finished, an older one is refused") {
  PacketAssembler assembler = assembler_for(small);
  const auto first = cut(random_frame(small, 5), 36), second = cut(random_frame(small, 9), 36),
             third = cut(random_frame(small, 10), 36);
  CHECK(said(assembler, second[0]).empty());
  CHECK(said(assembler, first[0]) ==
        "a packet of frame 5 comes after frame 9: it was replayed or overtaken, or its node began anew, "
        "which takes a new connection");
  CHECK(said(assembler, third[0]) == "newer");
  CHECK(said(assembler, second[1]).empty());
  CHECK(assembler.missing() == 4);
  CHECK(assembler.finish().frame.sequence() == 9);
  CHECK(said(assembler, second[2]) == "a packet of frame 9 comes after that frame was finished");
  CHECK_FALSE(assembler.begun());
  CHECK(said(assembler, third[0]).empty());
  CHECK(count_set(assembler.finish().frame.bits(0)) <= 16);  // nothing of the frame before
  CHECK(count_set(assembler.finish().received.bits(0)) == 0);
}

TEST_CASE("assembler: every flipped bit, every truncation and every longer packet is refused") {
  const Frame frame = random_frame(small, 1, {640, 480});
  PacketAssembler assembler = assembler_for(small);
  for (const Message& good : cut(frame, 39)) {
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      Message bad = good;
      bad[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      REQUIRE_FALSE(assembler.add(bad).ok());
    }
    for (std::size_t size = 0; size < good.size(); ++size)
      REQUIRE_FALSE(assembler.add(std::span(good).first(size)).ok());
    Message longer = good;
    longer.push_back(std::byte{0});
    REQUIRE_FALSE(assembler.add(longer).ok());
    CHECK_FALSE(assembler.begun());
  }
}

TEST_CASE("assembler: hostile headers under a right checksum") {
  const Frame frame = random_frame(small, 3, {640, 480});
  const std::vector<Message> packets = cut(frame, 36);
  const std::uint32_t description = crc32c(frame.description());
  PacketAssembler assembler = assembler_for(small);
  const auto with = [&](std::size_t at, std::initializer_list<unsigned> bytes, Message packet) {
    for (const unsigned byte : bytes) packet[at++] = static_cast<std::byte>(byte);
    store_le(packet.data() + packet.size() - 4, packets::checksum(description, packet));
    return said(assembler, packet);
  };
  const Message& good = packets[0];
  CHECK(with(0, {'Q', 'C', 'N', 'F'}, good) == "this is not a packet: it does not begin with QCNP");
  CHECK(with(4, {2}, good) == "packet version 2 is not supported, this build reads version 1");
  CHECK(with(6, {0}, good) == "there is no packet 0 of 0 for 12 bytes of bits");
  CHECK(with(6, {13}, good) == "there is no packet 0 of 13 for 12 bytes of bits");
  CHECK(with(6, {255, 255}, good) == "there is no packet 0 of 65535 for 12 bytes of bits");
  CHECK(with(6, {1}, good) == "the packet has 36 bytes, its header asks for 46");
  CHECK(with(8, {0}, good) == "the packet comes from another model");
  CHECK(with(24, {0, 0}, good) == "the packet's picture has a width or a height of 0 pixels, not both");
  CHECK(with(28, {6}, good) == "there is no packet 6 of 6 for 12 bytes of bits");
  CHECK(with(28, {255, 255}, good) == "there is no packet 65535 of 6 for 12 bytes of bits");
  CHECK(with(30, {255, 255}, good) == "the packet has padding bits that are not zero");
  CHECK(said(assembler, Message(34)) == "a packet cannot have 34 bytes");
  CHECK_FALSE(assembler.begun());
  CHECK(said(assembler, good).empty());
  const std::string contradicts = "a packet of frame 3 contradicts the first one of that frame";
  CHECK(with(24, {1, 0}, packets[1]) == contradicts);
  CHECK(with(6, {5}, packets[1]) == contradicts);
  for (std::size_t i = 1; i < 6; ++i) CHECK(said(assembler, packets[i]).empty());
  CHECK(
      std::ranges::equal(assembler.finish().frame.bytes(), frame.bytes()));  // nothing of these came through
}

TEST_CASE("assembler: packets of other maps or of another model are refused") {
  const Frame frame = random_frame(small, 1);
  const std::string other_maps =
      "the packet's checksum is wrong: it was damaged on the way, or is of other maps";
  for (const std::vector<MapSpec>& maps :
       {std::vector<MapSpec>{{"layer2", {1, 2, 3, 12}}}, std::vector<MapSpec>{{"layer1", {1, 3, 2, 12}}},
        std::vector<MapSpec>{{"layer2", {1, 3, 2, 12}}, {"b", {1}}}}) {
    PacketAssembler assembler = assembler_for(maps);
    for (const Message& packet : cut(frame, 36)) CHECK(said(assembler, packet) == other_maps);
  }
  PacketAssembler stranger = PacketAssembler::make(model + 1, small).value();
  CHECK(said(stranger, cut(frame, 36)[0]) == "the packet comes from another model");
  CHECK(test::contains(PacketAssembler::make(1, {}).error().message(), "cannot carry 0 maps"));
  if (Shape::max_elements < std::uint64_t{1} << 32) return;  // no frame can be larger than a packet's bits
  const MapSpec huge[] = {{"a", {(1u << 28) + 1, 8}}};
  CHECK(test::contains(PacketAssembler::make(1, huge).error().message(), "cannot be sent in packets"));
}

TEST_CASE("assembler: once warm it allocates nothing") {
  const std::vector<MapSpec> maps = {{"layer2", {1, 28, 28, 64}}, {"layer3", {1, 14, 14, 36}}};
  std::vector<std::vector<Message>> frames;
  for (std::uint64_t sequence = 1; sequence < 4; ++sequence)
    frames.push_back(cut(random_frame(maps, sequence), 100));
  PacketAssembler assembler = assembler_for(maps);
  std::size_t before = 0;
  for (const auto& packets : frames) {
    for (const Message& packet : packets) assembler.add(packet).value();
    assembler.finish();
    if (&packets == &frames[0]) before = allocations();
  }
  CHECK(allocations() == before);
}
