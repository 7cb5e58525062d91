// A normalized input back to whole numbers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <qcnet/layers/layer.hpp>
#include <qcnet/layers/weights.hpp>

namespace qcnet::inline QCNET_ABI {

/// round(x * scale + shift) for each channel: from what was normalized the pixels 0 to 255 again, so that
/// sums of them with whole weights are exact. Halves are rounded to the even number.
class Pixels final : public Layer {
 public:
  /// Raises unless both are `[channels]`.
  Pixels(Tensor scale, Tensor shift) : scale_(std::move(scale)), shift_(std::move(shift)) {
    if (scale_.shape().rank() != 1 || !(scale_.shape() == shift_.shape()))
      raise(Error("pixels: a scale " + scale_.shape().to_string() + " and a shift " +
                  shift_.shape().to_string() + " are not of the same channels"));
  }

  /// Reads `<name>.scale` and `<name>.shift`, `[channels]`.
  static Result<std::shared_ptr<const Pixels>> load(const io::Safetensors& file, const std::string& name) {
    QCNET_TRY(Tensor scale, load_tensor(file, name + ".scale"));
    if (scale.shape().rank() != 1 || scale.shape()[0] == 0)
      return Error(name + ".scale: expected shape [channels], found " + scale.shape().to_string());
    QCNET_TRY(Tensor shift, load_tensor(file, name + ".shift", scale.shape()));
    return std::make_shared<const Pixels>(std::move(scale), std::move(shift));
  }

  std::string_view kind() const override { return "pixels"; }
  std::size_t channels() const { return scale_.shape()[0]; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.size() != 1 || inputs[0].rank() != 4 || inputs[0][3] != channels())
      return Error("expected one input [N, H, W, " + std::to_string(channels()) + "]" +
                   (inputs.size() == 1 ? ", found " + inputs[0].to_string() : ""));
    return inputs[0];
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    constexpr float most = 4194304.0f;       // beyond 2^22 the trick fails, and no pixel is there
    constexpr float to_whole = 12582912.0f;  // 1.5 * 2^23: a sum with it has no bits below 1
    const std::size_t count = channels();
    for (std::size_t p = 0; p < output.shape.pixels(); ++p)
      for (std::size_t c = 0; c < count; ++c) {
        const float x = std::clamp(inputs[0].pixel(p)[c] * scale_[c] + shift_[c], -most, most);
        output.pixel(p)[c] = (x + to_whole) - to_whole;
      }
  }
  std::size_t weight_bytes() const override { return 2 * channels() * sizeof(float); }

 private:
  Tensor scale_, shift_;
};

}  // namespace qcnet::inline QCNET_ABI
