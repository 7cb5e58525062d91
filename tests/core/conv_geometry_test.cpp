#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/core/conv_geometry.hpp>

#include <doctest/doctest.h>

using namespace qcnet;

namespace {

/// A call that sees nothing of what it is called with: the geometry is copied for it.
#if defined(__GNUC__)
__attribute__((noinline))
#endif
void check_square(ConvGeometry g, std::size_t kernel, std::size_t stride, std::size_t pad) {
  CHECK((g.kernel_h == kernel && g.kernel_w == kernel));
  CHECK((g.stride_h == stride && g.stride_w == stride));
  CHECK((g.dilation_h == 1 && g.dilation_w == 1 && g.groups == 1));
  CHECK((g.pad_h == pad && g.pad_w == pad && g.extra_bottom == 0 && g.extra_right == 0));
}

/// Kernels of 1 to 4 with strides of 1 to 4, of which the compiler knows all.
template <std::size_t pad, std::size_t... i>
void check_squares(std::index_sequence<i...>) {
  (check_square(ConvGeometry::square(1 + i / 4, 1 + i % 4, pad), 1 + i / 4, 1 + i % 4, pad), ...);
}

}  // namespace

TEST_CASE("geometry: constant windows keep their padding when they are copied") {
  check_squares<0>(std::make_index_sequence<16>());
  check_squares<1>(std::make_index_sequence<16>());
  check_squares<3>(std::make_index_sequence<16>());
}

TEST_CASE("geometry: a window over patches sees what those of its pixels see") {
  for (std::size_t kernel = 1; kernel <= 7; ++kernel)
    for (std::size_t stride = 1; stride <= kernel; ++stride)
      for (const std::size_t patch : {1u, 2u, 3u, 8u}) {
        const ConvGeometry own = ConvGeometry::square(kernel, stride, kernel / 2);
        const ConvGeometry made = own.of_patches(patch);
        check_square(made, kernel + stride * (patch - 1), stride * patch, kernel / 2);
        // As many patches as the pixels make.
        const Shape input{2, stride * patch * 3, stride * patch * 5, 4};
        const Shape pixels = own.output(input, 6).value(), patches = made.output(input, 7).value();
        CHECK(patches == Shape{2, pixels[1] / patch, pixels[2] / patch, 7});
      }
  const ConvGeometry strided = ConvGeometry::square(1, 2), between = strided.of_patches(3);
  CHECK(
      (between.kernel_h == 3 && between.kernel_w == 3 && between.dilation_h == 2 && between.dilation_w == 2));
  CHECK((between.stride_h == 6 && between.stride_w == 6));
  CHECK(between.output({1, 12, 18, 4}, 7).value() == Shape{1, 2, 3, 7});
  CHECK(strided.of_patches(1).output({1, 12, 18, 4}, 7).value() == Shape{1, 6, 9, 7});
  ConvGeometry wide;
  wide.kernel_w = 5;
  wide.stride_w = 3;
  const ConvGeometry made = wide.of_patches(2);
  CHECK((made.kernel_h == 2 && made.stride_h == 2 && made.kernel_w == 8 && made.stride_w == 6));
}

TEST_CASE("geometry: sizes of nothing, or whose products could wrap, are refused") {
  using Size = std::size_t ConvGeometry::*;
  const Shape input{1, 8, 8, 3};
  const auto said = [&](Size size, std::size_t value) {
    ConvGeometry g = ConvGeometry::square(3, 1, 1);
    g.*size = value;
    const auto made = g.output(input, 4);
    return made.ok() ? std::string() : made.error().message();
  };
  const std::vector<Size> counts = {&ConvGeometry::kernel_h,   &ConvGeometry::kernel_w,
                                    &ConvGeometry::stride_h,   &ConvGeometry::stride_w,
                                    &ConvGeometry::dilation_h, &ConvGeometry::dilation_w};
  std::vector<Size> all = {&ConvGeometry::pad_h, &ConvGeometry::pad_w, &ConvGeometry::extra_bottom,
                           &ConvGeometry::extra_right};
  for (const Size size : counts) {
    CHECK(said(size, 0) == "kernel size, stride and dilation must be at least 1");
    all.push_back(size);
  }
  for (const Size size : all) {
    CHECK(said(size, 65535).find("at most") == std::string::npos);
    CHECK(said(size, 65536) ==
          "kernel size, stride, dilation and padding are at most 65535 pixels, found 65536");
  }
}
