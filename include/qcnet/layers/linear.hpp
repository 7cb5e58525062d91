// Fully connected layers.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <qcnet/kernels/fastest_algorithm.hpp>
#include <qcnet/kernels/linear.hpp>
#include <qcnet/layers/layer.hpp>
#include <qcnet/layers/weights.hpp>

namespace qcnet::inline QCNET_ABI {

/// weights * input 0 + bias + input 1, if there is one: `[..., in]` to `[..., out]`. Or else GELU of
/// weights * input + bias.
class Linear final : public Layer {
 public:
  enum class Then : std::uint8_t { nothing, gelu };

  /// Raises unless `packed` has a kernel of one pixel, stride 1 and no padding.
  explicit Linear(kernels::PackedConv2d packed, Then then = Then::nothing)
      : packed_(std::move(packed)), then_(then) {
    if (!kernels::is_pointwise(packed_.geometry()))
      raise(Error("a linear layer takes the weights of a 1x1 convolution of stride 1 without padding"));
  }

  static Result<std::shared_ptr<const Linear>> make(const LinearWeights& linear, Then then = Then::nothing) {
    QCNET_TRY(auto packed, kernels::pack_linear(linear.weights, linear.bias.span()));
    return std::make_shared<const Linear>(std::move(packed), then);
  }
  /// Reads `<name>.weight` `[outputs, inputs]` and `<name>.bias`; 0 outputs: as many as there are.
  static Result<std::shared_ptr<const Linear>> load(const io::Safetensors& file, const std::string& name,
                                                    std::size_t inputs, std::size_t outputs = 0,
                                                    Then then = Then::nothing) {
    QCNET_TRY(const LinearWeights linear,
              load_linear_weights(file, name + ".weight", name + ".bias", inputs, outputs));
    return make(linear, then);
  }

  std::string_view kind() const override { return then_ == Then::gelu ? "linear_gelu" : "linear"; }
  std::size_t output_features() const { return packed_.output_channels(); }

  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.empty() || inputs.size() > 2)
      return Error("a linear layer takes one input and at most one residual");
    if (then_ == Then::gelu && inputs.size() != 1) return Error("a linear layer with GELU takes one input");
    if (inputs[0].rank() == 0 || inputs[0].channels() != packed_.input_channels())
      return Error("expected an input [..., " + std::to_string(packed_.input_channels()) + "], found " +
                   inputs[0].to_string());
    std::array<std::size_t, Shape::max_rank> dims{};
    std::copy(inputs[0].dims().begin(), inputs[0].dims().end(), dims.begin());
    dims[inputs[0].rank() - 1] = packed_.output_channels();
    QCNET_TRY(const Shape output, Shape::make(std::span<const std::size_t>(dims.data(), inputs[0].rank())));
    return detail::with_residual(inputs, output);
  }
  std::shared_ptr<const Layer> faster_for(std::span<const Shape> inputs,
                                          const Arithmetic& allowed) const override {
    if (packed_.algorithm() != kernels::ConvAlgorithm::direct) return nullptr;
    const Shape rows{1, 1, inputs[0].pixels(), packed_.output_channels()};
    const auto algorithm = kernels::fastest_algorithm(packed_, rows, allowed);
    if (algorithm == kernels::ConvAlgorithm::direct) return nullptr;
    return std::make_shared<const Linear>(packed_.with(algorithm).value(), then_);
  }
  std::size_t scratch_floats(std::span<const Shape> inputs) const override {
    return kernels::scratch_floats(packed_, inputs[0].pixels());
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output,
               std::span<float> scratch) const override {
    if (then_ == Then::gelu) return kernels::linear_gelu(packed_, inputs[0], output, scratch);
    kernels::linear(packed_, inputs[0], output, kernels::Activation::none, detail::residual(inputs), scratch);
  }

  bool may_overwrite(std::size_t input) const override {
    return input == 1 && kernels::is_quick_in_place(packed_);
  }
  bool emits_bits() const override { return then_ == Then::nothing; }
  void forward_bits(std::span<const ConstTensorView> inputs, std::span<const float> thresholds,
                    BitplaneView output, std::span<float> scratch) const override {
    kernels::linear_bits(packed_, inputs[0], output, thresholds, kernels::Activation::none,
                         detail::residual(inputs), scratch);
  }

  std::size_t weight_bytes() const override { return packed_.bytes(); }
  std::uint64_t multiply_adds(std::span<const Shape> inputs) const override {
    return std::uint64_t{inputs[0].elements()} * packed_.output_channels();
  }

 private:
  kernels::PackedConv2d packed_;
  Then then_;
};

}  // namespace qcnet::inline QCNET_ABI
