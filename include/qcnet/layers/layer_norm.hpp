// Layer normalization.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <qcnet/kernels/layer_norm.hpp>
#include <qcnet/layers/layer.hpp>
#include <qcnet/layers/weights.hpp>

namespace qcnet::inline QCNET_ABI {

/// Normalizes every pixel or token over its channels.
class LayerNorm final : public Layer {
 public:
  /// Raises unless gamma and beta are `[channels]`.
  LayerNorm(Tensor gamma, Tensor beta, float eps)
      : gamma_(std::move(gamma)), beta_(std::move(beta)), eps_(eps) {
    if (gamma_.shape().rank() != 1 || !(gamma_.shape() == beta_.shape()))
      raise(Error("layer normalization: a gamma " + gamma_.shape().to_string() + " and a beta " +
                  beta_.shape().to_string() + " are not of the same channels"));
  }

  /// Reads `<name>.weight` and `<name>.bias`, both `[channels]`.
  static Result<std::shared_ptr<const LayerNorm>> load(const io::Safetensors& file, const std::string& name,
                                                       std::size_t channels, float eps = 1e-6f) {
    QCNET_TRY(Tensor gamma, load_tensor(file, name + ".weight", {channels}));
    QCNET_TRY(Tensor beta, load_tensor(file, name + ".bias", {channels}));
    return std::make_shared<const LayerNorm>(std::move(gamma), std::move(beta), eps);
  }

  std::string_view kind() const override { return "layer_norm"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    const std::size_t channels = gamma_.span().size();
    if (inputs.size() != 1 || inputs[0].rank() == 0 || inputs[0].channels() != channels)
      return Error("expected one input [..., " + std::to_string(channels) + "], found " +
                   (inputs.empty() ? std::string("none") : inputs[0].to_string()));
    return inputs[0];
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    kernels::layer_norm(inputs[0], gamma_.span(), beta_.span(), eps_, output);
  }
  std::size_t weight_bytes() const override { return gamma_.span().size_bytes() + beta_.span().size_bytes(); }

 private:
  Tensor gamma_, beta_;
  float eps_;
};

}  // namespace qcnet::inline QCNET_ABI
