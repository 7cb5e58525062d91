#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include <qcnet/core/workspace.hpp>

#include <doctest/doctest.h>

using qcnet::Workspace;
using qcnet::WorkspacePlan;

namespace {
struct Wish {
  std::size_t bytes, first, last;
  bool meets(const Wish& other) const { return first <= other.last && other.first <= last; }
};
std::size_t rounded(std::size_t bytes) {
  return (bytes + 63) / 64 * 64;
}
}  // namespace

TEST_CASE("workspace: buffers that are alive together never overlap, and little is wasted") {
  std::mt19937 random(2);
  const auto below = [&](std::size_t limit) { return random() % limit; };
  for (int round = 0; round < 300; ++round) {
    CAPTURE(round);
    const std::size_t steps = 1 + below(20);
    std::vector<Wish> wishes(1 + below(30));
    WorkspacePlan plan;
    std::size_t sum = 0;
    for (Wish& wish : wishes) {
      const std::size_t first = below(steps);
      wish = {below(5) == 0 ? below(2) : below(5000), first, first + below(steps - first)};
      sum += rounded(wish.bytes);
      plan.add(wish.bytes, wish.first, wish.last);
    }
    plan.place();
    std::size_t most_alive = 0;
    for (std::size_t step = 0; step < steps; ++step) {
      std::size_t alive = 0;
      for (const Wish& wish : wishes)
        if (wish.first <= step && step <= wish.last) alive += rounded(wish.bytes);
      most_alive = std::max(most_alive, alive);
    }
    REQUIRE(plan.bytes() >= most_alive);
    REQUIRE(plan.bytes() <= sum);
    for (std::size_t i = 0; i < wishes.size(); ++i) {
      REQUIRE(plan.offset(i) % 64 == 0);
      REQUIRE(plan.offset(i) + wishes[i].bytes <= plan.bytes());
      for (std::size_t j = 0; j < i; ++j) {
        const bool apart = plan.offset(i) + wishes[i].bytes <= plan.offset(j) ||
                           plan.offset(j) + wishes[j].bytes <= plan.offset(i);
        REQUIRE((apart || !wishes[i].meets(wishes[j]) || wishes[i].bytes == 0 || wishes[j].bytes == 0));
      }
    }
  }
}

TEST_CASE("workspace: a chain of layers needs two buffers") {
  WorkspacePlan plan;
  for (std::size_t layer = 0; layer < 10; ++layer) plan.add(1000, layer, layer + 1);
  plan.place();
  CHECK(plan.bytes() == 2 * 1024);
  Workspace workspace(plan);
  CHECK(workspace.bytes() == plan.bytes());
  CHECK(reinterpret_cast<std::uintptr_t>(workspace.at(plan.offset(1))) % 64 == 0);
}

TEST_CASE("workspace: a buffer is kept longer, never shorter") {
  const auto bytes = [](std::size_t last) {
    WorkspacePlan plan;
    plan.extend(plan.add(1000, 0, 2), last);
    plan.add(1000, 2, 2);
    plan.add(1000, 3, 3);
    plan.place();
    return plan.bytes();
  };
  CHECK(bytes(1) == 2 * 1024);
  CHECK(bytes(2) == 2 * 1024);
  WorkspacePlan plan;
  plan.extend(plan.add(1000, 0, 0), 1);
  plan.add(1000, 1, 1);
  plan.place();
  CHECK(plan.bytes() == 2 * 1024);
}

TEST_CASE("workspace: a block of too many bytes is not placed") {
  const auto fits = [](std::size_t most) {
    WorkspacePlan plan;
    for (std::size_t layer = 0; layer < 10; ++layer) plan.add(1000, layer, layer + 1);
    return plan.place(most);
  };
  CHECK(fits(2 * 1024));
  CHECK_FALSE(fits(2 * 1024 - 1));
  CHECK_FALSE(fits(0));
}

TEST_CASE("workspace: an empty plan") {
  WorkspacePlan plan;
  CHECK(plan.place(0));
  CHECK(Workspace(plan).bytes() == 0);
}
