// From patches of pixels to pixels as a layer.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include <qcnet/kernels/depth_to_space.hpp>
#include <qcnet/layers/layer.hpp>

namespace qcnet::inline QCNET_ABI {

/// Patches of P x P pixels, `[N, H, W, P P C]`, as the map they are of, `[N, H P, W P, C]`. A patch's
/// channels are those of its pixels one after the other, row by row.
class DepthToSpace final : public Layer {
 public:
  explicit DepthToSpace(std::size_t patch) : patch_(patch) {}

  std::string_view kind() const override { return "depth_to_space"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    const std::size_t pixels = patch_ * patch_;
    if (inputs.size() != 1 || inputs[0].rank() != 4 || pixels == 0 || inputs[0][3] % pixels != 0)
      return Error("expected one input [N, H, W, " + std::to_string(pixels) + " C]" +
                   (inputs.empty() ? "" : ", found " + inputs[0].to_string()));
    const Shape& s = inputs[0];
    const std::size_t dims[] = {s[0], patch_ * s[1], patch_ * s[2], s[3] / pixels};
    return Shape::make(std::span<const std::size_t>(dims));
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    kernels::depth_to_space(patch_, inputs[0], output);
  }

 private:
  std::size_t patch_;
};

}  // namespace qcnet::inline QCNET_ABI
