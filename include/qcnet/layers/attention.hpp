// Self-attention between its projections, and the way from patches to tokens and back to one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <qcnet/kernels/activation.hpp>
#include <qcnet/kernels/attention.hpp>
#include <qcnet/layers/layer.hpp>
#include <qcnet/layers/weights.hpp>

namespace qcnet::inline QCNET_ABI {

/// Queries, keys and values `[N, T, 3 C]` to `[N, T, C]`, C split among the heads.
class SelfAttention final : public Layer {
 public:
  /// A ViT-B/16's over 4096 x 4096 pixels. The work grows with the square, so that a small file with many
  /// tokens of few channels could keep all processors busy.
  static constexpr std::size_t max_tokens = 4096 / 16 * 4096 / 16 + 1;

  explicit SelfAttention(std::size_t heads) : heads_(heads) {}

  std::string_view kind() const override { return "self_attention"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.size() != 1 || inputs[0].rank() != 3 || inputs[0][2] % 3 != 0)
      return Error("self-attention takes one input [N, T, 3 C]");
    if (inputs[0][1] > max_tokens)
      return Error("self-attention over " + std::to_string(inputs[0][1]) + " tokens, of which at most " +
                   std::to_string(max_tokens) + " are supported; give the network a smaller input");
    const std::size_t channels = inputs[0][2] / 3;
    if (heads_ == 0 || channels % heads_ != 0 || channels / heads_ > kernels::max_head_size)
      return Error(std::to_string(channels) + " channels cannot be split into " + std::to_string(heads_) +
                   " heads of at most " + std::to_string(kernels::max_head_size));
    return Shape{inputs[0][0], inputs[0][1], channels};
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    kernels::attention(inputs[0], heads_, output);
  }
  std::uint64_t multiply_adds(std::span<const Shape> inputs) const override {
    return std::uint64_t{inputs[0].elements()} / 3 * inputs[0][1] * 2;
  }

 private:
  std::size_t heads_;
};

/// A square of patches `[N, S, S, C]` to tokens `[N, 1 + S S, C]`: the class token first, then the patches
/// row by row, each with its position's embedding added.
class Tokens final : public Layer {
 public:
  /// Raises unless these are `[1, 1, C]` and `[1, 1 + S S, C]`.
  Tokens(Tensor class_token, Tensor positions)
      : class_token_(std::move(class_token)), positions_(std::move(positions)) {
    const Shape& s = positions_.shape();
    if (s.rank() != 3 || s[0] != 1 || !side_of(s[1]) || class_token_.shape() != Shape{1, 1, s[2]})
      raise(Error("tokens: expected a class token [1, 1, C] and positions [1, 1 + S S, C], found " +
                  class_token_.shape().to_string() + " and " + s.to_string()));
    side_ = *side_of(s[1]);
  }

  /// Reads `class_token` `[1, 1, channels]` and `encoder.pos_embedding` `[1, T, channels]`.
  static Result<std::shared_ptr<const Tokens>> load(const io::Safetensors& file, std::size_t channels) {
    const std::string name = "encoder.pos_embedding";
    QCNET_TRY(Tensor class_token, load_tensor(file, "class_token", {1, 1, channels}));
    QCNET_TRY(Tensor positions, load_tensor(file, name));
    QCNET_CHECK(detail::check_not_empty(positions, name));
    const Shape s = positions.shape();
    if (s.rank() != 3 || s[0] != 1 || s[2] != channels)
      return Error(name + ": expected shape [1, T, " + std::to_string(channels) + "], found " +
                   s.to_string());
    if (!side_of(s[1]))
      return Error(name + ": " + std::to_string(s[1]) +
                   " positions are not those of a class token and a square of patches");
    return std::make_shared<const Tokens>(std::move(class_token), std::move(positions));
  }

  std::string_view kind() const override { return "tokens"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    const std::size_t channels = positions_.shape()[2];
    if (inputs.size() != 1 || inputs[0].rank() != 4 || inputs[0][3] != channels)
      return Error("expected one map [N, H, W, " + std::to_string(channels) + "]" +
                   (inputs.size() == 1 ? ", found " + inputs[0].to_string() : ""));
    if (inputs[0][1] != side_ || inputs[0][2] != side_) {
      const std::string side = std::to_string(side_);
      return Error("an image of " + std::to_string(inputs[0][1]) + "x" + std::to_string(inputs[0][2]) +
                   " patches does not fit the position embedding, which is for " + side + "x" + side +
                   " patches: give the image size the model was trained for");
    }
    return Shape{inputs[0][0], positions_.shape()[1], channels};
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    const std::size_t tokens = output.shape[1], channels = output.shape[2], patches = tokens - 1;
    for (std::size_t n = 0; n < output.shape[0]; ++n) {
      float* to = output.pixel(n * tokens);
      kernels::add(class_token_, {positions_.data(), class_token_.shape()}, {to, class_token_.shape()});
      const Shape rest{patches, channels};
      kernels::add({inputs[0].pixel(n * patches), rest}, {positions_.data() + channels, rest},
                   {to + channels, rest});
    }
  }
  std::size_t weight_bytes() const override {
    return class_token_.span().size_bytes() + positions_.span().size_bytes();
  }

 private:
  /// Patches in a row, if these are the positions of a class token and a square of patches.
  static std::optional<std::size_t> side_of(std::size_t positions) {
    std::size_t side = 0;
    while (side * side + 1 < positions) ++side;
    return side * side + 1 == positions ? std::optional(side) : std::nullopt;
  }

  Tensor class_token_, positions_;
  std::size_t side_ = 0;  // patches in a row
};

/// The class token: `[N, T, C]` to `[N, C]`.
class ClassToken final : public Layer {
 public:
  std::string_view kind() const override { return "class_token"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    if (inputs.size() != 1 || inputs[0].rank() != 3 || inputs[0][1] == 0)
      return Error("expected one input of tokens [N, T, C]");
    return Shape{inputs[0][0], inputs[0][2]};
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    for (std::size_t n = 0; n < output.shape[0]; ++n)
      std::copy_n(inputs[0].pixel(n * inputs[0].shape[1]), output.shape[1], output.pixel(n));
  }
};

}  // namespace qcnet::inline QCNET_ABI
