#include "support.hpp"

#include <tuple>

#include <qcnet/kernels/pool.hpp>
#include <qcnet/kernels/reference.hpp>

using namespace qcnet;
using namespace qcnet::test;

TEST_CASE("pooling equals its plain twins") {
  for (const std::size_t channels : Sizes{1, 3, 8, 15, 16, 17, 33, 64})
    for (const auto& [kernel, stride, pad] :
         {std::tuple{3, 2, 1}, {2, 2, 0}, {3, 1, 1}, {1, 1, 0}, {5, 3, 2}})
      for (const std::size_t batch : Sizes{0, 1, 2}) {
        const auto geometry =
            ConvGeometry::square(static_cast<std::size_t>(kernel), static_cast<std::size_t>(stride),
                                 static_cast<std::size_t>(pad));
        const Tensor input = random_tensor({batch, 11, 13, channels}, static_cast<std::uint32_t>(channels));
        const Shape shape = geometry.output(input.shape(), channels).value();
        Tensor fast(shape), plain(shape);
        kernels::max_pool(geometry, input, fast);
        reference::max_pool(geometry, input, plain);
        CHECK(identical(fast, plain));
        for (const bool count_padding : {false, true}) {
          kernels::average_pool(geometry, input, fast, count_padding);
          reference::average_pool(geometry, input, plain, count_padding);
          CHECK((batch == 0 || relative_difference(fast, plain) < 1e-6));
        }
      }
}

TEST_CASE("padding never wins a max pool") {
  Tensor input({1, 2, 2, 5});
  for (float& x : input.span()) x = -7.0f;
  Tensor output({1, 2, 2, 5});
  kernels::max_pool(ConvGeometry::square(3, 1, 1), input, output);
  for (const float x : output.span()) CHECK(x == -7.0f);
}

TEST_CASE("global average pooling equals its plain twin") {
  for (const std::size_t channels : Sizes{1, 7, 16, 31, 100})
    for (const std::size_t batch : Sizes{0, 1, 3}) {
      Tensor input = random_tensor({batch, 7, 5, channels}, 4);
      for (float& x : input.span()) x = std::fabs(x);  // no cancellation: the bound is relative to the mean
      Tensor fast({batch, channels}), plain({batch, channels});
      kernels::global_average_pool(input, fast);
      reference::global_average_pool(input, plain);
      CHECK((batch == 0 || relative_difference(fast, plain) < 1e-6));
    }
}
