// The convolutional QCNet block.
#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qcnet/bits/lookup_conv.hpp>
#include <qcnet/kernels/conv2d.hpp>
#include <qcnet/layers/weights.hpp>
#include <qcnet/split/compensator.hpp>

namespace qcnet::inline QCNET_ABI {

/// Quantization Compensator Network for feature maps, after "QCNet" (IEEE Access 13:186488, 2025). The
/// paper's blocks are not public to us; this design is our own reconstruction of the idea:
///
///     map = activation( dequantize(bits) + S * body(2 bits - 1) )
///
/// with body = 1x1 convolution C -> W, ReLU; n residual 3x3 convolutions W -> W, h = relu(h + conv(h)); 1x1
/// convolution W -> C; batch normalization behind all but the last; S the standard deviation per channel. The
/// first layer looks its sums up by the bits, S is folded into the last one.
class ConvCompensator final : public Compensator {
 public:
  /// Whether the file holds one, or any part of one; `suffix` as for `load`.
  static bool is_in(const io::Safetensors& file, const std::string& suffix = {}) {
    // Not the prefix alone: it also begins the names of a QCNet for a map with a suffix.
    for (const char* part : {"input.", "blocks.", "output.", "scale"}) {
      const std::string start = prefix(suffix) + part;
      const auto at = file.tensors().lower_bound(start);
      if (at != file.tensors().end() && at->first.starts_with(start)) return true;
    }
    return false;
  }

  /// Reads `qcnet.compensator.*` and `qcnet.levels` for maps of shape `map` `[1, H, W, C]`. For a map that
  /// crosses beside the cut's own, `suffix` is ".layers.8", say: `qcnet.compensator.layers.8.*`,
  /// `qcnet.levels.layers.8`.
  static Result<std::unique_ptr<Compensator>> load(const io::Safetensors& file, const Shape& map,
                                                   kernels::Activation activation,
                                                   const std::string& suffix = {}) {
    const std::string start = prefix(suffix);
    const std::size_t channels = map.channels();
    QCNET_TRY(Quantizer levels, load_lloyd_max(file, channels, suffix));

    QCNET_TRY(const ConvWeights input,
              load_checked(file, start + "input.conv", start + "input.bn", channels, 1));
    const std::size_t width = input.weights.shape()[0];
    auto lookup = LookupConv2d::make(input.weights, input.bias, ConvGeometry::square(1), true);
    if (!lookup) return lookup.error().in(start + "input.conv");

    std::vector<kernels::PackedConv2d> blocks;
    for (std::size_t i = 0, count = count_blocks(file, start); i < count; ++i) {
      const std::string name = start + "blocks." + std::to_string(i);
      QCNET_TRY(const ConvWeights block, load_checked(file, name + ".conv", name + ".bn", width, 3));
      QCNET_TRY(auto packed, pack(block, name, ConvGeometry::square(3, 1, 1), width));
      blocks.push_back(std::move(packed));
    }

    QCNET_TRY(ConvWeights last, load_checked(file, start + "output", {}, width, 1));
    QCNET_TRY(const Tensor scale, load_tensor(file, start + "scale", {channels}));
    for (std::size_t c = 0; c < std::min(channels, last.bias.size()); ++c) {
      for (std::size_t k = 0; k < width; ++k) last.weights[c * width + k] *= scale[c];
      last.bias[c] *= scale[c];
    }
    QCNET_TRY(auto output, pack(last, start + "output", ConvGeometry::square(1), channels));
    return std::unique_ptr<Compensator>(new ConvCompensator(std::move(levels), std::move(*lookup),
                                                            std::move(blocks), std::move(output),
                                                            {map[0], map[1], map[2], width}, activation));
  }

  std::string_view kind() const override { return "convolutional QCNet"; }

  void reconstruct_into(ConstBitplaneView bits, TensorView map) override {
    input_.forward_into(bits, hidden_);
    for (const kernels::PackedConv2d& block : blocks_) {
      kernels::conv2d(block, hidden_, next_, kernels::Activation::relu, hidden_.view());
      std::swap(hidden_, next_);
    }
    // The dequantized map is the residual of the last convolution, added in its epilogue.
    expand_into(bits, levels_.low, levels_.high, map);
    kernels::conv2d(output_, hidden_, map, activation_, map);
  }

  std::size_t multiply_adds() const override {
    const std::size_t width = hidden_.shape().channels();
    return hidden_.shape().pixels() * width * (2 * output_.output_channels() + blocks_.size() * 9 * width);
  }

 private:
  ConvCompensator(Quantizer levels, LookupConv2d input, std::vector<kernels::PackedConv2d> blocks,
                  kernels::PackedConv2d output, const Shape& hidden, kernels::Activation activation)
      : levels_(std::move(levels)),
        input_(std::move(input)),
        blocks_(std::move(blocks)),
        output_(std::move(output)),
        activation_(activation),
        hidden_(hidden),
        next_(hidden) {}

  static std::string prefix(const std::string& suffix) { return "qcnet.compensator" + suffix + "."; }

  /// How many residual blocks the file holds anything of; a part that is missing shows when it is loaded.
  static std::size_t count_blocks(const io::Safetensors& file, const std::string& prefix) {
    const std::string start = prefix + "blocks.";
    std::set<std::string> names;
    for (auto at = file.tensors().lower_bound(start); at != file.tensors().end(); ++at) {
      if (!at->first.starts_with(start)) break;
      names.insert(at->first.substr(0, at->first.find('.', start.size())));
    }
    return names.size();
  }

  /// A convolution of the body whose kernel and input channels are as they must be.
  static Result<ConvWeights> load_checked(const io::Safetensors& file, const std::string& name,
                                          const std::string& batch_norm, std::size_t cin,
                                          std::size_t kernel) {
    QCNET_TRY(ConvWeights conv, load_conv_weights(file, name, batch_norm));
    const Shape& s = conv.weights.shape();
    if (s[1] != kernel || s[2] != kernel || s[3] != cin)
      return Error(name + ".weight: expected shape " + Shape{s[0], cin, kernel, kernel}.to_string() +
                   ", found " + Shape{s[0], s[3], s[1], s[2]}.to_string());
    return conv;
  }

  static Result<kernels::PackedConv2d> pack(const ConvWeights& conv, const std::string& name,
                                            const ConvGeometry& geometry, std::size_t cout) {
    if (conv.weights.shape()[0] != cout)
      return Error(name + ": expected " + std::to_string(cout) + " output channels, found " +
                   std::to_string(conv.weights.shape()[0]));
    auto packed = kernels::PackedConv2d::make(conv.weights, conv.bias, geometry);
    if (!packed) return packed.error().in(name);
    return packed;
  }

  Quantizer levels_;
  LookupConv2d input_;
  std::vector<kernels::PackedConv2d> blocks_;
  kernels::PackedConv2d output_;
  kernels::Activation activation_;
  Tensor hidden_, next_;
};

}  // namespace qcnet::inline QCNET_ABI
