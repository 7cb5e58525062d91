// Convolution, linear and what is fused into them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <qcnet/kernels/conv2d.hpp>
#include <qcnet/kernels/linear.hpp>
#include <qcnet/layers/layer.hpp>
#include <qcnet/layers/weights.hpp>

namespace qcnet::inline QCNET_ABI {

using kernels::Activation;

/// activation(convolution(input 0) + bias + input 1, if there is one). Paper-standard residual blocks end so.
class Conv2d final : public Layer {
 public:
  Conv2d(kernels::PackedConv2d packed, Activation activation)
      : packed_(std::move(packed)), activation_(activation) {}

  /// Reads `<name>.weight`, `<name>.bias` if there, and folds the normalization `batch_norm` (none if empty).
  /// The file must hold a kernel of the geometry's size over `input_channels`; groups follow from the
  /// weight's shape.
  static Result<std::shared_ptr<const Conv2d>> load(const io::Safetensors& file, const std::string& name,
                                                    const std::string& batch_norm, ConvGeometry geometry,
                                                    std::size_t input_channels, Activation activation) {
    QCNET_TRY(ConvWeights conv, load_conv_weights(file, name, batch_norm));
    const Shape& s = conv.weights.shape();  // [Cout, Kh, Kw, Cin / groups]
    const bool fits = s[3] != 0 && input_channels % s[3] == 0;
    if (s[1] != geometry.kernel_h || s[2] != geometry.kernel_w || !fits)
      return Error(name + ".weight: expected shape " +
                   Shape{s[0], input_channels, geometry.kernel_h, geometry.kernel_w}.to_string() +
                   ", found " + Shape{s[0], s[3], s[1], s[2]}.to_string());
    geometry.groups = input_channels / s[3];
    auto packed = kernels::PackedConv2d::make(conv.weights, conv.bias, geometry);
    if (!packed) return packed.error().in(name + ".weight");
    return std::make_shared<const Conv2d>(std::move(packed).value(), activation);
  }

  std::string_view kind() const override { return "conv2d"; }
  std::size_t output_channels() const { return packed_.output_channels(); }

  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.empty() || inputs.size() > 2)
      return Error("a convolution takes one input and at most one residual");
    QCNET_TRY(Shape output, packed_.output_shape(inputs[0]));
    if (inputs.size() == 2 && !(inputs[1] == output))
      return Error("the residual " + inputs[1].to_string() + " does not have the output's shape " +
                   output.to_string());
    return output;
  }

  void forward(std::span<const ConstTensorView> inputs, TensorView output) const override {
    kernels::conv2d(packed_, inputs[0], output, activation_, residual(inputs));
  }

  bool emits_bits() const override { return kernels::can_emit_bits(packed_); }
  void forward_bits(std::span<const ConstTensorView> inputs, std::span<const float> thresholds,
                    BitplaneView output) const override {
    kernels::conv2d_bits(packed_, inputs[0], output, thresholds, activation_, residual(inputs));
  }

  std::size_t weight_bytes() const override { return packed_.bytes(); }
  std::size_t multiply_adds(std::span<const Shape> inputs) const override {
    const auto output = packed_.output_shape(inputs[0]);
    return output.ok() ? output->elements() * packed_.geometry().taps() * packed_.group_input_channels() : 0;
  }

 private:
  static ConstTensorView residual(std::span<const ConstTensorView> inputs) {
    return inputs.size() == 2 ? inputs[1] : ConstTensorView{};
  }

  kernels::PackedConv2d packed_;
  Activation activation_;
};

/// Fully connected: `[..., in]` to `[..., out]`.
class Linear final : public Layer {
 public:
  explicit Linear(kernels::PackedConv2d packed) : packed_(std::move(packed)) {}

  /// Reads `<name>.weight` `[out, in]` and `<name>.bias` `[out]`; `in` must be `input_features`.
  static Result<std::shared_ptr<const Linear>> load(const io::Safetensors& file, const std::string& name,
                                                    std::size_t input_features) {
    QCNET_TRY(Tensor weight, load_tensor(file, name + ".weight"));
    const Shape& s = weight.shape();
    if (s.rank() != 2 || s[1] != input_features)
      return Error(name + ".weight: expected shape [out, " + std::to_string(input_features) + "], found " +
                   s.to_string());
    QCNET_TRY(Tensor bias, load_tensor(file, name + ".bias", {s[0]}));
    auto packed = kernels::pack_linear(weight, bias.span());
    if (!packed) return packed.error().in(name + ".weight");
    return std::make_shared<const Linear>(std::move(packed).value());
  }

  std::string_view kind() const override { return "linear"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.size() != 1 || inputs[0].rank() == 0 || inputs[0].channels() != packed_.input_channels())
      return Error("expected one input [..., " + std::to_string(packed_.input_channels()) + "], found " +
                   (inputs.empty() ? std::string("none") : inputs[0].to_string()));
    std::array<std::size_t, Shape::max_rank> dims{};
    std::copy(inputs[0].dims().begin(), inputs[0].dims().end(), dims.begin());
    dims[inputs[0].rank() - 1] = packed_.output_channels();
    return Shape::make(std::span<const std::size_t>(dims.data(), inputs[0].rank()));
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output) const override {
    kernels::linear(packed_, inputs[0], output);
  }
  std::size_t weight_bytes() const override { return packed_.bytes(); }
  std::size_t multiply_adds(std::span<const Shape> inputs) const override {
    return inputs[0].elements() * packed_.output_channels();
  }

 private:
  kernels::PackedConv2d packed_;
};

}  // namespace qcnet::inline QCNET_ABI
