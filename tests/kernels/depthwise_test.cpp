#include "support.hpp"

#include <qcnet/kernels/depthwise.hpp>
#include <qcnet/kernels/reference.hpp>

using namespace qcnet;
using namespace qcnet::test;
using kernels::Activation, kernels::PackedDepthwise;

namespace {

void check(const ConvGeometry& geometry, const Shape& input_shape, Activation activation = Activation::none) {
  const std::size_t channels = input_shape[3];
  const Tensor input = random_tensor(input_shape, 1);
  const Tensor weights = random_tensor({channels, geometry.kernel_h, geometry.kernel_w, 1}, 2);
  const auto bias = random_values(channels, 3);
  const auto conv = PackedDepthwise::make(weights, bias, geometry).value();
  Tensor fast(conv.output_shape(input_shape).value()), plain(fast.shape());
  kernels::depthwise_conv2d(conv, input, fast, activation);
  ConvGeometry grouped = geometry;
  grouped.groups = channels;
  reference::conv2d(weights, bias, grouped, input, plain, activation);
  CAPTURE(input_shape.to_string());
  CAPTURE(geometry.kernel_h);
  CHECK((fast.span().empty() || relative_difference(fast, plain) < 2e-6));
}

}  // namespace

TEST_CASE("depthwise convolution equals the plain grouped one") {
  for (const std::size_t channels : Sizes{1, 3, 8, 16, 31, 33, 96})
    for (const std::size_t kernel : Sizes{1, 3, 5, 7})
      for (const std::size_t stride : Sizes{1, 2})
        for (const std::size_t size : Sizes{7, 13, 20}) {
          if (channels > 33 && kernel == 5) continue;
          check(ConvGeometry::square(kernel, stride, kernel / 2), {1, size, size + 1, channels});
          check(ConvGeometry::square(kernel, stride), {2, size, size, channels}, Activation::relu);
        }
}

TEST_CASE("depthwise windows of every width, at every border") {
  for (const std::size_t kernel : Sizes{3, 5, 7})
    for (std::size_t width = 1; width <= 32; ++width)
      for (const std::size_t pad : Sizes{0, 1, kernel / 2, kernel + 2}) {
        if (width + 2 * pad < kernel) continue;
        ConvGeometry g = ConvGeometry::square(kernel, 1, pad);
        g.pad_h = 1, g.kernel_h = 2, g.dilation_h = 1 + width % 2;
        check(g, {1, 4, width, width % 3 == 0 ? vec::size : width % 3 == 1 ? std::size_t{3} : vec::size + 1});
      }
}

TEST_CASE("depthwise convolution with odd geometry") {
  ConvGeometry g = ConvGeometry::square(3, 1, 2);
  g.dilation_h = 2, g.dilation_w = 3, g.pad_w = 5, g.kernel_h = 5;
  check(g, {1, 11, 17, 19});
  check(ConvGeometry::square(7, 1, 3), {1, 1, 1, 16});  // the kernel is wider than the image
  check(ConvGeometry::square(3, 1, 9), {1, 2, 2, 5});   // outputs that see padding only
  check(ConvGeometry::square(3, 3, 1), {0, 5, 5, 4});
  g = ConvGeometry::square(3, 1, 1);
  g.extra_bottom = 1, g.extra_right = 4;  // outputs at the right that see padding only
  check(g, {2, 6, 19, 33});
}

TEST_CASE("depthwise convolution for any number of threads, bit for bit") {
  const Tensor input = random_tensor({1, 40, 40, 48}, 1), weights = random_tensor({48, 7, 7, 1}, 2);
  const auto conv = PackedDepthwise::make(weights, {}, ConvGeometry::square(7, 1, 3)).value();
  Tensor one(input.shape()), two(input.shape());
  {
    const Threads threads(1);
    kernels::depthwise_conv2d(conv, input, one);
  }
  const Threads threads(2);
  kernels::depthwise_conv2d(conv, input, two);
  CHECK(identical(one, two));
}

TEST_CASE("depthwise convolution says what does not fit") {
  const Tensor weights = random_tensor({4, 3, 3, 1}, 1);
  const auto message = [](const auto& result) { return result.error().message(); };
  CHECK(contains(message(PackedDepthwise::make(weights, {}, ConvGeometry::square(5))), "[C, 5, 5, 1]"));
  const std::vector<float> bias(3);
  CHECK(contains(message(PackedDepthwise::make(weights, bias, ConvGeometry::square(3))), "4 bias values"));
  const auto conv = PackedDepthwise::make(weights, {}, ConvGeometry::square(3)).value();
  CHECK(contains(message(conv.output_shape({1, 8, 8, 5})), "expected 4 input channels"));
}
