#include "../../examples/common/answer.hpp"

#include "support.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

using examples::best;
using qcnet::Tensor;

TEST_CASE("the best classes come first, as many as asked for or there are") {
  Tensor logits({1, 3});
  for (std::size_t k = 0; k < 3; ++k) logits[k] = std::log(static_cast<float>(1 + (k + 1) % 3));  // 2 : 3 : 1
  const auto answers = best(logits, 2).value();
  REQUIRE(answers.size() == 2);
  CHECK(answers[0].index == 1);
  CHECK(answers[0].probability == doctest::Approx(0.5));
  CHECK(answers[1].index == 0);
  CHECK(best(logits, 7).value().size() == 3);
}

TEST_CASE("classes are in the order of their logits where probabilities are alike") {
  Tensor logits({1, 6});
  const float values[] = {1, 5, 120, 3, 20, 10};
  std::copy(std::begin(values), std::end(values), logits.data());
  const auto answers = best(logits, 5).value();
  const std::size_t expected[] = {2, 4, 5, 1, 3};
  for (std::size_t i = 0; i < 5; ++i) CHECK(answers[i].index == expected[i]);
  Tensor two({1, 2});
  two[0] = 0.1f;
  two[1] = std::nextafter(0.1f, 1.0f);
  CHECK(best(two, 1).value()[0].index == 1);
  two[0] = two[1];
  CHECK(best(two, 1).value()[0].index == 0);
}

TEST_CASE("logits that are no numbers are no answer") {
  for (const float wrong : {NAN, INFINITY, -INFINITY})
    for (std::size_t at = 0; at < 3; ++at) {
      Tensor logits({1, 3});
      logits[at] = wrong;
      CHECK(best(logits, 1).error().message() ==
            "the network's outputs are not numbers: are its weights damaged?");
    }
}
