// Convolution and what is fused into it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <qcnet/kernels/conv2d.hpp>
#include <qcnet/kernels/fastest_algorithm.hpp>
#include <qcnet/layers/activation.hpp>
#include <qcnet/layers/layer.hpp>
#include <qcnet/layers/weights.hpp>

namespace qcnet::inline QCNET_ABI {

using kernels::Activation;

/// activation(convolution(input 0) + bias + input 1, if there is one). Paper-standard residual blocks end so.
class Conv2d : public Layer {
 public:
  Conv2d(kernels::PackedConv2d packed, Activation activation)
      : packed_(std::move(packed)), activation_(activation) {}

  /// Reads `<name>.weight`, `<name>.bias` if there, and folds the normalization `batch_norm` (none if empty).
  /// The file must hold a kernel of the geometry's size over `input_channels` in its groups; 0 groups: as
  /// many as the weight's shape says.
  static Result<std::shared_ptr<const Conv2d>> load(const io::Safetensors& file, const std::string& name,
                                                    const std::string& batch_norm, ConvGeometry geometry,
                                                    std::size_t input_channels, Activation activation) {
    QCNET_TRY(const ConvWeights conv, load_conv_weights(file, name, batch_norm));
    return make(conv, name, geometry, input_channels, activation);
  }

  /// The same from weights that were read already, `[Cout, Kh, Kw, Cin / groups]`; `name` is for errors,
  /// which give shapes in PyTorch's order, as files have them.
  static Result<std::shared_ptr<const Conv2d>> make(const ConvWeights& conv, const std::string& name,
                                                    ConvGeometry geometry, std::size_t input_channels,
                                                    Activation activation) {
    const Shape& s = conv.weights.shape();
    if (s.rank() != 4) return Error(name + ".weight: expected 4 dimensions, found shape " + s.to_string());
    if (geometry.groups == 0) {
      const bool divides = s[3] != 0 && input_channels % s[3] == 0;
      geometry.groups = divides ? std::max(input_channels / s[3], std::size_t{1}) : 1;
    }
    const std::size_t inputs = input_channels / geometry.groups;
    const bool turned = s[1] == inputs && s[2] == geometry.kernel_h && s[3] == geometry.kernel_w;
    if (s[1] != geometry.kernel_h || s[2] != geometry.kernel_w || s[3] != inputs)
      return turned ? Error(name + ".weight: is in PyTorch's order; channels_last() gives ours")
                    : wrong_kernel(name, s, inputs, geometry.kernel_h, geometry.kernel_w);
    auto packed = kernels::PackedConv2d::make(conv.weights, conv.bias, geometry);
    if (!packed) return packed.error().in(name + ".weight");
    return std::make_shared<const Conv2d>(std::move(packed).value(), activation);
  }

  std::string_view kind() const override { return "conv2d"; }
  std::size_t output_channels() const { return packed_.output_channels(); }

  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.empty() || inputs.size() > 2)
      return Error("a convolution takes one input and at most one residual");
    QCNET_TRY(const Shape output, packed_.output_shape(inputs[0]));
    return detail::with_residual(inputs, output);
  }

  std::shared_ptr<const Layer> faster_for(std::span<const Shape> inputs,
                                          const Arithmetic& allowed) const override {
    const auto output = packed_.output_shape(inputs[0]);
    if (!output || packed_.algorithm() != kernels::ConvAlgorithm::direct) return nullptr;
    const auto algorithm = kernels::fastest_algorithm(packed_, *output, allowed);
    if (algorithm == kernels::ConvAlgorithm::direct) return nullptr;
    return std::make_shared<const Conv2d>(packed_.with(algorithm).value(), activation_);
  }
  std::size_t scratch_floats(std::span<const Shape> inputs) const override {
    const auto output = packed_.output_shape(inputs[0]);
    return output ? kernels::scratch_floats(packed_, *output) : 0;
  }

  void forward(std::span<const ConstTensorView> inputs, TensorView output,
               std::span<float> scratch) const override {
    kernels::conv2d(packed_, inputs[0], output, activation_, detail::residual(inputs), scratch);
  }

  bool may_overwrite(std::size_t input) const override {
    return input == 1 && kernels::is_quick_in_place(packed_);
  }
  bool emits_bits() const override { return kernels::can_emit_bits(packed_); }
  void forward_bits(std::span<const ConstTensorView> inputs, std::span<const float> thresholds,
                    BitplaneView output, std::span<float> scratch) const override {
    kernels::conv2d_bits(packed_, inputs[0], output, thresholds, activation_, detail::residual(inputs),
                         scratch);
  }

  bool can_max_pool(const ConvGeometry& windows, std::span<const Shape> inputs) const override {
    const auto output = packed_.output_shape(inputs[0]);
    return output && inputs.size() == 1 && kernels::can_max_pool(packed_, windows, *output);
  }
  void forward_max_pooled(std::span<const ConstTensorView> inputs, TensorView output,
                          std::span<float> scratch) const override {
    kernels::conv2d_max_pooled(packed_, inputs[0], output, activation_, scratch);
  }

  std::optional<std::pair<std::shared_ptr<const Layer>, std::shared_ptr<const Layer>>> apart_from_activation()
      const override {
    if (activation_ == Activation::none) return std::nullopt;
    return std::pair{std::make_shared<const Conv2d>(packed_, Activation::none),
                     std::make_shared<const Activate>(activation_)};
  }

  std::size_t weight_bytes() const override { return packed_.bytes(); }
  std::uint64_t multiply_adds(std::span<const Shape> inputs) const override {
    const auto output = packed_.output_shape(inputs[0]);
    if (!output) return 0;
    return std::uint64_t{output->elements()} * packed_.geometry().taps() * packed_.group_input_channels();
  }

 private:
  kernels::PackedConv2d packed_;
  Activation activation_;
};

}  // namespace qcnet::inline QCNET_ABI
