#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include <qcnet/bits/pack.hpp>
#include <qcnet/bits/reference.hpp>

#include <doctest/doctest.h>
#include <support.hpp>

using namespace qcnet;

TEST_CASE("pack: equals the plain loop for every shape, padding zero, nothing written outside") {
  for (const std::size_t channels : {1u,  2u,  3u,  7u,  8u,  9u,  15u, 16u, 17u,  21u,  24u,  31u,
                                     32u, 33u, 40u, 48u, 63u, 64u, 65u, 96u, 127u, 256u, 264u, 520u})
    for (const Shape& shape : {Shape{1, 1, 1, channels}, Shape{0, 3, 5, channels}, Shape{1, 1, 19, channels},
                               Shape{2, 7, 5, channels}, Shape{3, 13, channels}}) {
      CAPTURE(shape.to_string());
      const Tensor map = test::random_tensor(shape, 1);
      const std::vector<float> thresholds = test::random_values(channels, 2);
      const std::size_t size = shape.pixels() * packed_bytes(channels), guard = 64;
      std::vector<std::uint8_t> memory(size + 2 * guard, 0xA5);
      const BitplaneView out(memory.data() + guard, shape);
      binarize_into(map, thresholds, out);
      const Bitplane expected = bits::reference::binarize(map, thresholds);
      REQUIRE(std::equal(expected.bytes().begin(), expected.bytes().end(), out.data));
      REQUIRE(padding_is_zero(out));
      for (std::size_t i = 0; i < guard; ++i) {
        REQUIRE(memory[i] == 0xA5);
        REQUIRE(memory[guard + size + i] == 0xA5);
      }
    }
}

TEST_CASE("pack: a threshold for each feature of an image") {
  test::for_image_features([](const Shape& shape, std::size_t features) {
    const Tensor map = test::random_tensor(shape, 5);
    const std::vector<float> thresholds = test::random_values(features, 6);
    const Bitplane made = binarize(map, thresholds);
    const Bitplane expected = bits::reference::binarize(map, thresholds);
    REQUIRE(std::equal(expected.bytes().begin(), expected.bytes().end(), made.bytes().begin()));
  });
  Bitplane bits({2, 3, 8});
  for (const std::size_t wrong : {0u, 7u, 9u, 16u, 48u})
    CHECK_THROWS_AS((binarize_into(Tensor({2, 3, 8}), std::vector<float>(wrong), bits)), std::runtime_error);
}

TEST_CASE("pack: the comparison is strict; NaN, infinities and signed zeros against any threshold") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  // 32-bit ARM's NEON takes denormal numbers for 0.
  constexpr bool denormals = !QCNET_ISA_NEON || sizeof(void*) > 4;
  const float least =
      denormals ? std::numeric_limits<float>::denorm_min() : std::numeric_limits<float>::min();
  const float special[] = {nan, -nan, inf, -inf, 0.0f, -0.0f, 1.0f, -1.0f, least};
  for (const float threshold : {0.0f, -0.0f, 1.0f, inf, -inf, nan})
    for (const std::size_t channels : {1u, 9u, 32u, 33u}) {
      Tensor map({5, 11, channels});
      for (std::size_t i = 0; i < map.span().size(); ++i) map[i] = special[i % std::size(special)];
      const Bitplane bits = binarize(map, std::vector<float>(channels, threshold));
      for (std::size_t i = 0; i < map.span().size(); ++i)
        REQUIRE(bits.get(i / channels, i % channels) == (map[i] > threshold));
      REQUIRE(padding_is_zero(bits));
    }
  CHECK(binarize(Tensor({1, 1}), std::vector<float>{-0.0f}).get(0, 0) == false);
}

TEST_CASE("pack: the same bits for one thread and two") {
  const Tensor map = test::random_tensor({1, 61, 59, 40}, 3);
  const std::vector<float> thresholds = test::random_values(40, 4);
  const Bitplane expected = bits::reference::binarize(map, thresholds);
  for (const int count : {1, 2}) {
    const test::Threads threads(count);
    const Bitplane bits = binarize(map, thresholds);
    CHECK(std::equal(bits.bytes().begin(), bits.bytes().end(), expected.bytes().begin()));
  }
}
