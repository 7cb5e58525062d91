// The Gaussian error linear unit as a layer.
#pragma once

#include <span>
#include <string_view>

#include <qcnet/kernels/gelu.hpp>
#include <qcnet/layers/layer.hpp>

namespace qcnet::inline QCNET_ABI {

/// x * Phi(x), element by element.
class Gelu final : public Layer {
 public:
  std::string_view kind() const override { return "gelu"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.size() != 1) return Error("GELU takes one input");
    return inputs[0];
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    kernels::gelu(inputs[0], output);
  }
};

}  // namespace qcnet::inline QCNET_ABI
