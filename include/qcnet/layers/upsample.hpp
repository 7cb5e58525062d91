// Nearest-neighbour upsampling as a layer.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include <qcnet/kernels/upsample.hpp>
#include <qcnet/layers/layer.hpp>

namespace qcnet::inline QCNET_ABI {

/// Twice the height and width, each pixel repeated.
class UpsampleBy2 final : public Layer {
 public:
  std::string_view kind() const override { return "upsample_by_2"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.size() != 1 || inputs[0].rank() != 4) return Error("upsampling takes one input [N, H, W, C]");
    const Shape& s = inputs[0];
    const std::size_t dims[] = {s[0], 2 * s[1], 2 * s[2], s[3]};
    return Shape::make(std::span<const std::size_t>(dims));
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    kernels::upsample_by_2(inputs[0], output);
  }
};

}  // namespace qcnet::inline QCNET_ABI
