#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <qcnet/bits/context_model.hpp>
#include <qcnet/core/crc32c.hpp>

#include <doctest/doctest.h>

using namespace qcnet;

TEST_CASE("context_model: the tables are the formulas of docs/frame.md") {
  const auto& p = bits::logistic.probability;
  for (int x = -1024; x < 1024; ++x)
    REQUIRE(p[static_cast<std::size_t>(x + 1024)] == std::floor(65536 / (1 + std::exp(-x / 128.0)) + 0.5));
  CHECK(p.front() == 22);
  CHECK(p[1024] == 32768);
  CHECK(p.back() == 65514);
  for (std::size_t i = 0; i < 1024; ++i) {
    const auto first = std::ranges::find_if(p, [i](std::uint16_t value) { return value >= 64 * i + 32; });
    REQUIRE(bits::logistic.log_odds[i] == first - p.begin() - 1024);
  }
}

namespace {

/// Keeps the probabilities it is asked with.
struct Recorder {
  std::vector<std::uint32_t> asked{};
  bool code(bool bit, std::uint32_t p) {
    asked.push_back(p);
    return bit;
  }
};

}  // namespace

TEST_CASE("context_model: begins undecided, becomes sure, and changes its mind") {
  bits::ContextModel model;
  bits::Mixer mixer;
  Recorder recorder;
  model.start_channel();
  for (int i = 0; i < 1000; ++i) model.code({}, true, mixer, recorder);
  CHECK(recorder.asked.front() == 32896);  // log-odds of 1, the middle of what is rounded to it
  CHECK(std::ranges::is_sorted(recorder.asked));
  CHECK(recorder.asked.back() > 65400);
  for (int i = 0; i < 1000; ++i) model.code({}, false, mixer, recorder);
  CHECK(recorder.asked.back() < 3000);
}

TEST_CASE("context_model: what it learns of whatever bits is the same everywhere") {
  // As wrong as can be: always the bit that it holds for less likely. A sanitizer sees whether it gets out of
  // its tables; frames that were coded before are read as long as the sum stays.
  bits::ContextModel model;
  bits::Mixer mixer;
  struct Adversary {
    std::uint32_t crc = 0;
    bool code(bool, std::uint32_t p) {
      crc = crc32c(std::as_bytes(std::span(&p, 1)), crc);
      return p < 32768;
    }
  } adversary;
  std::uint32_t random = 1;
  for (int i = 0; i < 200'000; ++i) {
    random = random * 1664525 + 1013904223;
    if (i % 1000 == 0) model.start_channel();
    model.code({random >> 26, random >> 20 & 3}, false, mixer, adversary);
  }
  CHECK(adversary.crc == 832340560);
}
