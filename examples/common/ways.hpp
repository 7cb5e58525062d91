// The ways from a picture to its answer, and which of them is best.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace examples {

/// One way, and what a picture costs on it. The answer is wanted where the server is.
struct Way {
  enum class Sends { picture, bits, coded_bits, answer };

  Sends sends = Sends::bits;
  std::string cut = {}, method = {};  ///< of bits; of an answer how the node computes
  double node_ms = 0, bytes = 0, send_ms = 0, server_ms = 0;
  double node_megabytes = 0;            ///< of weights and activations
  double millijoules = 0;               ///< of the node
  std::optional<double> accuracy = {};  ///< percent, if it is known

  double total_ms() const { return node_ms + send_ms + server_ms; }
};

/// What a way may cost at most, and how often it must be right at least.
struct Bounds {
  std::optional<double> total_ms = {}, millijoules = {}, node_megabytes = {}, accuracy = {};

  /// How many times too dear or too wrong a way is, where that is worst; 0 if it is within all bounds. An
  /// accuracy that is not known is within none.
  double excess(const Way& way) const {
    double worst = 0;
    const auto ask = [&](double is, double may_be) {
      if (is > may_be) worst = std::max(worst, is / may_be);
    };
    if (total_ms) ask(way.total_ms(), *total_ms);
    if (millijoules) ask(way.millijoules, *millijoules);
    if (node_megabytes) ask(way.node_megabytes, *node_megabytes);
    if (accuracy) ask(*accuracy, way.accuracy.value_or(0));
    return worst;
  }
};

enum class Goal { accuracy, latency, energy, memory, bytes };

/// Less is better.
inline double badness(const Way& way, Goal goal) {
  switch (goal) {
    case Goal::accuracy:
      return -way.accuracy.value_or(0);
    case Goal::latency:
      return way.total_ms();
    case Goal::energy:
      return way.millijoules;
    case Goal::memory:
      return way.node_megabytes;
    case Goal::bytes:
      return way.bytes;
  }
  return 0;
}

/// Of the ways within the bounds the one that reaches the goal best, of equals the fastest; where none is
/// within them, the one that misses them least. `ways` must not be empty.
inline std::size_t best(const std::vector<Way>& ways, const Bounds& bounds, Goal goal) {
  const auto rank = [&](const Way& way) {
    return std::tuple(bounds.excess(way), badness(way, goal), way.total_ms());
  };
  const auto found = std::ranges::min_element(ways, {}, rank);
  return static_cast<std::size_t>(found - ways.begin());
}

/// Whether no other way is at least as good in time, energy, the node's memory and accuracy, and better in
/// one of them.
inline bool is_pareto_optimal(const Way& way, const std::vector<Way>& ways) {
  constexpr Goal all[] = {Goal::latency, Goal::energy, Goal::memory, Goal::accuracy};
  return std::ranges::none_of(ways, [&](const Way& other) {
    const auto no_worse = [&](Goal goal) { return badness(other, goal) <= badness(way, goal); };
    const auto better = [&](Goal goal) { return badness(other, goal) < badness(way, goal); };
    return std::ranges::all_of(all, no_worse) && std::ranges::any_of(all, better);
  });
}

}  // namespace examples
