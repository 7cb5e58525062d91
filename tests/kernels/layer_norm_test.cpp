#include "support.hpp"

#include <qcnet/kernels/layer_norm.hpp>
#include <qcnet/kernels/reference.hpp>

using namespace qcnet;
using namespace qcnet::test;

TEST_CASE("layer normalization equals its plain twin") {
  for (const std::size_t channels : Sizes{1, 3, 8, 16, 31, 64, 65, 768, 1023})
    for (const std::size_t rows : Sizes{0, 1, 3, 17, 197}) {
      const Tensor input = random_tensor({rows, channels}, static_cast<std::uint32_t>(channels));
      const auto gamma = random_values(channels, 1), beta = random_values(channels, 2);
      Tensor fast({rows, channels}), plain({rows, channels});
      kernels::layer_norm(input, gamma, beta, 1e-6f, fast);
      reference::layer_norm(input, gamma, beta, 1e-6f, plain);
      CAPTURE(channels);
      CHECK((rows == 0 || relative_difference(fast, plain) < 2e-6));
    }
}

TEST_CASE("layer normalization far from zero keeps its digits, and a constant row becomes beta") {
  const std::size_t channels = 100;
  Tensor input = random_tensor({2, channels}, 3);
  for (std::size_t i = 0; i < channels; ++i) input[i] += 1000.0f, input[channels + i] = 7.0f;
  const std::vector<float> gamma(channels, 2.0f), beta(channels, 0.5f);
  Tensor fast({2, channels}), plain({2, channels});
  kernels::layer_norm(input, gamma, beta, 1e-6f, fast);
  reference::layer_norm(input, gamma, beta, 1e-6f, plain);
  CHECK(relative_difference(fast, plain) < 1e-4);  // the mean of 1000 has an error of 6e-5 itself
  for (std::size_t i = 0; i < channels; ++i) CHECK(fast[channels + i] == doctest::Approx(0.5));
}

TEST_CASE("layer normalization in place, for any number of threads") {
  const Tensor input = random_tensor({1, 197, 768}, 4);
  const auto gamma = random_values(768, 1), beta = random_values(768, 2);
  Tensor one(input.shape()), two(input);
  {
    const Threads threads(1);
    kernels::layer_norm(input, gamma, beta, 1e-6f, one);
  }
  const Threads threads(2);
  kernels::layer_norm(two, gamma, beta, 1e-6f, two);
  CHECK(identical(one, two));
}
