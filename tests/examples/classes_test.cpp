#include "../../examples/common/classes.hpp"

#include <string>
#include <vector>

#include <doctest/doctest.h>

using Names = std::vector<std::string>;
using Numbers = std::vector<std::size_t>;

TEST_CASE("classes: by name where both sides have names, numbers among them, else by position") {
  const auto match = [](const Names& dataset, const Names& model, std::size_t outputs) {
    return examples::match_classes(dataset, model, outputs).value();
  };
  CHECK(match({"cat", "dog"}, {"dog", "bird", "cat"}, 3) == Numbers{2, 0});
  CHECK(match({"0", "1"}, {"shirt", "shoe"}, 2) == Numbers{0, 1});
  CHECK(match({"0", "1", "2"}, {}, 3) == Numbers{0, 1, 2});
  // Folders come in alphabetical order, 10 before 2.
  CHECK(match({"0", "1", "10", "2"}, {"0", "1", "2", "10"}, 4) == Numbers{0, 1, 3, 2});
  CHECK(examples::match_classes({"cat", "cow"}, {"cat"}, 1).error().message() ==
        "the model knows no class \"cow\" of the dataset");
  CHECK(examples::match_classes({"0", "1"}, {}, 1).error().message() ==
        "the model knows no class \"1\" of the dataset");
}
