#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <qcnet/core/result.hpp>

#include <doctest/doctest.h>

using qcnet::Error;
using qcnet::Result;

namespace {
Result<int> half(int number) {
  if (number % 2 != 0) return Error(std::to_string(number) + " is odd");
  return number / 2;
}
Result<int> quarter(int number) {
  QCNET_TRY(const int once, half(number));
  QCNET_TRY(const int twice, half(once));
  return twice;
}
Result<void> check_quarter(int number) {
  QCNET_CHECK(quarter(number));
  return {};
}
}  // namespace

TEST_CASE("result: a value or an error") {
  CHECK(half(4).ok());
  CHECK(*half(4) == 2);
  CHECK_FALSE(half(3));
  CHECK(half(3).error().message() == "3 is odd");
  CHECK(half(3).error().in("input").message() == "input: 3 is odd");
}

TEST_CASE("result: the first error stops a function") {
  CHECK(quarter(12).value() == 3);
  CHECK(quarter(6).error().message() == "3 is odd");
  CHECK(check_quarter(12).ok());
  CHECK(check_quarter(5).error().message() == "5 is odd");
}

TEST_CASE("result: value() of an error throws its sentence") {
  CHECK_THROWS_WITH_AS(half(1).value(), "1 is odd", std::runtime_error);
  CHECK_THROWS_WITH_AS(check_quarter(1).value(), "1 is odd", std::runtime_error);
  CHECK_NOTHROW(check_quarter(4).value());
}

TEST_CASE("result: holds what can only be moved") {
  Result<std::unique_ptr<int>> made(std::make_unique<int>(7));
  const std::unique_ptr<int> taken = std::move(made).value();
  CHECK(*taken == 7);
  const std::unique_ptr<int> again = *Result<std::unique_ptr<int>>(std::make_unique<int>(8));
  CHECK(*again == 8);
}

TEST_CASE("result: a temporary's value outlives it") {
  using Numbers = Result<std::vector<int>>;
  static_assert(std::is_same_v<decltype(std::declval<Numbers>().value()), std::vector<int>>);
  static_assert(std::is_same_v<decltype(*std::declval<Numbers>()), std::vector<int>>);
  static_assert(std::is_same_v<decltype(*std::declval<const Numbers&>()), const std::vector<int>&>);
  int sum = 0;
  for (const int number : Numbers({1, 2, 4}).value()) sum += number;
  for (const int number : *Numbers({8, 16})) sum += number;
  CHECK(sum == 31);
}
