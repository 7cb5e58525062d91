// Vision Transformer as torchvision builds it (Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020).
#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include <qcnet/io/numbers.hpp>
#include <qcnet/layers/attention.hpp>
#include <qcnet/layers/conv2d.hpp>
#include <qcnet/layers/encoder_block.hpp>
#include <qcnet/layers/executor.hpp>
#include <qcnet/layers/layer_norm.hpp>
#include <qcnet/layers/linear.hpp>
#include <qcnet/models/patches.hpp>
#include <qcnet/models/tail.hpp>

namespace qcnet::inline QCNET_ABI::models {

namespace detail {

/// A convolution whose windows tile the image without a rest.
class Patches final : public Conv2d {
 public:
  Patches(Conv2d conv, std::size_t side) : Conv2d(std::move(conv)), side_(side) {}

  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    QCNET_TRY(const Shape output, Conv2d::output_shape(inputs));
    const Shape& image = inputs[0];
    if (image[1] % side_ != 0 || image[2] % side_ != 0) {
      const std::string side = std::to_string(side_);
      return Error("an image of " + std::to_string(image[1]) + "x" + std::to_string(image[2]) +
                   " pixels is not a whole number of patches of " + side + "x" + side +
                   ": give the image size the model was trained for");
    }
    return output;
  }

 private:
  std::size_t side_;
};

/// Builds the part of a ViT whose weights a file holds: all of it, the head of a deployment, or its tail.
class VitBuilder {
 public:
  explicit VitBuilder(const io::Safetensors& file) : file_(file) {}

  Result<Network> build() {
    const auto role = file_.metadata("qcnet.role");
    const std::set<std::size_t> blocks = module_numbers(file_, block_prefix());
    QCNET_CHECK(read_channels(blocks));
    const bool whole = !role || role == "model";
    const bool head = whole || role == "node";  // else a tail, which may begin anywhere
    if (head || has("conv_proj.weight")) QCNET_CHECK(patches());
    const bool encodes = whole || (head && !blocks.empty());
    if (encodes || has("class_token") || has("encoder.pos_embedding")) QCNET_CHECK(tokens());
    if (!blocks.empty()) {
      // Only a tail may begin inside the encoder.
      const std::size_t first = network_.steps().empty() ? *blocks.begin() : 0;
      QCNET_CHECK(check_begins_behind_cut(file_, block_prefix() + std::to_string(first), {first, 0},
                                          block_prefix(), 0));
      for (std::size_t b = first; b <= *blocks.rbegin(); ++b) QCNET_CHECK(block(b));
    }
    if (role != "node") QCNET_CHECK(classifier());
    return std::move(network_);
  }

 private:
  static std::string block_prefix() { return "encoder.layers.encoder_layer_"; }
  bool has(const std::string& name) const { return file_.find(name) != nullptr; }

  /// The model's width, from the first tensor of those that every part holds one of.
  Result<void> read_channels(const std::set<std::size_t>& blocks) {
    std::string name = "encoder.ln.weight";
    if (!blocks.empty()) name = block_prefix() + std::to_string(*blocks.begin()) + ".ln_1.weight";
    if (has("conv_proj.weight")) name = "conv_proj.weight";
    const io::TensorInfo* tensor = file_.find(name);
    if (tensor == nullptr)
      return Error("holds no Vision Transformer: there is no conv_proj, encoder layer or encoder.ln in it");
    if (tensor->shape.rank() == 0) return Error(name + ": is a single number");
    channels_ = tensor->shape[0];
    return {};
  }

  Result<void> patches() {
    const io::TensorInfo* weight = file_.find("conv_proj.weight");
    if (weight == nullptr) return Error("conv_proj.weight: there is no such tensor");
    if (weight->shape.rank() != 4 || weight->shape[2] != weight->shape[3])
      return Error("conv_proj.weight: expected shape [C, 3, P, P], found " + weight->shape.to_string());
    const std::size_t patch = weight->shape[2];
    QCNET_TRY(auto layer, Conv2d::load(file_, "conv_proj", {}, ConvGeometry::square(patch, patch),
                                       weight->shape[1], Activation::none));
    add("conv_proj", std::make_shared<const Patches>(*layer, patch));
    network_.name_cut("conv_proj", network_.output());
    return {};
  }

  Result<void> tokens() {
    QCNET_TRY(auto layer, Tokens::load(file_, channels_));
    add("encoder.pos_embedding", std::move(layer));
    return {};
  }

  Result<void> block(std::size_t number) {
    const std::string name = block_prefix() + std::to_string(number);
    QCNET_TRY(const std::size_t heads, read_heads());
    QCNET_CHECK(add_encoder_block(network_, file_, name, channels_, heads));
    network_.name_cut(name, network_.output());
    return {};
  }

  Result<void> classifier() {
    if (has("heads.pre_logits.weight"))
      return Error("heads.pre_logits: a representation layer before the classifier is not supported");
    QCNET_CHECK(norm("encoder.ln"));
    add("class_token", std::make_shared<const ClassToken>());
    QCNET_TRY(auto layer, Linear::load(file_, "heads.head", channels_));
    add("heads.head", std::move(layer));
    return {};
  }

  /// Weights do not tell the number of heads: metadata `qcnet.heads`, else that of the published models of
  /// this width, ViT-B, ViT-L and ViT-H.
  Result<std::size_t> read_heads() const {
    if (const auto text = file_.metadata("qcnet.heads")) {
      const auto heads = io::parse_number<std::size_t>(*text);
      if (!heads || *heads == 0 || channels_ % *heads != 0)
        return Error("metadata \"qcnet.heads\" is \"" + io::detail::printable(*text) +
                     "\", which does not divide " + std::to_string(channels_) + " channels");
      return *heads;
    }
    if (channels_ == 768) return std::size_t{12};
    if (channels_ == 1024 || channels_ == 1280) return std::size_t{16};
    return Error("the number of attention heads of a ViT with " + std::to_string(channels_) +
                 " channels is not known: add metadata \"qcnet.heads\" to the file");
  }

  void add(const std::string& name, std::shared_ptr<const Layer> layer) {
    network_.add(name, std::move(layer), {network_.output()});
  }
  Result<void> norm(const std::string& name) {
    QCNET_TRY(auto layer, LayerNorm::load(file_, name, channels_));
    add(name, std::move(layer));
    return {};
  }

  const io::Safetensors& file_;
  std::size_t channels_ = 0;
  Network network_;
};

}  // namespace detail

/// A Vision Transformer of any patch size, depth, width and image size, from a torchvision state_dict saved
/// as safetensors (`mlp.0` and `mlp.3`, or the older `mlp.linear_1` and `mlp.linear_2`). Input
/// `[N, H, W, C]`, output logits `[N, K]`. The number of heads, which no weight tells, comes from metadata
/// `qcnet.heads`, and is known for the widths of torchvision's models, 768, 1024 and 1280.
///
/// Cut points: `conv_proj` (a map `[N, H / P, W / P, C]`) and every `encoder.layers.encoder_layer_<i>`
/// (tokens
/// `[N, T, C]`, the class token first). A deployment's node or server file, which holds only the layers up to
/// a cut or behind it, gives that part. Error: what is missing or does not fit, by tensor name.
inline Result<Network> vit(const io::Safetensors& weights) {
  QCNET_CHECK(patch_of_head(weights, false));
  return detail::VitBuilder(weights).build();
}

}  // namespace qcnet::inline QCNET_ABI::models
