#include "allocations.hpp"
#include "documented_frame.hpp"
#include "files.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <qcnet/split/frame.hpp>

#include <doctest/doctest.h>

using qcnet::Frame;
using qcnet::MapSpec;
using qcnet::Shape;

namespace {

// On machines of 32 bits there are no shapes of more than 2^28 elements.
constexpr bool wide_shapes = Shape::max_elements > std::uint64_t{1} << 32;

std::string text_of(const Frame& frame) {
  return {reinterpret_cast<const char*>(frame.bytes().data()), frame.bytes().size()};
}

Frame three_maps() {
  const MapSpec maps[] = {{"8", {1, 1, 1, 8}}, {"encoder.layers.encoder_layer_3", {1, 3, 3}}, {"a-b", {2}}};
  Frame frame = Frame::make(~std::uint64_t{0}, maps).value();
  frame.bits(0).data[0] = 0x80;
  for (std::size_t token = 0; token < 3; ++token)
    *frame.bits(1).pixel(token) = static_cast<std::uint8_t>(1u << token);
  frame.bits(2).data[0] = 0x02;
  frame.seal(~std::uint64_t{0});
  return frame;
}

/// The third test vector of docs/frame.md: discs that grow with the channel, every fifth one empty.
Frame coded_map(qcnet::Coding coding = qcnet::Coding::context) {
  const MapSpec maps[] = {{"layer2", {1, 4, 4, 9}}};
  Frame frame = Frame::make(0x0123456789ABCDEF, maps, coding).value();
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 4; ++x)
      for (int c = 0; c < 9; ++c)
        if (c % 5 != 4 && (2 * y - 3) * (2 * y - 3) + (2 * x - 3) * (2 * x - 3) <= (c + 2) * (c + 2)) {
          std::uint8_t& byte = frame.bits(0).pixel(static_cast<std::size_t>(4 * y + x))[c / 8];
          byte = static_cast<std::uint8_t>(byte | 1 << c % 8);
        }
  frame.seal(1, {640, 480});
  return frame;
}

/// The same maps and numbers as in `frame`, sealed anew.
Frame remade(const Frame& frame, qcnet::Coding coding) {
  std::vector<MapSpec> maps;
  for (std::size_t i = 0; i < frame.map_count(); ++i) maps.push_back({frame.name(i), frame.shape(i)});
  Frame made = Frame::make(frame.model_hash(), maps, coding).value();
  for (std::size_t i = 0; i < maps.size(); ++i) std::ranges::copy(frame.bits(i).bytes(), made.bits(i).data);
  made.seal(frame.sequence(), frame.picture());
  return made;
}

/// Parses `text` with its last four bytes replaced by the right checksum.
qcnet::Result<Frame> parse_resealed(std::string text) {
  const auto body = as_bytes(text).first(text.size() - 4);
  qcnet::store_le(text.data() + body.size(), qcnet::crc32c(body));
  return Frame::parse(as_bytes(text));
}

}  // namespace

TEST_CASE("frame: the test vectors of docs/frame.md, byte for byte") {
  const auto frames = hex_blocks(QCNET_TEST_DATA "/../docs/frame.md");
  REQUIRE(frames.size() == 4);  // the last one: entropy_models_test.cpp
  CHECK(text_of(documented_frame()) == frames[0]);
  CHECK(text_of(three_maps()) == frames[1]);
  CHECK(text_of(coded_map()) == frames[2]);
  // Written by tests/corpus/make.py, which knows nothing of the C++ code.
  CHECK(read_file(QCNET_TEST_DATA "/corpus/frame/one_map.frame") == frames[0]);
  CHECK(read_file(QCNET_TEST_DATA "/corpus/frame/three_maps.frame") == frames[1]);
  CHECK(read_file(QCNET_TEST_DATA "/corpus/frame/coded_one_map.frame") == frames[2]);
}

TEST_CASE("frame: what was sealed is what is parsed") {
  const Frame sent = three_maps();
  const Frame got = Frame::parse(sent.bytes()).value();
  CHECK(got.model_hash() == ~std::uint64_t{0});
  CHECK(got.sequence() == ~std::uint64_t{0});
  CHECK(got.picture() == qcnet::PictureSize{});
  CHECK(Frame::parse(documented_frame().bytes()).value().picture() == qcnet::PictureSize{640, 480});
  REQUIRE(got.map_count() == 3);
  CHECK(got.name(1) == "encoder.layers.encoder_layer_3");
  CHECK(got.shape(1) == Shape{1, 3, 3});
  for (std::size_t i = 0; i < 3; ++i) CHECK(std::ranges::equal(got.bits(i).bytes(), sent.bits(i).bytes()));
  CHECK(got.bits(1).get(2, 2));
  CHECK_FALSE(got.bits(1).get(2, 1));
  CHECK(text_of(got) == text_of(sent));
}

TEST_CASE("frame: copies and moves carry their own bytes") {
  Frame frame = documented_frame();
  Frame copy = frame;
  copy.bits(0).data[0] = 0;
  CHECK(frame.bits(0).data[0] == 1);
  const std::byte* memory = frame.bytes().data();
  const Frame moved = std::move(frame);
  CHECK(moved.bytes().data() == memory);
  CHECK(moved.name(0) == "layer2");
}

TEST_CASE("frame: writing bits and sealing allocate nothing") {
  const MapSpec maps[] = {{"layer2", {1, 28, 28, 512}}, {"layer3", {1, 14, 14, 1024}}};
  Frame frame = Frame::make(1, maps).value();
  const std::size_t before = allocations();
  for (std::uint64_t sequence = 1; sequence < 4; ++sequence) {
    for (std::size_t i = 0; i < frame.map_count(); ++i)
      std::ranges::fill(frame.bits(i).bytes(), std::uint8_t{0x55});
    frame.seal(sequence, {65535, 1});
  }
  CHECK(allocations() == before);
  CHECK(Frame::parse(frame.bytes()).value().sequence() == 3);
}

TEST_CASE("frame: every flipped bit, every truncation and every longer frame is refused") {
  for (const Frame& frame : {documented_frame(), three_maps(), coded_map()}) {
    const std::string good = text_of(frame);
    REQUIRE(Frame::parse(as_bytes(good)).ok());
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
      REQUIRE_FALSE(Frame::parse(as_bytes(bad)).ok());
    }
    for (std::size_t size = 0; size < good.size(); ++size) {
      REQUIRE_FALSE(Frame::parse(as_bytes(good).first(size)).ok());
      if (size >= 4) REQUIRE_FALSE(parse_resealed(good.substr(0, size)).ok());
    }
    CHECK_FALSE(Frame::parse(as_bytes(good + '\0')).ok());
    if (!frame.coded())
      CHECK_FALSE(parse_resealed(good + '\0').ok());  // else it may be the code of other bits
  }
}

TEST_CASE("frame: hostile headers under a right checksum") {
  const std::string good = text_of(documented_frame());
  const std::string map = good.substr(28, 24), bits = good.substr(52, 8), crc = "....";
  REQUIRE(good.size() == 64);
  const std::string max(4, '\xFF'), one("\1\0\0\0", 4), zero(4, '\0');
  const auto with = [&](std::size_t at, const std::string& bytes) {
    std::string bad = good;
    return bad.replace(at, bytes.size(), bytes);
  };
  const auto head = [&](char count) { return with(6, {count, '\0'}).substr(0, 28); };
  const struct {
    std::string frame, message;
  } cases[] = {
      {with(0, "QCNG"), "does not begin with QCNF"},
      {with(4, {7, 0}), "frame version 7 is not supported, this build reads versions 2 to 4"},
      {with(4, {3, 0}), "the frame's code has 8 bytes; for 8 bytes of bits that cannot be"},
      {with(4, {1, 0}), "frame version 1 is not supported"},
      {with(4, {2, 1}), "frame version 258 is not supported"},
      {with(24, {0, 0}), "a width or a height of 0"},
      {with(26, {0, 0}), "a width or a height of 0"},
      {with(6, {0, 0}), "a frame cannot carry 0 maps"},
      {with(6, {0, 1}), "a frame cannot carry 256 maps"},
      {with(6, {2, 0}), "map 1 of the frame: its name has characters other than"},
      {with(28, {0}), "its name has 0 characters"},
      {with(28, {65}), "its name has 65 characters"},
      {with(28, {64}), "ends within its header"},
      {with(29, "a/b"), "its name has characters other than"},
      {with(29, {'a', 0, 'b'}), "its name has characters other than"},
      {with(29, "\xC3\xA9"), "its name has characters other than"},
      {with(35, {0}), "it has 0 dimensions, not 1 to 4"},
      {with(35, {5}), "it has 5 dimensions, not 1 to 4"},
      {with(36, zero), "a dimension is zero"},
      {with(48, zero), "a dimension is zero"},
      {with(36, max + max + max + max), "is too large for this machine"},
      {with(36, max + one + one + one), wide_shapes ? "more than 1 GiB" : "is too large for this machine"},
      {with(40, "\3"), "has 64 bytes, its header asks for 68"},
      {with(48, "\x08"), "has 64 bytes, its header asks for 60"},
      {with(53, "\x02"), "map 'layer2' of the frame has padding bits that are not zero"},
      {with(59, "\x80"), "padding bits"},
      {head(2) + map + map + bits + bits + crc, "two maps named 'layer2'"},
      {good + "0", "has 65 bytes, its header asks for 64"},
      {good.substr(0, 31), "a frame cannot have 31 bytes"},
  };
  for (const auto& bad : cases) {
    CAPTURE(bad.message);
    const auto frame = parse_resealed(bad.frame);
    REQUIRE_FALSE(frame.ok());
    CHECK_MESSAGE(frame.error().message().find(bad.message) != std::string::npos, frame.error().message());
  }
  CHECK(Frame::parse({}).error().message() == "a frame cannot have 0 bytes");
  CHECK(Frame::parse(as_bytes(with(54, "\1"))).error().message().find("checksum") != std::string::npos);
}

TEST_CASE("frame: a small frame that asks for much memory gets none") {
  // 255 maps of the largest dimensions whose product passes for a shape
  std::string bad = text_of(documented_frame()).substr(0, 28);
  bad[6] = '\xFF';
  for (int i = 0; i < 255; ++i)
    bad += std::string("\2", 1) + "0123456789abcdef"[i / 16] + "0123456789abcdef"[i % 16] + "\2" +
           (wide_shapes ? std::string("\xFF\xFF\xFF\x1F\xFF\xFF\xFF\x1F", 8)
                        : std::string("\xFF\x3F\0\0\xFF\x3F\0\0", 8));
  const auto frame = parse_resealed(bad + "....");
  CHECK(frame.error().message() == "the frame's maps need more than 1 GiB");
}

TEST_CASE("frame: make refuses what the format cannot carry") {
  const auto message = [](const std::vector<MapSpec>& maps) {
    return Frame::make(0, maps).error().message();
  };
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  CHECK(has(message({}), "cannot carry 0 maps"));
  CHECK(has(message(std::vector<MapSpec>(256)), "cannot carry 256 maps"));
  CHECK(has(message({{"", {1}}}), "0 characters"));
  CHECK(has(message({{std::string(256 + 5, 'a'), {1}}}), "longer than 64"));
  CHECK(has(message({{"layer 2", {1}}}), "characters other than"));
  CHECK(has(message({{"a", {}}}), "0 dimensions"));
  CHECK(has(message({{"a", {1, 1, 1, 1, 1}}}), "5 dimensions"));
  CHECK(has(message({{"a", {1, 0, 4}}}), "a dimension is zero"));
  if constexpr (wide_shapes) {
    CHECK(has(message({{"a", {std::size_t{1} << 32}}}), "above 2^32 - 1"));
    CHECK(has(message({{"a", {1 << 20, 1 << 14}}}), "more than 1 GiB"));
  }
  CHECK(has(message({{"a", {1}}, {"b", {1}}, {"a", {2}}}), "two maps named 'a'"));
  CHECK(Frame::make(0, std::vector<MapSpec>{{std::string(64, 'a'), {1}}}).ok());
}

TEST_CASE("frame: coded frames of Python are read, and made anew byte for byte") {
  for (const char* name : {"coded_one_map", "coded_maps", "coded_zeros"}) {
    CAPTURE(name);
    const std::string file = read_file(QCNET_TEST_DATA "/corpus/frame/" + std::string(name) + ".frame");
    const Frame frame = Frame::parse(as_bytes(file)).value();
    CHECK(frame.coded());
    CHECK(text_of(frame) == file);
    CHECK(text_of(remade(frame, qcnet::Coding::context)) == file);
    const Frame plain = remade(frame, qcnet::Coding::none);
    CHECK_FALSE(plain.coded());
    CHECK(plain.bytes().size() > file.size());
    const Frame parsed = Frame::parse(plain.bytes()).value();
    for (std::size_t i = 0; i < frame.map_count(); ++i)
      CHECK(std::ranges::equal(parsed.bits(i).bytes(), frame.bits(i).bytes()));
  }
}

TEST_CASE("frame: bits that coding makes no shorter are sent as they are") {
  const MapSpec maps[] = {{"a", {1, 8, 8, 16}}};
  Frame frame = Frame::make(1, maps, qcnet::Coding::context).value();
  std::uint32_t random = 1;
  for (std::uint8_t& byte : frame.bits(0).bytes()) {
    random = random * 1664525 + 1013904223;
    byte = static_cast<std::uint8_t>(random >> 24);
  }
  frame.seal(1);
  CHECK_FALSE(frame.coded());
  CHECK(text_of(frame) == text_of(remade(frame, qcnet::Coding::none)));
  CHECK(Frame::parse(frame.bytes()).ok());
  std::ranges::fill(frame.bits(0).bytes(), std::uint8_t{0});
  frame.seal(2);
  CHECK(frame.coded());
  CHECK(frame.bytes().size() == 28 + 19 + 128 / 16 + 4);
  CHECK(Frame::parse(frame.bytes()).value().sequence() == 2);
}

TEST_CASE("frame: what parsing refuses cannot be sealed, in either form") {
  const MapSpec maps[] = {{"a", {1, 2, 2, 9}}};
  for (const auto coding : {qcnet::Coding::none, qcnet::Coding::context}) {
    Frame frame = Frame::make(1, maps, coding).value();
    CHECK_THROWS_WITH(frame.seal(1, {640, 0}),
                      "the frame's picture has a width or a height of 0 pixels, not both");
    frame.bits(0).pixel(3)[1] = 2;  // a tenth channel
    CHECK_THROWS_WITH(frame.seal(1), "map 'a' of the frame has padding bits that are not zero");
    frame.bits(0).pixel(3)[1] = 1;
    frame.seal(1);
    CHECK(Frame::parse(frame.bytes()).ok());
  }
}

TEST_CASE("frame: a parsed frame can be sealed again, in the form it came in") {
  Frame frame = Frame::parse(coded_map().bytes()).value();
  frame.seal(1, {640, 480});
  CHECK(text_of(frame) == text_of(coded_map()));
  std::uint8_t random = 1;
  for (std::uint8_t& byte : frame.bits(0).bytes()) byte = random = static_cast<std::uint8_t>(random * 5 + 1);
  for (std::size_t pixel = 0; pixel < 16; ++pixel) frame.bits(0).pixel(pixel)[1] &= 1;
  frame.seal(2, {640, 480});
  CHECK(text_of(frame) == text_of(remade(frame, qcnet::Coding::context)));
}

TEST_CASE("frame: coding allocates nothing") {
  const MapSpec maps[] = {{"layer2", {1, 28, 28, 64}}, {"layer3", {1, 14, 14, 32}}};
  Frame frame = Frame::make(1, maps, qcnet::Coding::context).value();
  const std::size_t before = allocations();
  for (std::uint64_t sequence = 1; sequence < 4; ++sequence) {
    for (std::size_t i = 0; i < frame.map_count(); ++i)
      std::ranges::fill(frame.bits(i).bytes(), std::uint8_t{0x55});
    frame.seal(sequence);
  }
  CHECK(allocations() == before);
  CHECK(frame.coded());
  CHECK(Frame::parse(frame.bytes()).value().sequence() == 3);
}

TEST_CASE("frame: hostile codes under a right checksum") {
  const std::string good = text_of(coded_map());
  const std::size_t code_at = 28 + 24;  // 9 or so bytes of code follow
  const std::string header = good.substr(0, code_at), code = good.substr(code_at, good.size() - code_at - 4);
  const auto message = [&](const std::string& bytes) {
    const auto frame = parse_resealed(header + bytes + "....");
    return frame.ok() ? std::string() : frame.error().message();
  };
  REQUIRE(message(code).empty());
  const char* not_one = "the frame's code is not the code of any bits";
  for (std::size_t size = 2; size < code.size(); ++size) CHECK(message(code.substr(0, size)) == not_one);
  CHECK(message(code + '\0') == not_one);
  CHECK(message(std::string(31, '\xFF')) == not_one);
  for (const std::size_t size : {0u, 1u, 32u, 33u, 1000u})
    CHECK(message(std::string(size, 'x')) ==
          "the frame's code has " + std::to_string(size) + " bytes; for 32 bytes of bits that cannot be");
  // A code that is not refused is the one code of its bits.
  std::size_t accepted = 0;
  for (std::size_t bit = 0; bit < code.size() * 8; ++bit) {
    std::string bad = code;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    const auto frame = parse_resealed(header + bad + "....");
    if (!frame.ok()) continue;
    ++accepted;
    CHECK(text_of(remade(*frame, qcnet::Coding::context)) == text_of(*frame));
  }
  CHECK(accepted < code.size() * 8);
}

TEST_CASE("frame: of another model than expected it is not decoded") {
  const Frame frame = coded_map();
  CHECK(Frame::parse(frame.bytes(), {.model_hash = 0x0123456789ABCDEF}).ok());
  CHECK(Frame::parse(frame.bytes(), {.model_hash = 1}).error().message() ==
        "the frame comes from another model: its hash is 0123456789abcdef, expected 0000000000000001");
}

TEST_CASE("frame: a little code does not make much of bits") {
  // Half a GiB of bits asks for 32 MiB of code, or each for a sixteenth of that.
  std::string bad = text_of(coded_map());
  qcnet::store_le(bad.data() + 36, std::uint32_t{1} << (wide_shapes ? 24 : 20));
  CHECK(parse_resealed(bad).error().message().find("bytes of bits that cannot be") != std::string::npos);
  const Frame frame = coded_map();
  const std::uint64_t uncoded = coded_map(qcnet::Coding::none).bytes().size();
  CHECK(Frame::parse(frame.bytes(), {.longest = uncoded}).ok());
  CHECK(Frame::parse(frame.bytes(), {.longest = uncoded - 1}).error().message() ==
        "the frame's header asks for 88 bytes, at most 87 are allowed");
}
