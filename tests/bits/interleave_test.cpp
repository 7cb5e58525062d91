#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include <qcnet/bits/interleave.hpp>

#include <doctest/doctest.h>
#include <support.hpp>

using qcnet::Interleaving;

namespace {

using Bytes = std::vector<std::uint8_t>;

bool bit(const Bytes& bytes, std::size_t at) {
  return (bytes[at / 8] >> at % 8 & 1u) != 0;
}

/// Where interleaved bits come from, by the definition.
std::vector<std::size_t> places(std::size_t bytes) {
  const std::uint64_t bits = 8 * bytes;
  std::uint64_t step = bits * 40503 / 65536;
  while (std::gcd(step, bits) != 1) ++step;
  std::vector<std::size_t> found;
  for (std::uint64_t t = 0; t < bits; ++t) found.push_back(static_cast<std::size_t>(t * step % bits));
  return found;
}

}  // namespace

TEST_CASE("interleave: every bit once and where its definition says, from whichever byte one begins") {
  for (std::size_t size = 1; size < 130; ++size) {
    CAPTURE(size);
    const Interleaving order(size);
    REQUIRE(order.bytes() == size);
    const std::vector<std::size_t> from = places(size);
    std::vector<std::size_t> sorted = from;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t t = 0; t < sorted.size(); ++t) REQUIRE(sorted[t] == t);

    const qcnet::Bitplane random = qcnet::test::random_bits({size, 8}, static_cast<std::uint32_t>(size));
    const Bytes bits(random.bytes().begin(), random.bytes().end());
    for (const std::size_t first : {std::size_t{0}, size / 3, size / 2, size - 1, size}) {
      Bytes gathered(size - first), back(size);
      order.gather(bits, first, gathered);
      for (std::size_t t = 8 * first; t < 8 * size; ++t)
        REQUIRE(bit(gathered, t - 8 * first) == bit(bits, from[t]));
      order.scatter(gathered, first, back);
      for (std::size_t t = 0; t < 8 * size; ++t)
        REQUIRE(bit(back, from[t]) == (t >= 8 * first && bit(bits, from[t])));
    }
  }
}

TEST_CASE("interleave: a run lies evenly over the rows and over the channels of a map") {
  struct Map {
    std::size_t height, width, channels;
  };
  for (const Map& map : {Map{32, 32, 16}, Map{16, 16, 32}, Map{8, 8, 80}, Map{28, 28, 512}, Map{26, 26, 64},
                         Map{14, 14, 16}, Map{7, 7, 32}, Map{1, 65, 128}}) {
    const std::size_t row = map.width * map.channels, bytes = map.height * row / 8;
    const std::vector<std::size_t> from = places(bytes);
    CAPTURE(map.height);
    CAPTURE(map.channels);
    for (std::size_t packets = 2; packets <= 23; ++packets) {
      CAPTURE(packets);
      for (std::size_t p = 0; p < packets; ++p) {
        std::vector<double> of_row(map.height), of_channel(map.channels);
        const std::size_t first = 8 * (p * bytes / packets), last = 8 * ((p + 1) * bytes / packets);
        for (std::size_t t = first; t < last; ++t) {
          ++of_row[from[t] / row];
          ++of_channel[from[t] % map.channels];
        }
        // Next to what there would be if all were equal.
        const double share = static_cast<double>(last - first) / static_cast<double>(8 * bytes);
        for (const double n : of_row) REQUIRE(std::fabs(n - share * static_cast<double>(row)) < 7.501);
        for (const double n : of_channel)
          REQUIRE(std::fabs(n - share * static_cast<double>(8 * bytes / map.channels)) < 1.001);
      }
    }
  }
}
