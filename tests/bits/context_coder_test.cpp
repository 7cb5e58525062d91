#include "allocations.hpp"
#include "round_trip.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include <qcnet/bits/context_coder.hpp>
#include <qcnet/core/crc32c.hpp>

#include <doctest/doctest.h>
#include <support.hpp>

using namespace qcnet;
using Bytes = std::vector<std::uint8_t>;

namespace {

/// Blobs, as features have them: channel c is a disc that grows with c, with some noise.
Bitplane blobs(const Shape& shape, std::uint32_t seed) {
  std::mt19937 engine(seed);
  Bitplane map(shape);
  const bits::CodingGrid grid = bits::CodingGrid::of(shape);
  for (std::size_t pixel = 0; pixel < shape.pixels(); ++pixel)
    for (std::size_t c = 0; c < shape.channels(); ++c) {
      const std::size_t place = pixel % (grid.lead + grid.height * grid.width);
      const std::size_t y = place / grid.width, x = place % grid.width;
      const std::size_t dy = y < 5 ? 5 - y : y - 5, dx = x < 5 ? 5 - x : x - 5;
      map.set(pixel, c, (dy * dy + dx * dx < c % 40) != (engine() % 16 == 0));
    }
  return map;
}

/// Awkward shapes: pixels, channels and tokens that fill no byte, no chunk, no square.
std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (const std::size_t channels : test::Sizes{1, 3, 8, 31, 33, 64, 255})
    for (const Shape& shape :
         {Shape{1, 1, 1, channels}, Shape{1, 1, 7, channels}, Shape{1, 65, 1, channels},
          Shape{1, 3, 130, channels}, Shape{2, 5, 6, channels}, Shape{1, 16, 16, channels},
          Shape{1, 2, channels}, Shape{1, 37, channels}, Shape{2, 64, channels}, Shape{3, 11, channels},
          Shape{12, channels}, Shape{channels}, Shape{0, 4, 4, channels}, Shape{2, 0, channels}})
      all.push_back(shape);
  return all;
}

std::vector<Bitplane> maps_of(const Shape& shape) {
  Bitplane ones(shape);
  for (std::size_t i = 0; i < shape.elements(); ++i)
    ones.set(i / shape.channels(), i % shape.channels(), true);
  return {Bitplane(shape), ones, test::random_bits(shape, 1), blobs(shape, 2)};
}

}  // namespace

TEST_CASE("context_coder: every map comes back, and nothing is written outside it") {
  for (const Shape& shape : shapes())
    for (const Bitplane& map : maps_of(shape)) {
      CAPTURE(shape.to_string());
      REQUIRE(test::decodes(test::code_of(map), map));
    }
}

TEST_CASE("context_coder: structure takes less than a bit, chance hardly more, nothing nearly nothing") {
  const Shape shape{1, 32, 32, 16};  // 2048 bytes
  CHECK(test::code_of(Bitplane(shape)).size() < 32);
  CHECK(test::code_of(blobs(shape, 1)).size() < 1100);
  CHECK(test::code_of(test::random_bits(shape, 1)).size() < 2200);
}

TEST_CASE("context_coder: tokens of a square are rows, a class token stands by itself") {
  const auto grid = [](const Shape& shape) {
    const bits::CodingGrid g = bits::CodingGrid::of(shape);
    return std::vector<std::size_t>{g.images, g.lead, g.height, g.width};
  };
  using Four = std::vector<std::size_t>;
  CHECK(grid({3, 5, 7, 2}) == Four{3, 0, 5, 7});
  CHECK(grid({3, 197, 2}) == Four{3, 1, 14, 14});
  CHECK(grid({3, 196, 2}) == Four{3, 0, 14, 14});
  CHECK(grid({3, 198, 2}) == Four{3, 0, 1, 198});
  CHECK(grid({10, 2}) == Four{1, 1, 3, 3});
  CHECK(grid({2}) == Four{1, 0, 1, 1});
  // The same map in other words has the same code.
  const Bitplane image = blobs({1, 14, 14, 24}, 3);
  CHECK(test::code_of(image) == test::code_of(ConstBitplaneView(image.bytes().data(), {1, 196, 24})));
}

TEST_CASE("context_coder: several maps have one code, each as if it were the first") {
  const std::vector<Bitplane> maps = {blobs({1, 9, 9, 20}, 1), Bitplane({1, 1, 1, 3}), blobs({1, 26, 5}, 2)};
  Bytes code(4096);
  bits::RangeEncoder encoder(code);
  std::size_t apart = 0;
  for (const Bitplane& map : maps) {
    encode_bits(map, encoder);
    apart += test::code_of(map).size();
  }
  code.resize(encoder.finish());
  CHECK(code.size() <= apart);
  CHECK(code.size() + maps.size() >= apart);
  bits::RangeDecoder decoder(code);
  for (const Bitplane& map : maps) {
    Bitplane read(map.shape());
    decode_bits(decoder, read);
    CHECK(std::ranges::equal(read.bytes(), map.bytes()));
  }
  CHECK(decoder.finish());
}

TEST_CASE("context_coder: the format is what it was") {
  // Checksums of codes; they are the same for every compiler, processor and instruction set.
  const struct {
    Shape shape;
    std::size_t size;
    std::uint32_t crc;
  } known[] = {{{1, 32, 32, 16}, 762, 872640869},
               {{2, 13, 70, 33}, 2779, 3044079519},
               {{1, 197, 255}, 2946, 398873884}};
  for (const auto& k : known) {
    const Bytes code = test::code_of(blobs(k.shape, 7));
    CAPTURE(k.shape.to_string());
    CHECK(code.size() == k.size);
    CHECK(crc32c(std::as_bytes(std::span(code))) == k.crc);
  }
}

TEST_CASE("context_coder: any bytes give a map, and are accepted only where they are its code") {
  std::mt19937 engine(5);
  for (const Shape& shape : {Shape{1, 5, 5, 9}, Shape{1, 17, 12}, Shape{1, 1, 1, 1}}) {
    const Bytes good = test::code_of(blobs(shape, 6));
    std::vector<Bytes> cases;
    for (std::size_t size = 0; size < good.size(); ++size)
      cases.emplace_back(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    for (int i = 0; i < 300 && !good.empty(); ++i) {
      cases.push_back(good);
      auto& byte = cases.back()[engine() % good.size()];
      byte = static_cast<std::uint8_t>(byte ^ 1u << engine() % 8);
    }
    for (const std::size_t size : {0u, 1u, 7u, 100u, 5000u}) {
      cases.emplace_back(size, std::uint8_t{0xFF});
      cases.emplace_back(size, std::uint8_t{0});
      cases.emplace_back(size);
      for (auto& byte : cases.back()) byte = static_cast<std::uint8_t>(engine());
    }
    for (const Bytes& bytes : cases) {
      bits::RangeDecoder decoder(bytes);
      Bitplane read(shape);
      decode_bits(decoder, read);
      REQUIRE(padding_is_zero(read));
      REQUIRE(decoder.finish() == (test::code_of(read) == bytes));
    }
  }
}

TEST_CASE("context_coder: nothing is allocated") {
  const Bitplane map = blobs({1, 16, 16, 64}, 1);
  Bitplane read(map.shape());
  Bytes code(map.bytes().size());
  const std::size_t before = allocations();
  bits::RangeEncoder encoder(code);
  encode_bits(map, encoder);
  bits::RangeDecoder decoder(std::span<const std::uint8_t>(code).first(encoder.finish()));
  decode_bits(decoder, read);
  CHECK(allocations() == before);
  CHECK(decoder.finish());
  CHECK(std::ranges::equal(read.bytes(), map.bytes()));
}
