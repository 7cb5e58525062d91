// Which roundings a user allows for the sake of speed.
#pragma once

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI {

/// Whether this build has instructions for products of bfloat16 (AVX512_BF16, ARMv8.6's BF16).
inline constexpr bool has_bf16 = QCNET_HAS_BF16 != 0;

/// How an executor may compute, each at the price of coarser rounding.
struct Arithmetic {
  /// 3x3 convolutions of stride 1 by Winograd's algorithm, which takes 2 to 3 times less time, and with
  /// AVX-512 or AVX2 large linear layers and 1x1 convolutions by Strassen's, which takes up to a tenth less.
  /// Weights take up to 4 times and 1.75 times the memory, planning takes some hundred milliseconds, and
  /// roundings are a few times coarser (kernels::conv2d). Executors that are made apart do not share these
  /// weights, copies do.
  bool fast = true;
  /// Linear layers and 1x1 convolutions of bfloat16: weights and inputs are rounded to 8 bits, products are
  /// summed up in float (kernels::conv2d). Needs `has_bf16`.
  bool bf16 = false;
};

}  // namespace qcnet::inline QCNET_ABI
