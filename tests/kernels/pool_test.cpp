#include "support.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
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

TEST_CASE("pooling with more padding at the bottom and right equals its plain twin") {
  for (const std::size_t channels : Sizes{1, 3, 16, 17, 33})
    for (const std::size_t kernel : Sizes{1, 2, 3, 4, 5})
      for (const std::size_t stride : Sizes{1, 2, 3})
        for (const Shape& size : {Shape{1, 1, 1, channels}, Shape{2, 2, 3, channels},
                                  Shape{1, 7, 4, channels}, Shape{0, 5, 5, channels}}) {
          const auto geometry = ConvGeometry::darknet_pool(kernel, stride);
          const Tensor input = random_tensor(size, static_cast<std::uint32_t>(kernel));
          const Shape shape = geometry.output(size, channels).value();
          // Darknet: (size + kernel - 1 - kernel) / stride + 1, which is the size over the stride, rounded
          // up.
          CHECK(shape[1] == (size[1] + stride - 1) / stride);
          CHECK(shape[2] == (size[2] + stride - 1) / stride);
          Tensor fast(shape), plain(shape);
          kernels::max_pool(geometry, input, fast);
          reference::max_pool(geometry, input, plain);
          CHECK(identical(fast, plain));
          for (const float x : fast.span()) CHECK(std::isfinite(x));  // no window sees padding only
        }
}

TEST_CASE("Darknet's pool of stride 1 sees the pixel, its right, lower and lower right neighbours") {
  Tensor input({1, 2, 3, 1}), output({1, 2, 3, 1});
  const float values[] = {-5, -1, -4, -2, -6, -3}, expected[] = {-1, -1, -3, -2, -3, -3};
  std::copy(std::begin(values), std::end(values), input.data());
  kernels::max_pool(ConvGeometry::darknet_pool(2, 1), input, output);
  CHECK(std::equal(std::begin(expected), std::end(expected), output.data()));
}

TEST_CASE("NaN never wins a max pool, wherever in a window it is") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::size_t channels : Sizes{1, 16, 19})
    for (std::size_t which = 1; which < 16; ++which) {  // of four pixels
      Tensor input = random_tensor({1, 2, 2, channels}, static_cast<std::uint32_t>(which));
      for (std::size_t pixel = 0; pixel < 4; ++pixel)
        if ((which >> pixel & 1) != 0) std::fill_n(input.view().pixel(pixel), channels, nan);
      Tensor fast({1, 1, 1, channels}), plain(fast.shape());
      kernels::max_pool(ConvGeometry::square(2, 2), input, fast);
      reference::max_pool(ConvGeometry::square(2, 2), input, plain);
      CAPTURE(which);
      CHECK(identical(fast, plain));
      CHECK(std::none_of(fast.span().begin(), fast.span().end(), [](float x) { return std::isnan(x); }));
    }
}

TEST_CASE("padding never wins a max pool") {
  Tensor input({1, 2, 2, 5});
  for (float& x : input.span()) x = -7.0f;
  Tensor output({1, 2, 2, 5});
  kernels::max_pool(ConvGeometry::square(3, 1, 1), input, output);
  for (const float x : output.span()) CHECK(x == -7.0f);
}

TEST_CASE("the mean of a large map loses no digits") {
  Tensor input({1, 512, 512, 3}), mean({1, 3});
  for (float& x : input.span()) x = 0.1f;
  kernels::global_average_pool(input, mean);
  for (const float x : mean.span()) CHECK(x == doctest::Approx(0.1).epsilon(2e-5));
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
