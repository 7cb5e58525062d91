// Convolution of one-bit activations with one-bit weights, between float maps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <qcnet/bits/binary_conv.hpp>
#include <qcnet/bits/pack.hpp>
#include <qcnet/kernels/gemm.hpp>
#include <qcnet/layers/layer.hpp>
#include <qcnet/layers/weights.hpp>

namespace qcnet::inline QCNET_ABI {

/// scale * convolution(sign(input 0 - threshold), weights of +1 and -1) + bias + input 1, if there is one:
/// sign is +1 where x > threshold, strictly, else -1; threshold is a value for each input channel, scale and
/// bias for each output channel; the padding adds nothing. With a shortcut as input 1 it is a block of
/// Bi-Real Net (Liu et al., 2018). A dense binary layer is the one of a 1x1 kernel, over maps [N, 1, 1, Cin].
class BinaryConv2d final : public Layer {
 public:
  /// Reads `<name>.threshold` [Cin]; `<name>.weight`, U8 [Cout, K, K, ceil(Cin / 8)] with bit c % 8 (least
  /// significant first) of byte c / 8 set for +1, or floats [Cout, Cin, K, K] of +1 and -1, with an odd K of
  /// at most 15; and `<name>.scale` and `<name>.bias`, [Cout]. Padded by K / 2. Errors name the tensor.
  static Result<std::shared_ptr<const BinaryConv2d>> load(const io::Safetensors& file,
                                                          const std::string& name, std::size_t stride,
                                                          std::size_t input_channels) {
    QCNET_TRY(Tensor threshold, load_tensor(file, name + ".threshold", {input_channels}));
    QCNET_TRY(auto packed, load_weight(file, name + ".weight", stride, input_channels));
    QCNET_TRY(Tensor scale, load_tensor(file, name + ".scale", {packed.output_channels()}));
    QCNET_TRY(Tensor bias, load_tensor(file, name + ".bias", {packed.output_channels()}));
    return make(std::move(packed), std::move(threshold), std::move(scale), std::move(bias));
  }

  /// The same from its parts; an Error if `threshold` is not [Cin], or `scale` or `bias` not [Cout].
  static Result<std::shared_ptr<const BinaryConv2d>> make(bits::PackedBinaryConv2d packed, Tensor threshold,
                                                          Tensor scale, Tensor bias) {
    const Shape in{packed.input_channels()}, out{packed.output_channels()};
    if (!(threshold.shape() == in && scale.shape() == out && bias.shape() == out))
      return Error("a binary convolution takes thresholds " + in.to_string() + ", scales and biases " +
                   out.to_string() + ", found " + threshold.shape().to_string() + ", " +
                   scale.shape().to_string() + " and " + bias.shape().to_string());
    return std::shared_ptr<const BinaryConv2d>(
        new BinaryConv2d(std::move(packed), std::move(threshold), std::move(scale), std::move(bias)));
  }

  std::string_view kind() const override { return "binary_conv2d"; }
  std::size_t output_channels() const { return packed_.output_channels(); }

  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.empty() || inputs.size() > 2)
      return Error("a binary convolution takes one input and at most one residual");
    QCNET_TRY(const Shape output, packed_.output_shape(inputs[0]));
    return detail::with_residual(inputs, output);
  }

  /// For the input's bits.
  std::size_t scratch_floats(std::span<const Shape> inputs) const override {
    const std::size_t bytes = inputs[0].pixels() * packed_bytes(inputs[0].channels());
    return (bytes + sizeof(float) - 1) / sizeof(float);
  }

  void forward(std::span<const ConstTensorView> inputs, TensorView output,
               std::span<float> scratch) const override {
    with_bits(inputs[0], scratch, [&](ConstBitplaneView input) {
      packed_.forward_into(input, scale(), output, detail::residual(inputs));
    });
  }

  bool emits_bits() const override { return packed_.can_emit_bits(); }
  void forward_bits(std::span<const ConstTensorView> inputs, std::span<const float> thresholds,
                    BitplaneView output, std::span<float> scratch) const override {
    const std::size_t padded = kernels::PackedWeights::padded(output_channels());
    const std::size_t stride = thresholds.size() > padded ? padded : 0;
    with_bits(inputs[0], scratch, [&](ConstBitplaneView input) {
      packed_.bits_into(input, scale(), thresholds, stride, output, detail::residual(inputs));
    });
  }

  std::size_t weight_bytes() const override {
    return packed_.bytes() + (threshold_.shape().elements() + 2 * output_channels()) * sizeof(float);
  }
  /// Products of single bits.
  std::uint64_t multiply_adds(std::span<const Shape> inputs) const override {
    const auto output = packed_.output_shape(inputs[0]);
    return output.ok() ? std::uint64_t{output->elements()} * packed_.most_count() : 0;
  }

 private:
  BinaryConv2d(bits::PackedBinaryConv2d packed, Tensor threshold, Tensor scale, Tensor bias)
      : packed_(std::move(packed)),
        threshold_(std::move(threshold)),
        scale_(std::move(scale)),
        bias_(std::move(bias)) {}

  static Result<bits::PackedBinaryConv2d> load_weight(const io::Safetensors& file, const std::string& name,
                                                      std::size_t stride, std::size_t input_channels) {
    const io::TensorInfo* info = file.find(name);
    if (info == nullptr) return Error(name + ": there is no such tensor");
    const bool packed = info->dtype == io::Dtype::u8;
    const Shape& s = info->shape;
    const std::size_t channels = packed ? packed_bytes(input_channels) : input_channels;
    const std::size_t kernel = s.rank() == 4 ? s[2] : 0;
    // Packed for vectors, one channel of a large kernel would be a hundred times its file's bytes.
    constexpr std::size_t most = 15;
    const bool fits =
        kernel % 2 == 1 && kernel <= most && s[packed ? 1 : 3] == kernel && s[packed ? 3 : 1] == channels;
    if (!fits) {
      const std::string depth = std::to_string(channels);
      return Error(name + ": expected " +
                   (packed ? "bytes [Cout, K, K, " + depth : "shape [Cout, " + depth + ", K, K") +
                   "] with an odd K of at most " + std::to_string(most) + ", found " + s.to_string());
    }
    const ConvGeometry geometry = ConvGeometry::square(kernel, stride, kernel / 2);
    constexpr auto padding = bits::BinaryPadding::zero;
    if (packed) {
      const std::size_t dims[] = {s[0], kernel, kernel, input_channels};
      QCNET_TRY(const auto bytes, file.bytes(name));
      auto shape = Shape::make(std::span<const std::size_t>(dims));
      if (!shape) return shape.error().in(name);
      auto made = bits::PackedBinaryConv2d::make(bytes, *shape, geometry, padding);
      return made.ok() ? std::move(made) : made.error().in(name);
    }
    QCNET_TRY(const Tensor weights, file.tensor(name));
    auto made = bits::PackedBinaryConv2d::make(channels_last(weights), geometry, padding);
    return made.ok() ? std::move(made) : made.error().in(name);
  }

  /// Calls `use` with the bits of `map`, in scratch memory if there is enough.
  template <class Use>
  void with_bits(ConstTensorView map, std::span<float> scratch, const Use& use) const {
    Bitplane own;
    BitplaneView bits(reinterpret_cast<std::uint8_t*>(scratch.data()), map.shape);
    if (scratch.size_bytes() < bits.size_bytes()) {
      own = Bitplane(map.shape);
      bits = own;
    }
    binarize_into(map, threshold_.span(), bits);
    use(bits);
  }

  bits::CountScale scale() const { return {scale_.span(), bias_.span()}; }
  bits::PackedBinaryConv2d packed_;
  Tensor threshold_, scale_, bias_;
};

}  // namespace qcnet::inline QCNET_ABI
