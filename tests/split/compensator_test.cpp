#include "support.hpp"

#include <vector>

#include <qcnet/bits/reference.hpp>
#include <qcnet/split/compensator.hpp>

using namespace qcnet;

TEST_CASE("plain dequantization gives each bit its channel's level") {
  for (const std::size_t channels : {1ul, 7ul, 8ul, 20ul, 33ul, 64ul}) {
    CAPTURE(channels);
    const Shape shape{1, 3, 5, channels};
    Bitplane bits(shape);
    for (std::size_t p = 0; p < 15; ++p)
      for (std::size_t c = 0; c < channels; ++c) bits.set(p, c, (p * 7 + c * 3) % 5 < 2);
    Dequantizer dequantizer({{}, test::random_values(channels, 1), test::random_values(channels, 2)});
    Tensor map(shape);
    dequantizer.reconstruct_into(bits, map);
    const std::vector<float> low = test::random_values(channels, 1), high = test::random_values(channels, 2);
    bool same = true;
    for (std::size_t p = 0; p < 15; ++p)
      for (std::size_t c = 0; c < channels; ++c)
        same = same && map[p * channels + c] == (bits.get(p, c) ? high[c] : low[c]);
    CHECK(same);

    const Bitplane received = test::random_bits(shape, 3);
    dequantizer.reconstruct_into(bits, received, map);
    CHECK(test::identical(map, bits::reference::expand(bits, received, low, high)));
    CHECK(dequantizer.kind() == "dequantizer");
    CHECK(dequantizer.multiply_adds() == 0);
  }
}
