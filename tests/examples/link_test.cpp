#include "../../examples/common/link.hpp"

#include <algorithm>
#include <limits>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

using examples::Link;
using Sizes = std::vector<std::size_t>;

namespace {

const Link& known(std::string_view key) {
  return *std::ranges::find(examples::known_links, key, &Link::key);
}

}  // namespace

TEST_CASE("A byte takes its time and its energy") {
  const Link link{.bits_per_second = 8000, .joules_per_byte = 2e-6};
  const auto cost = link.cost(Sizes{100});
  CHECK(cost.bytes == 100);
  CHECK(cost.ms == doctest::Approx(100));
  CHECK(cost.millijoules == doctest::Approx(0.2));
  CHECK(link.cost(Sizes{50, 150}).ms == doctest::Approx(100));
  CHECK(link.cost({}).ms == 0);
}

TEST_CASE("Every message waits and costs its session") {
  const Link link{.bits_per_second = 8000, .joules_per_byte = 2e-6, .latency_ms = 30, .session_joules = 0.5};
  const auto cost = link.cost(Sizes{100, 300});
  CHECK(cost.ms == doctest::Approx(30 + 200));
  CHECK(cost.millijoules == doctest::Approx(500 + 0.4));
}

TEST_CASE("Packets are sent whole, message by message") {
  const Link lora = known("lora");
  CHECK(lora.packet_bytes == 222);
  for (const std::size_t one : Sizes{1, 221, 222}) CHECK(lora.cost(Sizes{one}).packets == 1);
  const Link wide{.bits_per_second = 8, .packet_bytes = std::numeric_limits<std::size_t>::max()};
  CHECK(wide.cost(Sizes{2}).packets == 1);
  CHECK(lora.cost(Sizes{223}).packets == 2);
  CHECK(lora.cost(Sizes{1}).ms == lora.cost(Sizes{222}).ms);
  CHECK(lora.cost(Sizes{222}).ms == doctest::Approx(1e3 * 222 * 8 / 620));
  CHECK(lora.cost(Sizes{222}).millijoules == doctest::Approx(222 * 3.4));
  // The mean message would fit into one packet.
  CHECK(lora.cost(Sizes{100, 300}).packets == 1.5);
  CHECK(lora.cost(Sizes{100, 300}).bytes == 200);
}

TEST_CASE("No known link draws more than its transmitter") {
  for (const Link& link : examples::known_links) {
    CAPTURE(link.name);
    CHECK(link.joules_per_byte * link.bits_per_second / 8 <= *link.transmit_watts);
  }
  CHECK(known("nb-iot").cost(Sizes{1000}).ms == doctest::Approx(238.8).epsilon(1e-3));
  CHECK(known("ble").cost(Sizes{1000}).millijoules == doctest::Approx(0.15));
  CHECK(known("lte").cost(Sizes{51000}).ms == doctest::Approx(8));
}
