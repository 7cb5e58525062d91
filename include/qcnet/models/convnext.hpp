// ConvNeXt as torchvision builds it (Liu et al., "A ConvNet for the 2020s", 2022).
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <qcnet/layers/conv2d.hpp>
#include <qcnet/layers/depthwise.hpp>
#include <qcnet/layers/executor.hpp>
#include <qcnet/layers/layer_norm.hpp>
#include <qcnet/layers/linear.hpp>
#include <qcnet/layers/pool.hpp>
#include <qcnet/models/patches.hpp>
#include <qcnet/models/tail.hpp>

namespace qcnet::inline QCNET_ABI::models {

namespace detail {

/// Builds the part of a ConvNeXt whose weights a file holds: all of it, the head of a deployment, or its
/// tail. `features.0` is the stem, odd numbers are stages of blocks, even ones halve the map between them.
class ConvNextBuilder {
 public:
  explicit ConvNextBuilder(const io::Safetensors& file) : file_(file) {}

  Result<Network> build() {
    const auto role = file_.metadata("qcnet.role");
    const std::set<std::size_t> features = module_numbers(file_, "features.");
    const bool ends_in_downsampling = std::any_of(features.begin(), features.end(), [this](std::size_t i) {
      return is_downsampling(i) && is_cut_at(feature_name(i));
    });
    QCNET_TRY(patch_, patch_of_head(file_, ends_in_downsampling));
    const bool tail = role == "server" && file_.find("classifier.0.weight") != nullptr;
    if (features.empty() && !tail)
      return Error("holds no ConvNeXt: there is no features.0 to features.7 in it");
    if (!features.empty()) {
      // Only a tail may begin behind the stem.
      const std::size_t first = role == "server" ? *features.begin() : 0;
      QCNET_CHECK(check_begin(first));
      for (std::size_t i = first; i <= *features.rbegin(); ++i) QCNET_CHECK(feature(i));
    }
    if (role != "node") QCNET_CHECK(classifier());
    return std::move(network_);
  }

 private:
  static std::string feature_name(std::size_t number) { return "features." + std::to_string(number); }
  static bool is_downsampling(std::size_t number) { return number > 0 && number % 2 == 0; }
  bool is_cut_at(std::string_view name) const { return file_.metadata("qcnet.cut") == name; }

  /// A server's file begins behind its cut, perhaps inside a stage.
  Result<void> check_begin(std::size_t number) const {
    std::string name = feature_name(number);
    const std::set<std::size_t> blocks = module_numbers(file_, name + ".");
    const bool is_stage = number % 2 == 1 && !blocks.empty();
    if (is_stage) name += "." + std::to_string(*blocks.begin());
    return check_begins_behind_cut(file_, name, {number, is_stage ? *blocks.begin() : 0}, "features.", 0);
  }

  Result<void> feature(std::size_t number) {
    const std::string name = feature_name(number);
    QCNET_CHECK(number == 0 ? stem(name) : is_downsampling(number) ? downsample(name) : stage(name));
    network_.name_cut(name, network_.output());
    return {};
  }

  Result<void> stem(const std::string& name) {
    QCNET_CHECK(patch_conv(name + ".0"));
    return norm(name + ".1");
  }

  Result<void> downsample(const std::string& name) {
    if (channels_ == 0) QCNET_CHECK(read_channels(name + ".0.weight"));
    QCNET_CHECK(norm(name + ".0"));
    if (patch_ == 1 || !is_cut_at(name)) return patch_conv(name + ".1");
    return conv(name + ".1", ConvGeometry::square(2, 2).of_patches(patch_));
  }

  Result<void> stage(const std::string& name) {
    const std::set<std::size_t> blocks = module_numbers(file_, name + ".");
    if (blocks.empty()) return Error(name + ".0.block.0.weight: there is no such tensor");
    const std::size_t first = network_.steps().empty() ? *blocks.begin() : 0;
    for (std::size_t b = first; b <= *blocks.rbegin(); ++b) {
      const std::string block_name = name + "." + std::to_string(b);
      QCNET_CHECK(block(block_name));
      network_.name_cut(block_name, network_.output());
    }
    return {};
  }

  /// x + scale * mlp(norm(depthwise(x))); the scale is folded into the last linear layer.
  Result<void> block(const std::string& name) {
    const std::string body = name + ".block.";
    if (channels_ == 0) QCNET_CHECK(read_channels(body + "0.weight"));
    const Network::Value entry = network_.output();
    QCNET_TRY(auto depthwise, DepthwiseConv2d::load(file_, body + "0", channels_));
    add(body + "0", std::move(depthwise));
    QCNET_CHECK(norm(body + "2"));
    QCNET_TRY(auto up, Linear::load(file_, body + "3", channels_, 0, Linear::Then::gelu));
    const std::size_t hidden = up->output_features();
    add(body + "3", std::move(up));

    QCNET_TRY(LinearWeights down,
              load_linear_weights(file_, body + "5.weight", body + "5.bias", hidden, channels_));
    QCNET_CHECK(
        fold_scale(down.weights.span(), down.bias.span(), file_, name + ".layer_scale", {channels_, 1, 1}));
    QCNET_TRY(auto layer, Linear::make(down));
    network_.add(body + "5", std::move(layer), {network_.output(), entry});
    return {};
  }

  Result<void> classifier() {
    if (channels_ == 0) QCNET_CHECK(read_channels("classifier.0.weight"));
    add("avgpool", std::make_shared<const GlobalAveragePool>());
    QCNET_CHECK(norm("classifier.0"));
    QCNET_TRY(auto layer, Linear::load(file_, "classifier.2", channels_));
    add("classifier.2", std::move(layer));
    return {};
  }

  /// A convolution whose windows touch but do not overlap.
  Result<void> patch_conv(const std::string& name) {
    const io::TensorInfo* weight = file_.find(name + ".weight");
    if (weight == nullptr) return Error(name + ".weight: there is no such tensor");
    if (weight->shape.rank() != 4 || weight->shape[2] != weight->shape[3])
      return Error(name + ".weight: expected shape [Cout, Cin, P, P], found " + weight->shape.to_string());
    if (channels_ == 0) channels_ = weight->shape[1];
    return conv(name, ConvGeometry::square(weight->shape[2], weight->shape[2]));
  }

  Result<void> conv(const std::string& name, const ConvGeometry& geometry) {
    QCNET_TRY(auto layer, Conv2d::load(file_, name, {}, geometry, channels_, Activation::none));
    channels_ = layer->output_channels();
    add(name, std::move(layer));
    return {};
  }

  Result<void> norm(const std::string& name) {
    QCNET_TRY(auto layer, LayerNorm::load(file_, name, channels_));
    add(name, std::move(layer));
    return {};
  }
  void add(const std::string& name, std::shared_ptr<const Layer> layer) {
    network_.add(name, std::move(layer), {network_.output()});
  }

  /// What enters a tail is known from the first weight that meets it.
  Result<void> read_channels(const std::string& name) {
    const io::TensorInfo* weight = file_.find(name);
    if (weight == nullptr) return Error(name + ": there is no such tensor");
    if (weight->shape.rank() == 0) return Error(name + ": is a single number");
    channels_ = weight->shape[0];
    return {};
  }

  const io::Safetensors& file_;
  std::size_t channels_ = 0;  // of the value added last; 0 before the first
  std::size_t patch_ = 1;     // of the downsampling that a head ends in
  Network network_;
};

}  // namespace detail

/// A ConvNeXt of any depths and dimensions, from a torchvision state_dict saved as safetensors. Input
/// `[N, H, W, C]`, output logits `[N, K]`.
///
/// Cut points: the stem `features.0`, every block (`features.1.0`), every stage (`features.1`) and every
/// downsampling (`features.2`). A deployment's node or server file, which holds only the layers up to a cut
/// or behind it, gives that part. Error: what is missing or does not fit, by tensor name.
inline Result<Network> convnext(const io::Safetensors& weights) {
  return detail::ConvNextBuilder(weights).build();
}

}  // namespace qcnet::inline QCNET_ABI::models
