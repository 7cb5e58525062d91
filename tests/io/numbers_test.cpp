#include <cstddef>
#include <vector>

#include <qcnet/io/numbers.hpp>

#include <doctest/doctest.h>

using qcnet::io::parse_number, qcnet::io::parse_numbers;

TEST_CASE("Numbers are separated by single spaces and by nothing else") {
  CHECK(parse_numbers<float>("") == std::vector<float>{});
  CHECK(parse_numbers<float>("0.5 -2 1e3") == std::vector<float>{0.5f, -2, 1000});
  CHECK(parse_numbers<std::size_t>("3 4 5") == std::vector<std::size_t>{3, 4, 5});
  for (const char* text :
       {" ", "1 ", " 1", "1  2", "1,2", "1\n2", "x", "1 x", "1x", "nan", "inf", "-inf", "1e99", "+1"})
    CHECK_MESSAGE(!parse_numbers<float>(text), text);
  for (const char* text : {"-1", "1.5", "1e2", "0x1", "99999999999999999999"})
    CHECK_MESSAGE(!parse_numbers<std::size_t>(text), text);
}

TEST_CASE("One number is neither none nor two") {
  CHECK(parse_number<std::size_t>("12") == std::size_t{12});
  CHECK(parse_number<double>("0.25") == 0.25);
  for (const char* text : {"", " ", "1 2", "2 ", "-1", "x"})
    CHECK_MESSAGE(!parse_number<std::size_t>(text), text);
}
