#include "support.hpp"

#include <qcnet/kernels/fastest_algorithm.hpp>

using namespace qcnet;
using namespace qcnet::test;
using kernels::ConvAlgorithm;
using kernels::PackedConv2d;

TEST_CASE("the algorithm follows the map's shape") {
  const auto chosen = [](std::size_t side, std::size_t channels, std::size_t kernel, std::size_t stride) {
    const Tensor weights({channels, kernel, kernel, channels});
    const auto packed = PackedConv2d::make(weights, {}, ConvGeometry::square(kernel, stride, kernel / 2));
    return kernels::fastest_algorithm(*packed, {1, side, side, channels});
  };
  CHECK(chosen(56, 64, 3, 1) == ConvAlgorithm::winograd_4x4);
  CHECK(chosen(14, 256, 3, 1) == ConvAlgorithm::winograd_4x4);
  CHECK(chosen(7, 512, 3, 1) == ConvAlgorithm::winograd_2x2);
  CHECK(chosen(7, 64, 3, 1) == ConvAlgorithm::winograd_4x4);
  CHECK(chosen(56, 5, 3, 1) == ConvAlgorithm::winograd_4x4);
  CHECK(chosen(56, 4, 3, 1) == ConvAlgorithm::direct);
  CHECK(chosen(4, 64, 3, 1) == ConvAlgorithm::winograd_2x2);
  CHECK(chosen(2, 64, 3, 1) == ConvAlgorithm::direct);
  CHECK(chosen(56, 64, 3, 2) == ConvAlgorithm::direct);
  CHECK(chosen(56, 64, 5, 1) == ConvAlgorithm::direct);
  CHECK(chosen(0, 64, 3, 1) == ConvAlgorithm::direct);
  const auto large = kernels::detail::has_strassen ? ConvAlgorithm::strassen : ConvAlgorithm::direct;
  CHECK(chosen(14, 512, 1, 1) == large);
  CHECK(chosen(14, 512, 1, 2) == large);
  CHECK(chosen(7, 512, 1, 1) == (QCNET_ISA_AVX512 ? large : ConvAlgorithm::direct));
  CHECK(chosen(6, 512, 1, 1) == ConvAlgorithm::direct);
  CHECK(chosen(14, 64, 1, 1) == ConvAlgorithm::direct);
  CHECK(chosen(14, 513, 1, 1) == ConvAlgorithm::direct);
  CHECK(chosen(0, 512, 1, 1) == ConvAlgorithm::direct);
}
