// The convolutional QCNet block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qcnet/bits/lookup_conv.hpp>
#include <qcnet/kernels/conv2d.hpp>
#include <qcnet/layers/conv2d.hpp>
#include <qcnet/layers/depthwise.hpp>
#include <qcnet/layers/executor.hpp>
#include <qcnet/layers/weights.hpp>
#include <qcnet/split/linear_dequantizer.hpp>

namespace qcnet::inline QCNET_ABI {

/// Quantization Compensator Network for feature maps, after "QCNet" (IEEE Access 13:186488, 2025). The
/// paper's blocks are not public to us; this design is our own reconstruction of the idea:
///
///     map = activation( dequantize(bits) + S * body(2 bits - 1) )
///
/// with body = 1x1 convolution P -> W, batch normalization, ReLU; n residual blocks; 1x1 convolution W -> C;
/// P the bits a pixel, mostly C; S the standard deviation per channel. A block is
/// h = relu(h + bn(conv(h))), 3x3, or where the file holds a depthwise convolution
/// h = h + down(relu(up(bn(depthwise(h))))), 1x1 but for the depthwise one. The first layer looks its sums
/// up by the bits, S is folded into the last one.
class ConvCompensator final : public Compensator {
 public:
  /// Whether the file holds one, or any part of one, also of one for tokens; `suffix` as for `load`.
  static bool is_in(const io::Safetensors& file, const std::string& suffix = {}) {
    // Not the prefix alone: it also begins the names of a QCNet for a map with a suffix.
    for (const char* part : {"input.", "blocks.", "norm.", "output.", "scale"})
      if (holds_any(file, prefix(suffix) + part)) return true;
    return false;
  }

  /// Reads `qcnet.compensator.*` and the dequantization for maps of shape `map` `[1, H, W, C]` from bits of
  /// shape `sent` `[1, H, W, P]`, mostly the same. For a map that crosses beside the cut's own, `suffix` is
  /// ".layers.8", say: `qcnet.compensator.layers.8.*`, `qcnet.levels.layers.8`.
  static Result<std::unique_ptr<Compensator>> load(const io::Safetensors& file, const Shape& map,
                                                   const Shape& sent, kernels::Activation activation,
                                                   const std::string& suffix = {},
                                                   const Arithmetic& arithmetic = {}) {
    const std::string start = prefix(suffix);
    if (map.rank() != 4)
      return Error(start + "input: this QCNet is for feature maps, the map is " + map.to_string() +
                   "; one for tokens has " + start + "positions");
    const std::size_t channels = map.channels();
    QCNET_TRY(auto dequantizer, load_dequantizer(file, map, sent, suffix));

    QCNET_TRY(const ConvWeights input,
              load_checked(file, start + "input.conv", start + "input.bn", sent.channels(), 1));
    const std::size_t width = input.weights.shape()[0];
    const std::size_t dims[] = {map[0], map[1], map[2], width};
    const auto hidden = Shape::make(std::span<const std::size_t>(dims));
    if (!hidden || hidden->elements() > Executor::most_floats)
      return Error(start + "input.conv.weight: " + std::to_string(width) +
                   " outputs for each pixel of a map " + map.to_string() + " are too many");
    auto lookup = LookupConv2d::make(input.weights, input.bias, ConvGeometry::square(1), true);
    if (!lookup) return lookup.error().in(start + "input.conv");

    Network body;
    const std::set<std::size_t> blocks = module_numbers(file, start + "blocks.");
    for (std::size_t i = 0; !blocks.empty() && i <= *blocks.rbegin(); ++i)
      QCNET_CHECK(add_block(body, file, start + "blocks." + std::to_string(i), width));
    QCNET_TRY(Executor executor, Executor::make(std::move(body), *hidden, arithmetic));

    QCNET_TRY(ConvWeights last, load_checked(file, start + "output", {}, width, 1));
    if (last.bias.size() != channels)
      return wrong_output_channels(start + "output", channels, last.bias.size());
    QCNET_CHECK(fold_scale(last.weights.span(), last.bias, file, start + "scale", {channels}));
    auto output = kernels::PackedConv2d::make(last.weights, last.bias, ConvGeometry::square(1));
    if (!output) return output.error().in(start + "output");
    return std::unique_ptr<Compensator>(new ConvCompensator(
        std::move(dequantizer), std::move(*lookup), std::move(executor), std::move(*output), activation));
  }

  std::string_view kind() const override { return "convolutional QCNet"; }

  void reconstruct_into(ConstBitplaneView bits, TensorView map) override {
    input_.forward_into(bits, hidden_);
    dequantizer_->reconstruct_into(bits, map);
    add_body(map);
  }

  void reconstruct_into(ConstBitplaneView bits, ConstBitplaneView received, TensorView map) override {
    input_.forward_into(bits, received, hidden_);
    dequantizer_->reconstruct_into(bits, received, map);
    add_body(map);
  }

  std::uint64_t multiply_adds() const override {
    return dequantizer_->multiply_adds() + input_.multiply_adds(hidden_.shape()) + body_.multiply_adds() +
           std::uint64_t{hidden_.shape().elements()} * output_.output_channels();
  }

 private:
  ConvCompensator(std::unique_ptr<Compensator> dequantizer, LookupConv2d input, Executor body,
                  kernels::PackedConv2d output, kernels::Activation activation)
      : dequantizer_(std::move(dequantizer)),
        input_(std::move(input)),
        body_(std::move(body)),
        output_(std::move(output)),
        activation_(activation),
        hidden_(body_.input_shape()),
        scratch_(kernels::scratch_floats(output_, body_.output_shape())) {}

  /// From the first layer's output to the end. The dequantized map is the residual of the last convolution,
  /// added in its epilogue.
  void add_body(TensorView map) {
    kernels::conv2d(output_, body_.run(hidden_), map, activation_, map, scratch_.span());
  }

  static std::string prefix(const std::string& suffix) { return "qcnet.compensator" + suffix + "."; }

  /// Appends a residual block of either kind.
  static Result<void> add_block(Network& body, const io::Safetensors& file, const std::string& name,
                                std::size_t width) {
    const Network::Value entry = body.output();
    if (!holds_any(file, name + ".depthwise.")) {
      QCNET_TRY(const ConvWeights conv, load_checked(file, name + ".conv", name + ".bn", width, 3));
      QCNET_CHECK(add_conv(body, conv, name + ".conv", width, width, Activation::relu, {entry, entry}));
      return {};
    }
    QCNET_TRY(auto depthwise,
              DepthwiseConv2d::load(file, name + ".depthwise.conv", width, name + ".depthwise.bn"));
    const auto mixed = body.add(name + ".depthwise", std::move(depthwise), {entry});
    QCNET_TRY(const ConvWeights up, load_checked(file, name + ".up", {}, width, 1));
    const std::size_t inner = up.weights.shape()[0];
    QCNET_CHECK(add_conv(body, up, name + ".up", width, inner, Activation::relu, {mixed}));
    QCNET_TRY(const ConvWeights down, load_checked(file, name + ".down", {}, inner, 1));
    return add_conv(body, down, name + ".down", inner, width, Activation::none, {body.output(), entry});
  }

  static Result<void> add_conv(Network& body, const ConvWeights& conv, const std::string& name,
                               std::size_t cin, std::size_t cout, Activation activation,
                               std::vector<Network::Value> inputs) {
    const std::size_t kernel = conv.weights.shape()[1];
    QCNET_TRY(auto layer,
              Conv2d::make(conv, name, ConvGeometry::square(kernel, 1, kernel / 2), cin, activation));
    if (layer->output_channels() != cout) return wrong_output_channels(name, cout, layer->output_channels());
    body.add(name, std::move(layer), std::move(inputs));
    return {};
  }

  static Error wrong_output_channels(const std::string& name, std::size_t expected, std::size_t found) {
    return Error(name + ": expected " + std::to_string(expected) + " output channels, found " +
                 std::to_string(found));
  }

  /// A convolution of the body whose kernel and input channels are as they must be.
  static Result<ConvWeights> load_checked(const io::Safetensors& file, const std::string& name,
                                          const std::string& batch_norm, std::size_t cin,
                                          std::size_t kernel) {
    QCNET_TRY(ConvWeights conv, load_conv_weights(file, name, batch_norm));
    const Shape& s = conv.weights.shape();
    if (s[1] != kernel || s[2] != kernel || s[3] != cin) return wrong_kernel(name, s, cin, kernel, kernel);
    return conv;
  }

  std::unique_ptr<Compensator> dequantizer_;
  LookupConv2d input_;
  Executor body_;
  kernels::PackedConv2d output_;
  kernels::Activation activation_;
  Tensor hidden_;
  AlignedBuffer<float> scratch_;  // of output_
};

}  // namespace qcnet::inline QCNET_ABI
