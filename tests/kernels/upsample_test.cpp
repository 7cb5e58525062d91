#include "support.hpp"

#include <qcnet/kernels/reference.hpp>
#include <qcnet/kernels/upsample.hpp>

using namespace qcnet;
using namespace qcnet::test;

TEST_CASE("upsampling equals its plain twin") {
  for (const std::size_t channels : Sizes{1, 3, 8, 15, 17, 33, 128})
    for (const std::size_t batch : Sizes{0, 1, 3})
      for (const auto& [height, width] : {std::pair{1, 1}, {1, 3}, {5, 1}, {13, 13}, {7, 2}}) {
        const auto h = static_cast<std::size_t>(height), w = static_cast<std::size_t>(width);
        const Tensor input = random_tensor({batch, h, w, channels}, static_cast<std::uint32_t>(channels));
        Tensor fast({batch, 2 * h, 2 * w, channels}), plain(fast.shape());
        kernels::upsample_by_2(input, fast);
        reference::upsample_by_2(input, plain);
        CHECK(identical(fast, plain));
      }
}

TEST_CASE("upsampling makes a square of each pixel") {
  Tensor input({1, 1, 2, 1}), output({1, 2, 4, 1});
  input[0] = 1, input[1] = 2;
  kernels::upsample_by_2(input, output);
  const float expected[] = {1, 1, 2, 2, 1, 1, 2, 2};
  CHECK(std::equal(std::begin(expected), std::end(expected), output.data()));
}

TEST_CASE("upsampling for any number of threads") {
  const Tensor input = random_tensor({1, 40, 40, 40}, 1);
  Tensor one({1, 80, 80, 40}), several(one.shape());
  {
    const Threads threads(1);
    kernels::upsample_by_2(input, one);
  }
  const Threads threads(3);
  kernels::upsample_by_2(input, several);
  CHECK(identical(one, several));
}
