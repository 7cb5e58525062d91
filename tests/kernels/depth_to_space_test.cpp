#include "support.hpp"

#include <qcnet/kernels/depth_to_space.hpp>
#include <qcnet/kernels/reference.hpp>

using namespace qcnet;
using namespace qcnet::test;

TEST_CASE("patches become pixels as by their plain twin") {
  for (const std::size_t patch : Sizes{1, 2, 3, 8})
    for (const std::size_t channels : Sizes{1, 3, 8, 17, 33})
      for (const std::size_t batch : Sizes{0, 1, 3})
        for (const auto& [height, width] : {std::pair{1, 1}, {1, 3}, {5, 1}, {4, 7}}) {
          const auto h = static_cast<std::size_t>(height), w = static_cast<std::size_t>(width);
          const Tensor input = random_tensor({batch, h, w, patch * patch * channels},
                                             static_cast<std::uint32_t>(10 * patch + channels));
          Tensor fast({batch, h * patch, w * patch, channels}), plain(fast.shape());
          kernels::depth_to_space(patch, input, fast);
          reference::depth_to_space(patch, input, plain);
          CHECK(identical(fast, plain));
          if (patch == 1) CHECK(identical(fast, input));
        }
}

TEST_CASE("a patch's channels are its pixels', row by row") {
  Tensor input({1, 1, 2, 8}), output({1, 2, 4, 2});
  for (std::size_t i = 0; i < 16; ++i) input[i] = static_cast<float>(i);
  kernels::depth_to_space(2, input, output);
  const float expected[] = {0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15};
  CHECK(std::equal(std::begin(expected), std::end(expected), output.data()));
}

TEST_CASE("patches become pixels for any number of threads") {
  const Tensor input = random_tensor({1, 40, 40, 4 * 40}, 1);
  Tensor one({1, 80, 80, 40}), several(one.shape());
  {
    const Threads threads(1);
    kernels::depth_to_space(2, input, one);
  }
  const Threads threads(3);
  kernels::depth_to_space(2, input, several);
  CHECK(identical(one, several));
}
