// Strassen's seven products in place of eight ("Gaussian Elimination is not Optimal", 1969), as sums of the
// quarters of either matrix and of the products. Quarters in the order upper left, upper right, lower left,
// lower right.
#pragma once

#include <array>
#include <cstddef>

#include <qcnet/kernels/gemm.hpp>
#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::kernels::detail {

inline constexpr std::size_t strassen_products = 7;

/// Quarters of the weights in each product.
inline constexpr std::array<std::array<float, 4>, strassen_products> strassen_weights = {{
    {1, 0, 0, 1},
    {1, 0, 0, 0},
    {0, 1, 0, -1},
    {-1, 0, 1, 0},
    {0, 0, 0, 1},
    {1, 1, 0, 0},
    {0, 0, 1, 1},
}};

/// What each product takes of the quarters `a` of the inputs.
inline std::array<vec, strassen_products> strassen_inputs(const std::array<vec, 4>& a) {
  return {a[0] + a[3], a[2] + a[3], a[0], a[3], a[0] + a[1], a[2] - a[0], a[1] - a[3]};
}

/// The quarters of the result from the products `m`.
inline std::array<vec, 4> strassen_outputs(const std::array<vec, strassen_products>& m) {
  return {(m[0] + m[3]) + (m[6] - m[4]), m[2] + m[4], m[1] + m[3], (m[0] - m[1]) + (m[2] + m[5])};
}

/// Columns of the weights whose left and right halves are quarters of one block.
inline constexpr std::size_t strassen_columns = 2 * block_columns;

/// Whether a build has it. On other instruction sets it was not timed, and would make a node's program
/// larger.
inline constexpr bool has_strassen = QCNET_ISA_AVX512 || QCNET_ISA_AVX2;

}  // namespace qcnet::inline QCNET_ABI::kernels::detail
