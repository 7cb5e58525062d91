#include "allocations.hpp"
#include "documented_frame.hpp"
#include "files.hpp"
#include "support.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include <qcnet/split/packets.hpp>

using namespace qcnet;

namespace {}  // namespace

TEST_CASE("packets: the test vectors of docs/packets.md, byte for byte") {
  const auto documented = hex_blocks(QCNET_TEST_DATA "/../docs/packets.md");
  const Frame frame = documented_frame();
  Packetizer packetizer = Packetizer::make(frame, 37).value();
  REQUIRE(packetizer.count() == 3);
  REQUIRE(documented.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto packet = packetizer.cut(frame, i);
    CHECK(std::string(reinterpret_cast<const char*>(packet.data()), packet.size()) == documented[i]);
    // Written by tests/corpus/make.py, which knows nothing of the C++ code.
    const std::string name = "/corpus/packet/" + std::to_string(i) + ".packet";
    CHECK(read_file(QCNET_TEST_DATA + name) == documented[i]);
  }
}

TEST_CASE("packets: as few as fit, of equal size but for a byte, none longer than asked for") {
  for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{1, 3, 5, 9}, Shape{1, 32, 32, 16}, Shape{1, 65, 130}}) {
    const MapSpec maps[] = {{"a", shape}};
    Frame frame = Frame::make(1, maps).value();
    frame.seal(1);
    const std::size_t bytes = frame.all_bits().size();
    for (const std::size_t mtu : {35u, 36u, 51u, 128u, 1280u, 1u << 20}) {
      Packetizer packetizer = Packetizer::make(frame, mtu).value();
      CHECK(packetizer.count() == (bytes + mtu - 35) / (mtu - 34));
      std::size_t least = mtu, most = 0, total = 0;
      for (std::size_t i = 0; i < packetizer.count(); ++i) {
        const std::size_t size = packetizer.cut(frame, i).size();
        least = std::min(least, size);
        most = std::max(most, size);
        total += size;
      }
      CHECK(most <= mtu);
      CHECK(most - least <= 1);
      CHECK(total == bytes + 34 * packetizer.count());
    }
  }
}

TEST_CASE("packets: what cannot be cut is refused in a sentence") {
  const MapSpec maps[] = {{"a", {1, 256, 512, 8}}}, other[] = {{"a", {1, 512, 256, 8}}};
  const Frame frame = Frame::make(1, maps).value();
  for (const std::size_t mtu : {0u, 1u, 34u})
    CHECK(Packetizer::make(frame, mtu).error().message() ==
          "packets of " + std::to_string(mtu) + " bytes are too small: at least 35 are needed");
  CHECK(
      Packetizer::make(frame, 35).error().message() ==
      "packets of 35 bytes are too small: a frame would need 131072 of them, at most 65535 can be numbered");
  Packetizer packetizer = Packetizer::make(frame, 37).value();
  CHECK_THROWS_AS(packetizer.cut(frame, packetizer.count()), std::runtime_error);
  CHECK_THROWS_AS(packetizer.cut(Frame::make(1, other).value(), 0), std::runtime_error);
}

TEST_CASE("packets: cutting allocates nothing, and a coded frame gives the same packets") {
  const MapSpec maps[] = {{"layer2", {1, 28, 28, 64}}, {"layer3", {1, 14, 14, 36}}};
  Frame plain = Frame::make(1, maps).value(), coded = Frame::make(1, maps, Coding::context).value();
  for (Frame* frame : {&plain, &coded}) {
    *frame->bits(0).pixel(5) = 0xA5;
    frame->seal(7);
  }
  REQUIRE(coded.coded());
  Packetizer packetizer = Packetizer::make(plain, 100).value(), other = Packetizer::make(coded, 100).value();
  const std::size_t before = allocations();
  bool same = true;
  for (std::size_t i = 0; i < packetizer.count(); ++i)
    same = std::ranges::equal(packetizer.cut(plain, i), other.cut(coded, i)) && same;
  CHECK(allocations() == before);
  CHECK(same);
}
