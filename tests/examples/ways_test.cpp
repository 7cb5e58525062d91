#include "../../examples/common/ways.hpp"

#include <vector>

#include <doctest/doctest.h>

using examples::best;
using examples::Bounds;
using examples::Goal;
using examples::Way;

namespace {

Way way(double node_ms, double send_ms, double server_ms, double millijoules,
        std::optional<double> accuracy) {
  return {.node_ms = node_ms,
          .bytes = 10 * send_ms,
          .send_ms = send_ms,
          .server_ms = server_ms,
          .millijoules = millijoules,
          .accuracy = accuracy};
}

// The picture, three ways of crossing a cut, all on the node.
const std::vector<Way> ways = {way(0, 100, 10, 50, 88), way(10, 40, 5, 30, 86), way(10, 40, 6, 30, 87),
                               way(15, 20, 6, 20, 87), way(150, 1, 0, 25, 88)};

}  // namespace

TEST_CASE("Within the bounds the most accurate way is best, of equals the fastest") {
  CHECK(best(ways, {}, Goal::accuracy) == 0);
  CHECK(best(ways, {.total_ms = 109}, Goal::accuracy) == 3);
  CHECK(best(ways, {.total_ms = 110}, Goal::accuracy) == 0);
  CHECK(best(ways, {.millijoules = 49}, Goal::accuracy) == 4);
  CHECK(best(ways, {.total_ms = 109, .millijoules = 20}, Goal::accuracy) == 3);
}

TEST_CASE("Something else may be the goal") {
  CHECK(best(ways, {}, Goal::latency) == 3);
  CHECK(best(ways, {.accuracy = 87.5}, Goal::latency) == 0);
  CHECK(best(ways, {.accuracy = 87.5}, Goal::energy) == 4);
  CHECK(best(ways, {}, Goal::energy) == 3);
  CHECK(best(ways, {}, Goal::bytes) == 4);
  CHECK(best(ways, {.total_ms = 60}, Goal::bytes) == 3);
}

TEST_CASE("Where no way is within the bounds, the one that misses them least") {
  const Bounds bounds{.total_ms = 40, .accuracy = 88};
  CHECK(bounds.excess(ways[0]) == doctest::Approx(110.0 / 40));
  CHECK(bounds.excess(ways[3]) == doctest::Approx(41.0 / 40));
  CHECK(best(ways, bounds, Goal::accuracy) == 3);
  CHECK(best(ways, {.accuracy = 99}, Goal::latency) == 0);
  CHECK(Bounds{.total_ms = 41}.excess(ways[3]) == 0);
}

TEST_CASE("An unknown accuracy is within no bound") {
  const std::vector<Way> unknown = {way(1, 5, 1, 1, {}), way(1, 2, 1, 1, {}), way(1, 9, 1, 1, 80)};
  CHECK(Bounds{.accuracy = 1}.excess(unknown[0]) > 1e9);
  CHECK(best(unknown, {}, Goal::accuracy) == 2);
  CHECK(best(unknown, {.accuracy = 70}, Goal::latency) == 2);
  CHECK(best(unknown, {}, Goal::latency) == 1);
}

TEST_CASE("The node's memory is a bound and a goal as well") {
  std::vector<Way> heavy = ways;
  for (std::size_t i = 0; i < heavy.size(); ++i) heavy[i].node_megabytes = static_cast<double>(i);
  CHECK(best(heavy, {.node_megabytes = 3}, Goal::bytes) == 3);
  CHECK(best(heavy, {.millijoules = 40}, Goal::memory) == 1);
  CHECK(Bounds{.node_megabytes = 2}.excess(heavy[4]) == 2);
}

TEST_CASE("Pareto-optimal ways") {
  std::vector<bool> optimal;
  for (const Way& w : ways) optimal.push_back(is_pareto_optimal(w, ways));
  CHECK(optimal == std::vector{true, false, false, true, true});
  Way light = ways[1];  // slower and less accurate than ways[3], but a smaller node will do
  light.node_megabytes = -1;
  CHECK_FALSE(is_pareto_optimal(ways[1], ways));
  CHECK(is_pareto_optimal(light, ways));
  // Twins do not put each other out.
  const std::vector<Way> twins = {ways[0], ways[0]};
  CHECK(is_pareto_optimal(twins[0], twins));
}
