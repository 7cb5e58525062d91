// Feature maps joined along their channels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include <qcnet/core/parallel.hpp>
#include <qcnet/core/tensor.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

/// The channels of each pixel of all `inputs`, behind each other: `[N, H, W, C0]`, `[N, H, W, C1]`, ... to
/// `[N, H, W, C0 + C1 + ...]`.
inline void concat_channels(std::span<const ConstTensorView> inputs, TensorView output) {
  const auto body = [&](std::size_t pixel) {
    float* to = output.pixel(pixel);
    for (const ConstTensorView& input : inputs)
      to = std::copy_n(input.pixel(pixel), input.shape.channels(), to);
  };
  parallel_for(output.shape.pixels(), body, output.shape.elements() > (std::size_t{1} << 17));
}

}  // namespace qcnet::inline QCNET_ABI::kernels
