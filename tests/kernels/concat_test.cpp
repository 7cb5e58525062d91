#include "support.hpp"

#include <qcnet/kernels/concat.hpp>
#include <qcnet/kernels/reference.hpp>

using namespace qcnet;
using namespace qcnet::test;

TEST_CASE("joining maps equals its plain twin") {
  for (const std::size_t a : Sizes{1, 3, 16, 33})
    for (const std::size_t b : Sizes{0, 1, 7, 128})
      for (const std::size_t batch : Sizes{0, 1, 2})
        for (const std::size_t size : Sizes{1, 5, 26}) {
          const Tensor first = random_tensor({batch, size, size + 1, a}, 1);
          const Tensor second = random_tensor({batch, size, size + 1, b}, 2);
          const ConstTensorView inputs[] = {first, second, first};
          Tensor fast({batch, size, size + 1, 2 * a + b}), plain(fast.shape());
          kernels::concat_channels(inputs, fast);
          reference::concat_channels(inputs, plain);
          CHECK(identical(fast, plain));
        }
}

TEST_CASE("a joined pixel holds the channels in the order of the inputs") {
  const Tensor first = random_tensor({1, 2, 1, 2}, 1), second = random_tensor({1, 2, 1, 1}, 2);
  const ConstTensorView inputs[] = {first, second};
  Tensor output({1, 2, 1, 3});
  kernels::concat_channels(inputs, output);
  const float expected[] = {first[0], first[1], second[0], first[2], first[3], second[1]};
  CHECK(std::equal(std::begin(expected), std::end(expected), output.data()));
}

TEST_CASE("joining for any number of threads") {
  const Tensor first = random_tensor({1, 60, 60, 40}, 1), second = random_tensor({1, 60, 60, 9}, 2);
  const ConstTensorView inputs[] = {first, second};
  Tensor one({1, 60, 60, 49}), several(one.shape());
  {
    const Threads threads(1);
    kernels::concat_channels(inputs, one);
  }
  const Threads threads(3);
  kernels::concat_channels(inputs, several);
  CHECK(identical(one, several));
}
