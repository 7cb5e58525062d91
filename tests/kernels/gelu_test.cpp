#include "support.hpp"

#include <cmath>
#include <limits>

#include <qcnet/kernels/gelu.hpp>
#include <qcnet/kernels/reference.hpp>

using namespace qcnet;
using namespace qcnet::test;

TEST_CASE("GELU keeps its stated relative error from end to end") {
  std::vector<float> points{0.0f, -0.0f, 1e-30f, -1e-30f, 1e-6f, -1e-6f};
  for (float x = -15.0f; x < 14.0f; x += 0.00037f) points.push_back(x);
  for (float x = -13.0f; x < -10.0f; x += 0.000013f) points.push_back(x);  // where it is worst
  for (float x = 14.0f; x < 3e38f; x *= 3.0f) points.push_back(x);
  Tensor input({points.size()}), fast({points.size()}), plain({points.size()});
  std::copy(points.begin(), points.end(), input.data());
  kernels::gelu(input, fast);
  reference::gelu(input, plain);
  double worst = 0.0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double expected = static_cast<double>(plain[i]), x = static_cast<double>(input[i]);
    if (std::fabs(expected) < static_cast<double>(std::numeric_limits<float>::min())) continue;
    double allowed = QCNET_ISA_AVX512 ? 4e-7 : QCNET_ISA_NEON ? 5e-7 : 4.5e-7;  // as exp is
    if (!QCNET_HAS_FMA && x < 0) allowed += 4e-8 * x * x;
    worst = std::max(worst, std::fabs(static_cast<double>(fast[i]) / expected - 1.0) / allowed);
  }
  CHECK(worst < 1.0);
}

TEST_CASE("GELU gives no denormal numbers" * doctest::skip(!simd::has_own_exp)) {
  for (float x = -15.0f; x < -13.0f; x += 0.00007f) {
    float y = 0.0f;
    kernels::gelu(vec::broadcast(x)).store_partial(&y, 1);
    CAPTURE(x);
    CHECK(std::fpclassify(y) != FP_SUBNORMAL);
  }
}

TEST_CASE("GELU at the far ends") {
  const float infinity = std::numeric_limits<float>::infinity();
  Tensor x({5}), y({5});
  x[0] = -infinity, x[1] = infinity, x[2] = std::numeric_limits<float>::quiet_NaN(), x[3] = -1e30f,
  x[4] = 0.0f;
  kernels::gelu(x, y);
  CHECK(y[0] == 0.0f);  // and no denormal, which would slow whatever reads it
  CHECK(y[1] == infinity);
  CHECK(std::isnan(y[2]));
  CHECK(y[3] == 0.0f);
  CHECK(y[4] == 0.0f);
}

TEST_CASE("GELU in place, for any count and number of threads") {
  for (const std::size_t n : Sizes{0, 1, 3, 17, 4096, 20011}) {
    const Tensor input = random_tensor({n}, 5);
    Tensor one(input), two(input);
    {
      const Threads threads(1);
      kernels::gelu(input, one);
    }
    const Threads threads(2);
    kernels::gelu(two, two);
    CHECK(identical(one, two));
  }
}
