// Pooling layers.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include <qcnet/kernels/pool.hpp>
#include <qcnet/layers/layer.hpp>

namespace qcnet::inline QCNET_ABI {

/// Largest value of each window.
class MaxPool final : public Layer {
 public:
  explicit MaxPool(const ConvGeometry& geometry) : geometry_(geometry) {}

  std::string_view kind() const override { return "max_pool"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.size() != 1) return Error("a pooling layer takes one input");
    const auto only_padding = [](std::size_t pad, std::size_t kernel, std::size_t dilation) {
      return pad > (kernel - 1) * dilation;
    };
    const ConvGeometry& g = geometry_;
    if (only_padding(g.pad_h + g.extra_bottom, g.kernel_h, g.dilation_h) ||
        only_padding(g.pad_w + g.extra_right, g.kernel_w, g.dilation_w))
      return Error("a pooling layer has windows with nothing but padding, which has no largest value");
    return geometry_.output(inputs[0], inputs[0].channels());
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    kernels::max_pool(geometry_, inputs[0], output);
  }

 private:
  ConvGeometry geometry_;
};

/// Mean over all pixels: `[N, H, W, C]` to `[N, C]`.
class GlobalAveragePool final : public Layer {
 public:
  std::string_view kind() const override { return "global_average_pool"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.size() != 1 || inputs[0].rank() != 4)
      return Error("a global average pool takes one input [N, H, W, C]");
    if (inputs[0][1] * inputs[0][2] == 0) return Error("a map without pixels has no average");
    return Shape{inputs[0][0], inputs[0][3]};
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    kernels::global_average_pool(inputs[0], output);
  }
};

}  // namespace qcnet::inline QCNET_ABI
