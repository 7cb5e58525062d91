// How much of a figure is the luck of which pictures were drawn.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>
#include <utility>
#include <vector>

namespace examples {

/// The 95 % interval of a figure over pictures, by Efron's percentile bootstrap (1979): `figure` is asked for
/// `resamples` choices of `count` pictures with replacement, given as a span of their numbers. Seeded: two
/// methods that are measured on the same pictures are given the same choices, on every machine.
template <class Figure>
std::pair<double, double> bootstrap_interval(std::size_t count, const Figure& figure,
                                             std::size_t resamples = 1000) {
  std::mt19937 random(0);
  std::vector<std::size_t> chosen(count);
  std::vector<double> figures;
  for (std::size_t i = 0; i < resamples; ++i) {
    // Not std::uniform_int_distribution, which every standard library does its own way.
    for (std::size_t& picture : chosen) picture = static_cast<std::size_t>(random()) % count;
    figures.push_back(figure(chosen));
  }
  std::sort(figures.begin(), figures.end());
  const auto quantile = [&](double share) {  // between two values linearly, as numpy.quantile
    const double at = share * static_cast<double>(resamples - 1);
    const auto below = static_cast<std::size_t>(at);
    const double next = figures[std::min(below + 1, resamples - 1)];
    return figures[below] + (at - std::floor(at)) * (next - figures[below]);
  };
  return {quantile(0.025), quantile(0.975)};
}

}  // namespace examples
