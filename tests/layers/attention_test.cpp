#include "support.hpp"
#include "weights_file.hpp"

#include <array>
#include <string>

#include <qcnet/layers/attention.hpp>

using namespace qcnet;

TEST_CASE("self-attention tells its shapes and work, and what it cannot do") {
  const SelfAttention attention(4);
  CHECK(attention.output_shape(std::array{Shape{2, 5, 3 * 8}}).value() == Shape{2, 5, 8});
  CHECK(attention.multiply_adds(std::array{Shape{2, 5, 3 * 8}}) == 2 * 2 * 5 * 5 * 8);

  const auto said = [&](const Shape& input) {
    const auto output = attention.output_shape(std::array{input});
    return output.ok() ? "no error" : output.error().message();
  };
  CHECK(said({2, 5, 23}) == "self-attention takes one input [N, T, 3 C]");
  CHECK(said({1, 2, 5, 24}) == "self-attention takes one input [N, T, 3 C]");
  CHECK(test::contains(said({2, 5, 3 * 6}), "6 channels cannot be split into 4 heads of at most"));
  CHECK(said({1, SelfAttention::max_tokens, 3 * 4}) == "no error");
  CHECK(said({1, SelfAttention::max_tokens + 1, 3 * 4}) ==
        "self-attention over 65538 tokens, of which at most 65537 are supported; give the network a smaller "
        "input");
}

TEST_CASE("positions of nothing are refused before their square is looked for") {
  test::WeightsFile file;
  file.set("class_token", {1, 1, 0}).set("encoder.pos_embedding", {1, Shape::max_elements, 0});
  CHECK(test::contains(
      file.with([](const auto& weights) { return Tokens::load(weights, 0); }).error().message(),
      "encoder.pos_embedding: expected at least one element"));
}

TEST_CASE("tokens put together by hand must fit") {
  CHECK_NOTHROW(Tokens(Tensor({1, 1, 8}), Tensor({1, 5, 8})));
  CHECK_THROWS_WITH(Tokens(Tensor({1, 1, 9}), Tensor({1, 5, 8})),
                    "tokens: expected a class token [1, 1, C] and positions [1, 1 + S S, C], found "
                    "[1, 1, 9] and [1, 5, 8]");
  for (const Shape& positions : {Shape{2, 5, 8}, Shape{1, 4, 8}, Shape{1, 0, 8}, Shape{5, 8}}) {
    CAPTURE(positions.to_string());
    CHECK_THROWS(Tokens(Tensor({1, 1, 8}), Tensor(positions)));
  }
}
