#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <qcnet/bits/count_thresholds.hpp>

#include <doctest/doctest.h>
#include <support.hpp>

using namespace qcnet;
using bits::count_threshold;
using bits::CountThreshold;
using bits::CountThresholds;

namespace {

constexpr float infinite = std::numeric_limits<float>::infinity(),
                not_a_number = std::numeric_limits<float>::quiet_NaN();

// The number of counts for which the two comparisons differ.
std::size_t differences(float scale, float bias, float threshold, std::int32_t most) {
  const CountThreshold made = count_threshold(scale, bias, threshold, most);
  std::size_t different = 0;
  for (std::int32_t count = -most; count <= most; ++count)
    if (made(count) != (bits::scale_count(scale, count, bias) > threshold)) ++different;
  return different;
}

}  // namespace

TEST_CASE("count_thresholds: the bit of the float comparison, for every count") {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const std::int32_t most : {0, 1, 2, 9, 576, 2304, 40000})
    for (int i = 0; i < (most > 10000 ? 40 : 400); ++i) {
      const float scale = normal(random) * std::ldexp(1.0f, static_cast<int>(random() % 12) - 8);
      const float bias = normal(random) * 5.0f;
      // Half of the thresholds are met exactly, or missed by the last bit.
      float threshold = normal(random) * 20.0f;
      if (i % 2 == 0) {
        const auto count =
            static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(2 * most + 1)) - most;
        threshold = bits::scale_count(scale, count, bias);
        if (i % 4 == 0) threshold = std::nextafter(threshold, i % 8 == 0 ? infinite : -infinite);
      }
      CAPTURE(scale);
      CAPTURE(bias);
      CAPTURE(threshold);
      REQUIRE(differences(scale, bias, threshold, most) == 0);
    }
}

TEST_CASE("count_thresholds: zero, infinities, NaN, and scales that vanish beside the bias") {
  const float values[] = {0.0f,   -0.0f, 1.0f,   -1.0f,  0.5f,     -3.25f,    1e-30f,
                          -1e30f, 3e38f, -3e38f, 1e-45f, infinite, -infinite, not_a_number};
  for (const float scale : values)
    for (const float bias : values)
      for (const float threshold : values) {
        CAPTURE(scale);
        CAPTURE(bias);
        CAPTURE(threshold);
        REQUIRE(differences(scale, bias, threshold, 100) == 0);
      }
  CHECK(count_threshold(0.0f, 1.0f, 0.5f, 100) == bits::always);
  CHECK(count_threshold(0.0f, 0.5f, 0.5f, 100) == bits::never);
  CHECK(count_threshold(not_a_number, 1.0f, 0.5f, 100) == bits::never);
  CHECK(count_threshold(1.0f, 0.0f, 100.0f, 100) == bits::never);
  CHECK(count_threshold(1.0f, 0.0f, -101.0f, 100) == bits::always);
  CHECK(count_threshold(2.0f, 1.0f, 7.0f, 100) == CountThreshold{3, false});
  CHECK(count_threshold(-2.0f, 1.0f, 7.0f, 100) == CountThreshold{-3, true});
}

TEST_CASE("count_thresholds: the largest counts there are") {
  const auto most = static_cast<std::int32_t>(bits::most_products);
  for (const std::int32_t at : {-most, -most + 1, -1, 0, 1, most - 2, most - 1}) {
    CHECK(count_threshold(1.0f, 0.0f, static_cast<float>(at), most) == CountThreshold{at, false});
    CHECK(count_threshold(-1.0f, 0.0f, static_cast<float>(at), most) == CountThreshold{-at, true});
  }
}

TEST_CASE("count_thresholds: a list keeps what it was given, and says what does not fit") {
  const std::vector<CountThreshold> given = {{3, false}, {-3, true}, bits::never, bits::always, {0, true}};
  const CountThresholds list(given);
  REQUIRE(list.channels() == given.size());
  for (std::size_t c = 0; c < given.size(); ++c) {
    CHECK(list[c] == given[c]);
    for (const std::int32_t count : {-1 << 24, -4, -3, -2, 0, 2, 3, 4, 1 << 24})
      CHECK(((count ^ list.flips()[c]) > list.values()[c]) == given[c](count));
  }
  const std::vector<float> two(2), three(3);
  CHECK(CountThresholds::make(three, three, three, 9).ok());
  CHECK(CountThresholds::make(three, two, three, 9).error().message() ==
        "count thresholds: expected as many biases and thresholds as the 3 scales, found 2 and 3");
  CHECK(test::contains(CountThresholds::make(two, two, two, bits::most_products + 1).error().message(),
                       "counts up to 16777217 are beyond the 16777216 that floats hold exactly"));
}
