// Nearest-neighbour upsampling.
#pragma once

#include <algorithm>
#include <cstddef>

#include <qcnet/core/parallel.hpp>
#include <qcnet/core/tensor.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

/// Each pixel of `[N, H, W, C]` four times, as a square of two by two: `[N, 2 H, 2 W, C]`.
inline void upsample_by_2(ConstTensorView input, TensorView output) {
  const std::size_t width = input.shape[2], channels = input.shape[3];
  const auto body = [&](std::size_t line) {  // of the input; two lines of the output are its copies
    float* const first = output.pixel(line * 4 * width);
    float* to = first;
    for (std::size_t x = 0; x < width; ++x)
      for (int twice = 0; twice < 2; ++twice) to = std::copy_n(input.pixel(line * width + x), channels, to);
    std::copy(first, to, to);
  };
  parallel_for(input.shape[0] * input.shape[1], body, output.shape.elements() > (std::size_t{1} << 17));
}

}  // namespace qcnet::inline QCNET_ABI::kernels
