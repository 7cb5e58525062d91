#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <qcnet/io/dtype.hpp>

#include <doctest/doctest.h>

using namespace qcnet::io;

TEST_CASE("dtype: names and sizes") {
  for (int i = 0; i <= static_cast<int>(Dtype::boolean); ++i) {
    const auto dtype = static_cast<Dtype>(i);
    CHECK(dtype_named(dtype_name(dtype)) == dtype);
  }
  CHECK(dtype_name(Dtype::bf16) == "BF16");
  CHECK(dtype_name(Dtype::boolean) == "BOOL");
  CHECK(dtype_bytes(Dtype::u64) == 8);
  CHECK(dtype_bytes(Dtype::i16) == 2);
  CHECK(dtype_bytes(Dtype::boolean) == 1);
  CHECK_FALSE(dtype_named("F8_E4M3"));
  CHECK_FALSE(dtype_named("f32"));
  CHECK_FALSE(dtype_named(""));
}

TEST_CASE("dtype: every half equals its definition") {
  for (std::uint32_t half = 0; half < 0x10000; ++half) {
    const int exponent = static_cast<int>(half >> 10 & 0x1F);
    const auto mantissa = static_cast<double>(half & 0x3FF);
    const float value = half_to_float(static_cast<std::uint16_t>(half));
    REQUIRE(std::signbit(value) == ((half & 0x8000) != 0));
    if (exponent == 31) {
      REQUIRE((mantissa == 0 ? std::isinf(value) : std::isnan(value)));
    } else {
      const double size =
          exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
      REQUIRE(static_cast<double>(std::abs(value)) == size);
    }
  }
}

TEST_CASE("dtype: whole numbers are exact or refused") {
  const auto read = [](std::int64_t number) {
    float value = -1;
    const auto done = to_float_into(Dtype::i64, std::as_bytes(std::span(&number, 1)), {&value, 1});
    return done.ok() ? std::optional(value) : std::nullopt;
  };
  constexpr auto smallest = std::numeric_limits<std::int64_t>::min();
  constexpr auto largest = std::numeric_limits<std::int64_t>::max();
  CHECK(read(0) == 0.0f);
  CHECK(read(-7) == -7.0f);
  CHECK(read(1 << 24) == 0x1p24f);
  CHECK(read((1 << 24) + 2) == 16777218.0f);
  CHECK(read(smallest) == -0x1p63f);
  CHECK(read(largest - ((std::int64_t{1} << 39) - 1)) == 0x1.fffffep62f);
  CHECK_FALSE(read((1 << 24) + 1));
  CHECK_FALSE(read(-(1 << 24) - 1));
  CHECK_FALSE(read(largest));
  CHECK_FALSE(read(smallest + 1));
}

TEST_CASE("dtype: other types are refused by name") {
  std::vector<std::byte> data(8);
  float value = 0;
  for (const Dtype dtype : {Dtype::f64, Dtype::i32, Dtype::i16, Dtype::i8, Dtype::u64, Dtype::u32, Dtype::u16,
                            Dtype::u8, Dtype::boolean}) {
    const auto done = to_float_into(dtype, std::span(data).first(dtype_bytes(dtype)), {&value, 1});
    REQUIRE_FALSE(done.ok());
    CHECK(done.error().message().find("its elements are " + std::string(dtype_name(dtype))) == 0);
  }
}
