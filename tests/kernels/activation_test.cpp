#include "support.hpp"

#include <limits>

#include <qcnet/kernels/activation.hpp>
#include <qcnet/kernels/reference.hpp>

using namespace qcnet;
using namespace qcnet::test;
using kernels::Activation;

namespace {
const float inf = std::numeric_limits<float>::infinity();
}

TEST_CASE("activations equal their definition, element by element") {
  for (const std::size_t n : Sizes{1, 3, 4, 7, 16, 31, 100}) {
    const Tensor input = random_tensor({n}, 1);
    for (const Activation activation : {Activation::none, Activation::relu, Activation::leaky_relu}) {
      Tensor output({n});
      kernels::apply_activation(input, output, activation);
      for (std::size_t i = 0; i < n; ++i) CHECK(output[i] == kernels::activate(input[i], activation));
    }
  }
}

TEST_CASE("activations at the far ends") {
  Tensor x({4});
  x[0] = -inf, x[1] = inf, x[2] = std::numeric_limits<float>::quiet_NaN(), x[3] = -0.0f;
  Tensor y({4});
  kernels::apply_activation(x, y, Activation::relu);
  CHECK(y[0] == 0.0f);
  CHECK(y[1] == inf);
  CHECK(std::isnan(y[2]));
  CHECK(y[3] == 0.0f);
  kernels::sigmoid(x, y);
  CHECK(y[0] == 0.0f);
  CHECK(y[1] == 1.0f);
  CHECK(y[3] == doctest::Approx(0.5));
}

TEST_CASE("sigmoid and add against their definitions") {
  const Tensor a = random_tensor({101}, 1), b = random_tensor({101}, 2);
  Tensor sum({101}), s({101});
  kernels::add(a, b, sum);
  kernels::sigmoid(a, s);
  for (std::size_t i = 0; i < 101; ++i) {
    CHECK(sum[i] == a[i] + b[i]);
    CHECK(static_cast<double>(s[i]) ==
          doctest::Approx(1 / (1 + std::exp(-static_cast<double>(a[i])))).epsilon(1e-6));
  }
}

TEST_CASE("softmax equals its plain twin and never overflows") {
  for (const std::size_t n : Sizes{1, 2, 7, 10, 16, 33, 1000})
    for (const std::size_t rows : Sizes{0, 1, 3}) {
      Tensor input = random_tensor({rows, n}, static_cast<std::uint32_t>(n));
      for (float& x : input.span()) x *= 30.0f;
      Tensor fast({rows, n}), plain({rows, n});
      kernels::softmax(input, fast);
      reference::softmax(input, plain);
      CHECK((rows == 0 || relative_difference(fast, plain) < 2e-6));
    }
  Tensor extreme({1, 3});
  extreme[0] = 3e38f, extreme[1] = -3e38f, extreme[2] = 3e38f;
  Tensor output({1, 3});
  kernels::softmax(extreme, output);
  CHECK(output[0] == doctest::Approx(0.5));
  CHECK(output[1] == 0.0f);
}
