#include <cstddef>
#include <utility>

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
