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
    const ConvGeometry& g = geometry_;
    QCNET_TRY(const Shape output, g.output(inputs[0], inputs[0].channels()));
    if (!all_meet(output[1], g.stride_h, g.pad_h, g.dilation_h, g.kernel_h, inputs[0][1]) ||
        !all_meet(output[2], g.stride_w, g.pad_w, g.dilation_w, g.kernel_w, inputs[0][2]))
      return Error("a pooling layer has windows with nothing but padding, which has no largest value");
    return output;
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    kernels::max_pool(geometry_, inputs[0], output);
  }
  const ConvGeometry* max_pool_windows() const override { return &geometry_; }

 private:
  // Whether every window meets the image along an axis. It returns at the first that does not: a loop over
  // all was vectorized, divisions too, to 100 KB of code by Clang 14.
  static bool all_meet(std::size_t outputs, std::size_t stride, std::size_t pad, std::size_t dilation,
                       std::size_t kernel, std::size_t size) {
    for (std::size_t i = 0; i < outputs; ++i)
      if (TapRange::of(i, stride, pad, dilation, kernel, size).size() == 0) return false;
    return true;
  }

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
