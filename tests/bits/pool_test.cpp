#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include <qcnet/bits/pack.hpp>
#include <qcnet/bits/pool.hpp>
#include <qcnet/bits/reference.hpp>
#include <qcnet/kernels/pool.hpp>

#include <doctest/doctest.h>
#include <support.hpp>

using namespace qcnet;

namespace {

std::vector<ConvGeometry> geometries() {
  std::vector<ConvGeometry> all = {ConvGeometry::square(2, 2), ConvGeometry::square(3, 2, 1),
                                   ConvGeometry::darknet_pool(2, 1), ConvGeometry::square(1, 2)};
  all.push_back(ConvGeometry::square(3, 1, 2));
  all.back().dilation_h = 2;
  return all;
}

}  // namespace

TEST_CASE("bits max_pool: equals the plain loop, nothing written outside, for one thread and two") {
  for (const ConvGeometry& g : geometries())
    for (const std::size_t channels : {1u, 8u, 31u, 33u, 64u, 127u, 256u})
      for (const Shape& in : {Shape{1, 5, 7, channels}, Shape{2, 6, 9, channels}, Shape{0, 5, 5, channels}})
        for (const int count : {1, 2}) {
          const test::Threads threads(count);
          const Bitplane map = test::random_bits(in, 1);
          const Bitplane expected = bits::reference::max_pool(g, map);
          const std::size_t size = expected.bytes().size(), guard = 64;
          std::vector<std::uint8_t> memory(size + 2 * guard, 0xA5);
          const BitplaneView out(memory.data() + guard, expected.shape());
          bits::max_pool(g, map, out);
          REQUIRE(std::equal(expected.bytes().begin(), expected.bytes().end(), out.data));
          REQUIRE(padding_is_zero(out));
          for (std::size_t i = 0; i < guard; ++i) {
            REQUIRE(memory[i] == 0xA5);
            REQUIRE(memory[guard + size + i] == 0xA5);
          }
        }
}

TEST_CASE("bits max_pool: a map that is large enough for two threads") {
  const ConvGeometry g = ConvGeometry::square(3, 2, 1);
  const Bitplane map = test::random_bits({2, 41, 40, 256}, 2);
  Bitplane out(g.output(map.shape(), 256).value());
  for (const int count : {1, 2, 3}) {
    const test::Threads threads(count);
    bits::max_pool(g, map, out);
    const Bitplane expected = bits::reference::max_pool(g, map);
    REQUIRE(std::equal(expected.bytes().begin(), expected.bytes().end(), out.bytes().begin()));
  }
}

TEST_CASE("bits max_pool: pooling and comparing change places") {
  const Tensor map = test::random_tensor({2, 12, 10, 40}, 1);
  const std::vector<float> thresholds = test::random_values(40, 2);
  for (const ConvGeometry& g : geometries()) {
    Tensor pooled(g.output(map.shape(), 40).value());
    kernels::max_pool(g, map, pooled);
    const Bitplane expected = binarize(pooled, thresholds);
    Bitplane made(pooled.shape());
    bits::max_pool(g, binarize(map, thresholds), made);
    CHECK(std::equal(expected.bytes().begin(), expected.bytes().end(), made.bytes().begin()));
  }
  Bitplane wrong({2, 6, 6, 40});
  CHECK_THROWS_AS(bits::max_pool(ConvGeometry::square(2, 2), Bitplane({2, 12, 10, 40}), wrong),
                  std::runtime_error);
}
