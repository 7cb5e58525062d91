// An activation as a layer of its own, for where nothing before it could take it.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include <qcnet/kernels/activation.hpp>
#include <qcnet/layers/layer.hpp>

namespace qcnet::inline QCNET_ABI {

/// activation(input 0), element by element.
class Activate final : public Layer {
 public:
  explicit Activate(kernels::Activation activation) : activation_(activation) {}

  std::string_view kind() const override { return "activation"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.size() != 1) return Error("an activation takes one input");
    return inputs[0];
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    kernels::apply_activation(inputs[0], output, activation_);
  }

 private:
  kernels::Activation activation_;
};

}  // namespace qcnet::inline QCNET_ABI
