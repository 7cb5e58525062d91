#include "support.hpp"

#include <limits>
#include <string>

#include <qcnet/simd/vec.hpp>

using namespace qcnet;
using namespace qcnet::test;

#ifdef QCNET_TEST_ISA
TEST_CASE("the instruction set is the one that this build is meant to test") {
  CHECK(std::string(isa_name) == QCNET_TEST_ISA);
}
#endif

TEST_CASE("loads and stores, whole and partial, touch just what they say") {
  const auto values = random_values(vec::size, 1);
  for (std::size_t count = 0; count <= vec::size; ++count) {
    const std::vector<float> exact(values.begin(),
                                   values.begin() + static_cast<std::ptrdiff_t>(count));  // ASan sees more
    std::vector<float> out(vec::size, -1.0f), whole(vec::size);
    const vec x = vec::load_partial(exact.data(), count);
    x.store(whole.data());
    x.store_partial(out.data(), count);
    for (std::size_t i = 0; i < vec::size; ++i) {
      CHECK(whole[i] == (i < count ? values[i] : 0.0f));
      CHECK(out[i] == (i < count ? values[i] : -1.0f));
    }
  }
}

TEST_CASE("arithmetic, element by element") {
  const auto a = random_values(vec::size, 1), b = random_values(vec::size, 2);
  const vec x = vec::load(a.data()), y = vec::load(b.data());
  const auto check = [&](vec result, auto expected) {
    std::vector<float> out(vec::size);
    result.store(out.data());
    for (std::size_t i = 0; i < vec::size; ++i) CHECK(out[i] == doctest::Approx(expected(i)).epsilon(3e-7));
  };
  check(x + y, [&](std::size_t i) { return a[i] + b[i]; });
  check(x - y, [&](std::size_t i) { return a[i] - b[i]; });
  check(x * y, [&](std::size_t i) { return a[i] * b[i]; });
  check(x / y, [&](std::size_t i) { return a[i] / b[i]; });
  check(min(x, y), [&](std::size_t i) { return std::min(a[i], b[i]); });
  check(max(x, y), [&](std::size_t i) { return std::max(a[i], b[i]); });
  check(exp(x), [&](std::size_t i) { return std::exp(a[i]); });
  double total = 0;
  for (const float v : a) total += static_cast<double>(v);
  CHECK(static_cast<double>(sum(x)) == doctest::Approx(total).epsilon(1e-5));
}

/// Below it our own exp is 0.
constexpr float lowest_exponent = -86.4119f;

TEST_CASE("exp, as far as floats reach") {
  std::vector<float> points{-INFINITY, -1e30f, -104.0f, -103.5f, 88.73f, 89.0f, 1e30f, INFINITY, NAN};
  for (float x = -103.0f; x < 88.3f; x += 0.0173f) points.push_back(x);  // SSE2: infinity from 88.4
  while (points.size() % vec::size != 0) points.push_back(0.0f);
  std::vector<float> out(points.size());
  for (std::size_t i = 0; i < points.size(); i += vec::size) exp(vec::load(&points[i])).store(&out[i]);
  for (std::size_t i = 0; i < points.size(); ++i) {
    CAPTURE(points[i]);
    const float expected = std::exp(points[i]);
    if (std::isnan(expected) || std::isinf(expected))
      CHECK((std::isnan(expected) ? std::isnan(out[i]) : out[i] == expected));
    else if (simd::has_own_exp && points[i] < lowest_exponent)
      CHECK(out[i] == 0.0f);  // and no denormal, which would take long
    else                      // what is denormal may be 0
      CHECK(std::fabs(out[i] - expected) <= 3e-7f * expected + std::numeric_limits<float>::min());
  }
}

TEST_CASE("exp of a sum is that of both parts") {
  std::vector<float> out(vec::size);
  for (float high = -99.0f; high < 79.0f; high += 0.37f) {
    const float low = 0.4f * std::ldexp(std::fabs(high), -24);  // what rounding may have taken
    exp_of_sum(vec::broadcast(high), vec::broadcast(low)).store(out.data());
    const double expected = std::exp(static_cast<double>(high) + static_cast<double>(low));
    CAPTURE(high);
    if (simd::has_own_exp && high < lowest_exponent) {
      CHECK(out[0] == 0.0f);
    } else {
      const double allowed = (QCNET_HAS_FMA ? 1.3e-7 : 1e-5) * expected;  // what is denormal may be 0
      CHECK(std::fabs(static_cast<double>(out[0]) - expected) <=
            allowed + static_cast<double>(std::numeric_limits<float>::min()));
    }
  }
}

TEST_CASE("fma rounds once wherever the machine can") {
  // (1 + e)^2 - (1 + 2e) is e^2 exactly; rounding the product first leaves 0.
  const float e = std::ldexp(1.0f, -12);
  std::vector<float> out(vec::size);
  const vec x = vec::broadcast(1.0f + e);
  fma(x, x, vec::broadcast(-(1.0f + 2.0f * e))).store(out.data());
  for (const float v : out) CHECK(v == (QCNET_HAS_FMA ? e * e : 0.0f));
}

TEST_CASE("comparison bits and blending undo each other; NaN is never greater") {
  for (std::uint32_t round = 0; round < 100; ++round) {
    auto a = random_values(vec::size, 2 * round), b = random_values(vec::size, 2 * round + 1);
    a[0] = std::numeric_limits<float>::quiet_NaN();
    b[vec::size - 1] = a[vec::size - 1];  // equal is not greater
    const std::uint32_t bits = greater_bits(vec::load(a.data()), vec::load(b.data()));
    std::vector<float> out(vec::size);
    blend_bits(bits | 0xFFFF0000u << (vec::size - 1) << 1, vec::broadcast(-1.0f), vec::broadcast(2.0f))
        .store(out.data());
    for (std::size_t i = 0; i < vec::size; ++i) {
      CHECK(((bits >> i) & 1u) == (a[i] > b[i] ? 1u : 0u));
      CHECK(out[i] == (a[i] > b[i] ? 2.0f : -1.0f));
    }
    CHECK((bits >> (vec::size - 1) >> 1) == 0u);
  }
}
