#include "../../examples/common/bootstrap.hpp"

#include <cmath>
#include <vector>

#include <doctest/doctest.h>

using examples::bootstrap_interval;

TEST_CASE("A bootstrap interval of a mean is the one that theory gives") {
  // 400 coins, 100 of them heads: a share of 0.25 with a standard error of sqrt(0.25 * 0.75 / 400).
  const auto share = [](const std::vector<std::size_t>& pictures) {
    double heads = 0;
    for (const std::size_t picture : pictures) heads += picture < 100 ? 1 : 0;
    return heads / static_cast<double>(pictures.size());
  };
  const double error = std::sqrt(0.25 * 0.75 / 400);
  const auto [low, high] = bootstrap_interval(400, share);
  CHECK(low == doctest::Approx(0.25 - 1.96 * error).epsilon(0.03));
  CHECK(high == doctest::Approx(0.25 + 1.96 * error).epsilon(0.03));
  CHECK(bootstrap_interval(400, share) == std::pair{low, high});  // seeded
}

TEST_CASE("Every method is given the same choices, of all pictures and no others") {
  std::vector<std::vector<std::size_t>> first, second;
  std::vector<std::size_t> drawn(7);
  bootstrap_interval(
      7,
      [&](const std::vector<std::size_t>& pictures) {
        first.push_back(pictures);
        for (const std::size_t picture : pictures) ++drawn.at(picture);
        return 1.0;
      },
      200);
  bootstrap_interval(
      7,
      [&](const std::vector<std::size_t>& pictures) {
        second.push_back(pictures);
        return 2.0;
      },
      200);
  CHECK(first == second);
  CHECK(first.size() == 200);
  CHECK(first[0] != first[1]);
  for (const std::size_t times : drawn) CHECK(times == doctest::Approx(200).epsilon(0.3));
}

TEST_CASE("The interval lies between two resamples' figures as numpy.quantile puts it") {
  double next = 0;
  const auto count_up = [&](const std::vector<std::size_t>&) { return next++; };
  const auto [low, high] = bootstrap_interval(3, count_up, 101);  // 0 to 100
  CHECK(low == doctest::Approx(2.5));
  CHECK(high == doctest::Approx(97.5));
  const auto always = [](const std::vector<std::size_t>& pictures) { return pictures[0] == 0 ? 4.0 : 5.0; };
  CHECK(bootstrap_interval(1, always, 1) == std::pair{4.0, 4.0});
}
