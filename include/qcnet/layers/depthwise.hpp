// Depthwise convolution as a layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <qcnet/kernels/depthwise.hpp>
#include <qcnet/layers/layer.hpp>
#include <qcnet/layers/weights.hpp>

namespace qcnet::inline QCNET_ABI {

/// Every channel of the input by its own kernel, plus bias.
class DepthwiseConv2d final : public Layer {
 public:
  explicit DepthwiseConv2d(kernels::PackedDepthwise packed) : packed_(std::move(packed)) {}

  /// Reads `<name>.weight` `[channels, 1, K, K]` and `<name>.bias`, and folds the normalization `batch_norm`
  /// (none if empty): an odd kernel of any size, stride 1, padded so that the map keeps its size.
  static Result<std::shared_ptr<const DepthwiseConv2d>> load(const io::Safetensors& file,
                                                             const std::string& name, std::size_t channels,
                                                             const std::string& batch_norm = {}) {
    QCNET_TRY(const ConvWeights conv, load_conv_weights(file, name, batch_norm));
    const Shape& s = conv.weights.shape();  // [C, K, K, 1]
    if (s[0] != channels || s[3] != 1 || s[1] != s[2] || s[1] % 2 == 0)
      return Error(name + ".weight: expected shape [" + std::to_string(channels) +
                   ", 1, K, K] with an odd K, found " + Shape{s[0], s[3], s[1], s[2]}.to_string());
    auto packed =
        kernels::PackedDepthwise::make(conv.weights, conv.bias, ConvGeometry::square(s[1], 1, s[1] / 2));
    if (!packed) return packed.error().in(name + ".weight");
    return std::make_shared<const DepthwiseConv2d>(std::move(packed).value());
  }

  std::string_view kind() const override { return "depthwise_conv2d"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.size() != 1) return Error("a depthwise convolution takes one input");
    return packed_.output_shape(inputs[0]);
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    kernels::depthwise_conv2d(packed_, inputs[0], output);
  }
  std::size_t weight_bytes() const override { return packed_.bytes(); }
  std::uint64_t multiply_adds(std::span<const Shape> inputs) const override {
    const auto output = packed_.output_shape(inputs[0]);
    return output.ok() ? std::uint64_t{output->elements()} * packed_.geometry().taps() : 0;
  }

 private:
  kernels::PackedDepthwise packed_;
};

}  // namespace qcnet::inline QCNET_ABI
