// Joining feature maps as a layer.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include <qcnet/kernels/concat.hpp>
#include <qcnet/layers/layer.hpp>

namespace qcnet::inline QCNET_ABI {

/// The channels of all inputs behind each other; the other dimensions must be the same.
class ConcatChannels final : public Layer {
 public:
  std::string_view kind() const override { return "concat_channels"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.empty() || inputs[0].rank() != 4) return Error("joining takes inputs [N, H, W, C]");
    const Shape& first = inputs[0];
    std::size_t channels = 0;
    for (const Shape& s : inputs) {
      if (s.rank() != 4 || s[0] != first[0] || s[1] != first[1] || s[2] != first[2])
        return Error("the maps " + first.to_string() + " and " + s.to_string() +
                     " cannot be joined, they differ in more than their channels");
      channels += s[3];
    }
    const std::size_t dims[] = {first[0], first[1], first[2], channels};
    return Shape::make(std::span<const std::size_t>(dims));
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    kernels::concat_channels(inputs, output);
  }
};

}  // namespace qcnet::inline QCNET_ABI
