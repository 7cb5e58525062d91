#include <algorithm>
#include <random>
#include <vector>

#include <qcnet/core/bitplane.hpp>

#include <doctest/doctest.h>

using qcnet::Bitplane;
using qcnet::Shape;

TEST_CASE("bitplane: channel c is bit c % 8 of byte c / 8, each pixel starts on a byte") {
  Bitplane bits(Shape{1, 1, 2, 9});
  bits.set(0, 1, true);
  bits.set(0, 8, true);
  bits.set(1, 7, true);
  const std::uint8_t expected[] = {0x02, 0x01, 0x80, 0x00};
  CHECK(std::equal(bits.bytes().begin(), bits.bytes().end(), std::begin(expected), std::end(expected)));
}

TEST_CASE("bitplane: what is set is read back and the padding stays zero") {
  std::mt19937 random(1);
  for (const std::size_t channels : {1u, 3u, 7u, 8u, 9u, 31u, 32u, 33u, 63u, 64u, 65u}) {
    CAPTURE(channels);
    const Shape shape{1, 3, 2, channels};
    Bitplane bits(shape);
    REQUIRE(bits.bytes().size() == 6 * ((channels + 7) / 8));
    REQUIRE(qcnet::packed_bytes(channels) == (channels + 7) / 8);
    std::vector<bool> expected(shape.elements());
    for (int round = 0; round < 4; ++round)  // setting and clearing
      for (std::size_t i = 0; i < expected.size(); ++i) {
        expected[i] = (random() & 1) != 0;
        bits.set(i / channels, i % channels, expected[i]);
      }
    for (std::size_t i = 0; i < expected.size(); ++i)
      REQUIRE(bits.get(i / channels, i % channels) == expected[i]);
    REQUIRE(qcnet::padding_is_zero(bits));
    REQUIRE(qcnet::count_set(bits) ==
            static_cast<std::size_t>(std::count(expected.begin(), expected.end(), true)));

    // Every single bit of the last byte of every pixel: padding is found, channels are not taken for it.
    const Bitplane empty(shape);
    for (std::size_t pixel = 0; pixel < shape.pixels(); ++pixel)
      for (std::size_t bit = 0; bit < 8; ++bit) {
        Bitplane one = empty;
        one.view().pixel(pixel)[one.view().pixel_bytes() - 1] = static_cast<std::uint8_t>(1u << bit);
        const std::size_t channel = (channels - 1) / 8 * 8 + bit;
        REQUIRE(qcnet::padding_is_zero(one) == (channel < channels));
      }
  }
}

TEST_CASE("bitplane: a map without elements is no trouble") {
  CHECK(qcnet::padding_is_zero(Bitplane(Shape{0, 2, 2, 9})));
  CHECK(Bitplane(Shape{2, 2, 0}).bytes().empty());
  CHECK(Bitplane().bytes().empty());
}

TEST_CASE("bitplane: what was moved away, and a view of nothing, have no bits") {
  qcnet::Bitplane from({1, 2, 3, 9});
  const qcnet::Bitplane to = std::move(from);
  CHECK(to.bytes().size() == 12);
  CHECK(from.shape() == qcnet::Shape{0});
  CHECK(from.bytes().empty());
  from = to;
  CHECK(from.shape() == to.shape());
  CHECK(count_set(qcnet::ConstBitplaneView()) == 0);
  CHECK(padding_is_zero(qcnet::ConstBitplaneView()));
}
