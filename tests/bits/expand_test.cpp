#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#include <qcnet/bits/expand.hpp>
#include <qcnet/bits/reference.hpp>

#include <doctest/doctest.h>
#include <support.hpp>

using namespace qcnet;

TEST_CASE("expand: equals the plain loop for every shape, nothing written outside") {
  for (const std::size_t channels : {1u,  2u,  3u,  7u,  8u,  9u,  15u, 16u, 17u,  21u,  24u,  31u,
                                     32u, 33u, 40u, 48u, 63u, 64u, 65u, 96u, 127u, 256u, 264u, 520u})
    for (const Shape& shape : {Shape{1, 1, 1, channels}, Shape{0, 3, 5, channels}, Shape{1, 1, 19, channels},
                               Shape{2, 7, 5, channels}, Shape{3, 13, channels}}) {
      CAPTURE(shape.to_string());
      const Bitplane bits = test::random_bits(shape, 1);
      const std::vector<float> low = test::random_values(channels, 2),
                               high = test::random_values(channels, 3);
      const std::size_t guard = 16;
      std::vector<float> memory(shape.elements() + 2 * guard, 12345.0f);
      expand_into(bits, low, high, TensorView(memory.data() + guard, shape));
      const Tensor expected = bits::reference::expand(bits, low, high);
      REQUIRE(std::equal(expected.span().begin(), expected.span().end(), memory.data() + guard));
      for (std::size_t i = 0; i < guard; ++i) {
        REQUIRE(memory[i] == 12345.0f);
        REQUIRE(memory[guard + shape.elements() + i] == 12345.0f);
      }
    }
}

TEST_CASE("expand: levels for each feature of an image") {
  test::for_image_features([](const Shape& shape, std::size_t features) {
    const Bitplane bits = test::random_bits(shape, 1);
    const std::vector<float> low = test::random_values(features, 2), high = test::random_values(features, 3);
    Tensor map(shape);
    expand_into(bits, low, high, map);
    CHECK(test::identical(map, bits::reference::expand(bits, low, high)));
  });
  Tensor map({2, 3, 8});
  const std::vector<float> channel(8), feature(24);
  CHECK_THROWS_AS((expand_into(Bitplane({2, 3, 8}), channel, feature, map)), std::runtime_error);
  CHECK_THROWS_AS((expand_into(Bitplane({2, 3, 8}), feature, channel, map)), std::runtime_error);
  const std::vector<float> wrong(16);
  CHECK_THROWS_AS((expand_into(Bitplane({2, 3, 8}), wrong, wrong, map)), std::runtime_error);
}

TEST_CASE("expand: bits that did not arrive give the middle of their levels, whatever they say") {
  test::for_image_features([](const Shape& shape, std::size_t features) {
    const Bitplane bits = test::random_bits(shape, 1);
    for (const std::size_t count : {features, shape.channels()}) {
      const std::vector<float> low = test::random_values(count, 2), high = test::random_values(count, 3);
      Tensor map(shape), whole(shape);
      for (const Bitplane& received : {test::random_bits(shape, 4), Bitplane(shape)}) {
        expand_into(bits, received, low, high, map);
        CHECK(test::identical(map, bits::reference::expand(bits, received, low, high)));
      }
      expand_into(bits, bits::reference::all_received(shape), low, high, map);
      expand_into(bits, low, high, whole);
      CHECK(test::identical(map, whole));
    }
  });
  Tensor map({2, 3, 8});
  const std::vector<float> level(8);
  CHECK_THROWS_AS((expand_into(Bitplane({2, 3, 8}), Bitplane({2, 2, 8}), level, level, map)),
                  std::runtime_error);
}

TEST_CASE("expand: the middle of two levels is finite where their sum is not") {
  const std::vector<float> low = {2e38f}, high = {3e38f};
  Tensor map({1, 1});
  expand_into(Bitplane({1, 1}), Bitplane({1, 1}), low, high, map);
  CHECK(map[0] == 2.5e38f);
}

TEST_CASE("expand: levels arrive untouched: -0, infinities and the payload of a NaN") {
  const std::uint32_t patterns[] = {0x80000000u, 0x7F800000u, 0xFF800000u,
                                    0x7FC12345u, 0x00000001u, 0xFFC54321u};
  for (const std::size_t channels : {1u, 5u, 32u, 37u}) {
    std::vector<float> low(channels), high(channels);
    for (std::size_t c = 0; c < channels; ++c) {
      std::memcpy(&low[c], &patterns[c % 6], 4);
      std::memcpy(&high[c], &patterns[(c + 1) % 6], 4);
    }
    const Bitplane bits = test::random_bits({7, channels}, 5);
    Tensor map(bits.shape());
    expand_into(bits, low, high, map);
    for (std::size_t i = 0; i < map.span().size(); ++i) {
      const float& level = bits.get(i / channels, i % channels) ? high[i % channels] : low[i % channels];
      REQUIRE(std::memcmp(&map[i], &level, 4) == 0);
    }
  }
}

TEST_CASE("expand: the same map for one thread and two, and binarizing it gives the bits back") {
  const Bitplane bits = test::random_bits({1, 61, 59, 40}, 6);
  const std::vector<float> low(40, -1.0f), high(40, 1.0f);
  const Tensor expected = bits::reference::expand(bits, low, high);
  for (const int count : {1, 2}) {
    const test::Threads threads(count);
    Tensor map(bits.shape());
    expand_into(bits, low, high, map);
    CHECK(test::identical(map, expected));
  }
  const Bitplane again = bits::reference::binarize(expected, std::vector<float>(40, 0.0f));
  CHECK(std::equal(bits.bytes().begin(), bits.bytes().end(), again.bytes().begin()));
}
