#include "support.hpp"

#include <limits>

#include <qcnet/split/check.hpp>

using namespace qcnet;
using test::contains;

TEST_CASE("a check compares with the largest recorded value") {
  Tensor recorded({1, 3}), computed({1, 3});
  recorded[0] = -2, recorded[1] = 1, recorded[2] = 0.5f;
  computed = recorded;
  CHECK(compare_check(computed, recorded, 0, "map").ok());
  computed[2] += 0.0019f;
  CHECK(compare_check(computed, recorded, 1e-3f, "map").ok());
  computed[2] += 0.0002f;
  CHECK(
      contains(compare_check(computed, recorded, 1e-3f, "map").error().message(), "map: differs by 0.0021"));
  CHECK(compare_check(Tensor({3}), recorded, 1, "map").error().message() ==
        "map: expected shape [1, 3], computed [3]");
}

TEST_CASE("a computed value that is not a number fails a check, wherever it is") {
  const Tensor recorded({1, 3});
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (std::size_t at = 0; at < 3; ++at) {
      Tensor computed({1, 3});
      computed[at] = bad;
      CHECK_FALSE(compare_check(computed, recorded, 1e-3f, "map").ok());
      CHECK(test::relative_difference(computed, recorded) > 1);
    }
}
