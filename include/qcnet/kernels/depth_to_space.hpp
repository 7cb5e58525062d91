// From patches of pixels to pixels.
#pragma once

#include <algorithm>
#include <cstddef>

#include <qcnet/core/parallel.hpp>
#include <qcnet/core/tensor.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

/// Patches of P x P pixels, `[N, H, W, P P C]`, to the map they are of, `[N, H P, W P, C]`: channel
/// (a P + b) C + c of a patch is channel c of the pixel in its row a and column b.
inline void depth_to_space(std::size_t patch, ConstTensorView input, TensorView output) {
  const std::size_t width = input.shape[2];
  const std::size_t row = patch * output.shape[3];  // of a patch: side by side in both
  const auto body = [&](std::size_t line) {         // of the output
    const float* from = input.pixel(line / patch * width) + line % patch * row;
    float* to = output.pixel(line * width * patch);
    for (std::size_t x = 0; x < width; ++x) std::copy_n(from + x * patch * row, row, to + x * row);
  };
  parallel_for(output.shape[0] * output.shape[1], body, output.shape.elements() > (std::size_t{1} << 17));
}

}  // namespace qcnet::inline QCNET_ABI::kernels
