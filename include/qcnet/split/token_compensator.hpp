// The attention QCNet block, for token maps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <qcnet/bits/lookup_conv.hpp>
#include <qcnet/io/numbers.hpp>
#include <qcnet/kernels/activation.hpp>
#include <qcnet/kernels/linear.hpp>
#include <qcnet/layers/encoder_block.hpp>
#include <qcnet/layers/executor.hpp>
#include <qcnet/split/linear_dequantizer.hpp>

namespace qcnet::inline QCNET_ABI {

/// Quantization Compensator Network for tokens, after "QCNet" (IEEE Access 13:186488, 2025). The paper's
/// blocks are not public to us; this design is our own reconstruction of the idea:
///
///     tokens = activation( dequantize(bits) + S * body(2 bits - 1) )
///
/// with body = linear P -> W plus a learned embedding of each position; n pre-norm transformer blocks; layer
/// normalization; linear W -> C; P the bits a token, mostly C, and S the standard deviation per channel. The
/// first layer looks its sums up by the bits, S is folded into the last one.
class TokenCompensator final : public Compensator {
 public:
  /// Whether the file holds one: only this body has positions. `suffix` as for ConvCompensator.
  static bool is_in(const io::Safetensors& file, const std::string& suffix = {}) {
    return file.find(prefix(suffix) + "positions") != nullptr;
  }

  /// Reads `qcnet.compensator.*`, the dequantization and metadata `qcnet.compensator.heads` for tokens of
  /// shape `map` `[1, T, C]` from bits of shape `sent` `[1, T, P]`.
  static Result<std::unique_ptr<Compensator>> load(const io::Safetensors& file, const Shape& map,
                                                   const Shape& sent, kernels::Activation activation,
                                                   const std::string& suffix = {},
                                                   const Arithmetic& arithmetic = {}) {
    const std::string start = prefix(suffix);
    if (map.rank() != 3)
      return Error(start + "positions: this QCNet is for tokens, the map is " + map.to_string());
    const std::size_t tokens = map[1], channels = map[2], inputs = sent.channels();
    QCNET_TRY(auto dequantizer, load_dequantizer(file, map, sent, suffix));
    QCNET_TRY(LinearWeights in,
              load_linear_weights(file, start + "input.weight", start + "input.bias", inputs));
    const std::size_t width = in.weights.shape()[0];
    const ConstTensorView as_conv(in.weights.data(), {width, 1, 1, inputs});
    auto lookup = LookupConv2d::make(as_conv, in.bias.span(), ConvGeometry::square(1), false);
    if (!lookup) return lookup.error().in(start + "input");
    QCNET_TRY(const Shape hidden, Shape::make({1, tokens, width}));
    QCNET_TRY(Tensor positions, load_tensor(file, start + "positions", hidden));

    QCNET_TRY(const std::size_t heads, read_heads(file, start + "heads"));
    Network body;
    const std::set<std::size_t> blocks = module_numbers(file, start + "blocks.");
    for (std::size_t i = 0; !blocks.empty() && i <= *blocks.rbegin(); ++i)
      QCNET_CHECK(add_encoder_block(body, file, start + "blocks." + std::to_string(i), width, heads));
    QCNET_TRY(auto norm, LayerNorm::load(file, start + "norm", width));
    body.add(start + "norm", std::move(norm), {body.output()});
    QCNET_TRY(Executor executor, Executor::make(std::move(body), positions.shape(), arithmetic));

    QCNET_TRY(LinearWeights out,
              load_linear_weights(file, start + "output.weight", start + "output.bias", width, channels));
    QCNET_CHECK(fold_scale(out.weights.span(), out.bias.span(), file, start + "scale", {channels}));
    QCNET_TRY(auto output, kernels::pack_linear(out.weights, out.bias.span()));
    return std::unique_ptr<Compensator>(new TokenCompensator(std::move(dequantizer), std::move(*lookup),
                                                             std::move(positions), std::move(executor),
                                                             std::move(output), activation));
  }

  std::string_view kind() const override { return "attention QCNet"; }

  void reconstruct_into(ConstBitplaneView bits, TensorView map) override {
    input_.forward_into(as_image(bits), as_image(hidden_.view()));
    dequantizer_->reconstruct_into(bits, map);
    add_body(map);
  }

  void reconstruct_into(ConstBitplaneView bits, ConstBitplaneView received, TensorView map) override {
    input_.forward_into(as_image(bits), as_image(received), as_image(hidden_.view()));
    dequantizer_->reconstruct_into(bits, received, map);
    add_body(map);
  }

  std::uint64_t multiply_adds() const override {
    return dequantizer_->multiply_adds() + input_.multiply_adds(hidden_.shape()) + body_.multiply_adds() +
           std::uint64_t{hidden_.shape().elements()} * output_.output_channels();
  }

 private:
  TokenCompensator(std::unique_ptr<Compensator> dequantizer, LookupConv2d input, Tensor positions,
                   Executor body, kernels::PackedConv2d output, kernels::Activation activation)
      : dequantizer_(std::move(dequantizer)),
        input_(std::move(input)),
        positions_(std::move(positions)),
        body_(std::move(body)),
        output_(std::move(output)),
        activation_(activation),
        hidden_(positions_.shape()),
        scratch_(kernels::scratch_floats(output_, hidden_.shape().pixels())) {}

  /// From the first layer's output to the end. The dequantized tokens are the residual of the last layer,
  /// added in its epilogue.
  void add_body(TensorView map) {
    kernels::add(hidden_, positions_, hidden_);
    kernels::linear(output_, body_.run(hidden_), map, activation_, map, scratch_.span());
  }

  static std::string prefix(const std::string& suffix) { return "qcnet.compensator" + suffix + "."; }

  static Result<std::size_t> read_heads(const io::Safetensors& file, const std::string& key) {
    const std::string_view text = file.metadata(key).value_or("");
    const auto heads = io::parse_number<std::size_t>(text);
    if (!heads || *heads == 0)
      return Error("metadata \"" + key + "\" must be a number of heads, found \"" +
                   io::detail::printable(text) + "\"");
    return *heads;
  }

  std::unique_ptr<Compensator> dequantizer_;
  LookupConv2d input_;
  Tensor positions_;
  Executor body_;
  kernels::PackedConv2d output_;
  kernels::Activation activation_;
  Tensor hidden_;
  AlignedBuffer<float> scratch_;  // of output_
};

}  // namespace qcnet::inline QCNET_ABI
