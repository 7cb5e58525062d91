// ResNet as torchvision builds it (He et al., "Deep Residual Learning", 2015; stride on the 3x3, "v1.5").
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qcnet/io/safetensors.hpp>
#include <qcnet/layers/conv2d.hpp>
#include <qcnet/layers/executor.hpp>
#include <qcnet/layers/linear.hpp>
#include <qcnet/layers/pool.hpp>
#include <qcnet/models/patches.hpp>
#include <qcnet/models/tail.hpp>

namespace qcnet::inline QCNET_ABI::models {

namespace detail {

/// Builds the part of a ResNet whose weights a file holds: all of it, the head of a deployment, or its tail.
class ResNetBuilder {
 public:
  explicit ResNetBuilder(const io::Safetensors& file) : file_(file) {}

  Result<Network> build() {
    QCNET_TRY(patch_, patch_of_head(file_, has(block_of_sum() + ".downsample.0.weight")));
    std::size_t first = max_stages, last = 0;
    for (std::size_t stage = max_stages; stage >= 1; --stage)
      if (!blocks(stage).empty()) {
        first = stage;
        last = std::max(last, stage);
      }
    if (has("conv1.weight") || has("bn1.weight")) {
      QCNET_CHECK(stem());
      inside_stage_ = false;
      first = 1;
    } else {
      QCNET_CHECK(begin_of_tail());
    }
    if (const std::set<std::size_t> numbers = blocks(first); !numbers.empty()) {
      const std::size_t block = *numbers.begin();
      QCNET_CHECK(check_begins_behind_cut(file_, stage_name(first) + "." + std::to_string(block),
                                          {first, block}, "layer", 1));
    }
    for (std::size_t stage = first; stage <= last; ++stage) QCNET_CHECK(build_stage(stage));
    const auto role = file_.metadata("qcnet.role");
    if (has("fc.weight") || has("fc.bias") || role == "server" || role == "model") QCNET_CHECK(classifier());
    if (network_.steps().empty())
      return Error("holds no ResNet: there is no conv1, layer1 to layer4 or fc in it");
    return std::move(network_);
  }

 private:
  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  static std::string stage_name(std::size_t stage) { return "layer" + std::to_string(stage); }

  std::set<std::size_t> blocks(std::size_t stage) const {
    return module_numbers(file_, stage_name(stage) + ".");
  }

  /// What enters the network is known from the first weight that meets it.
  Result<void> read_channels(const std::string& name) {
    const io::TensorInfo* weight = file_.find(name);
    if (weight == nullptr) return Error(name + ": there is no such tensor");
    if (weight->shape.rank() < 2)
      return Error(name + ": expected 2 or 4 dimensions, found shape " + weight->shape.to_string());
    if (weight->shape.elements() == 0)  // then its other dimensions may be as large as they like
      return Error(name + ": is empty, its shape is " + weight->shape.to_string());
    channels_ = weight->shape[1];
    return {};
  }

  Result<void> stem() {
    QCNET_CHECK(read_channels("conv1.weight"));
    const auto* weight = file_.find("conv1.weight");
    const bool small = weight->shape.rank() == 4 && weight->shape[2] == 3;
    const ConvGeometry geometry = small ? ConvGeometry::square(3, 1, 1) : ConvGeometry::square(7, 2, 3);
    QCNET_CHECK(conv("conv1", "bn1", geometry, Activation::relu, {}));
    network_.name_cut("relu", network_.output());
    if (!small) max_pool();
    return {};
  }

  /// The block that the file is cut in, before its ReLU: "layer2.0" at "layer2.0.add"; empty if in none.
  std::string block_of_sum() const {
    const std::string_view cut = file_.metadata("qcnet.cut").value_or("");
    return std::string(cut.ends_with(sum) ? cut.substr(0, cut.size() - sum.size()) : "");
  }

  /// What a tail may begin with that has no weights to be known by: the max pool behind `relu`, or the ReLU
  /// of a block that it is cut before.
  Result<void> begin_of_tail() {
    if (const std::string block = block_of_sum();
        file_.metadata("qcnet.role") == "server" && !block.empty()) {
      network_.add(block + ".activation", std::make_shared<const Activate>(Activation::relu),
                   {Network::input});
      network_.name_cut(block, network_.output());
    }
    if (file_.metadata("qcnet.cut") != "relu") return {};
    const std::string_view stem = file_.metadata("qcnet.stem").value_or("3x3");
    if (stem != "3x3" && stem != "7x7")
      return Error(
          "metadata \"qcnet.stem\" must be \"7x7\", with a max pool behind the cut, or \"3x3\", found \"" +
          io::detail::printable(stem) + "\"");
    if (stem == "7x7") {
      max_pool();
      inside_stage_ = false;
    }
    return {};
  }

  void max_pool() {
    network_.add("maxpool", std::make_shared<const MaxPool>(ConvGeometry::square(3, 2, 1)),
                 {network_.output()});
    network_.name_cut("maxpool", network_.output());
  }

  Result<void> build_stage(std::size_t stage) {
    const std::set<std::size_t> numbers = blocks(stage);
    if (numbers.empty()) return Error(stage_name(stage) + ".0.conv1.weight: there is no such tensor");
    // Only a tail may begin inside a stage.
    const std::size_t first = inside_stage_ ? *numbers.begin() : 0;
    inside_stage_ = false;
    for (std::size_t b = first; b <= *numbers.rbegin(); ++b) {
      const std::string name = stage_name(stage) + "." + std::to_string(b);
      QCNET_CHECK(block(name, stage > 1 && b == 0 ? 2 : 1));
      if (has(name + ".downsample.0.weight")) network_.name_cut_before_activation(name + std::string(sum));
      network_.name_cut(name, network_.output());
    }
    network_.name_cut(stage_name(stage), network_.output());
    return {};
  }

  /// A relative's block has more (SE-ResNet, say): without it, it would be another network.
  Result<void> check_modules(const std::string& block) const {
    static constexpr std::string_view known[] = {"conv1", "bn1", "conv2",     "bn2",
                                                 "conv3", "bn3", "downsample"};
    for (auto at = file_.tensors().lower_bound(block + "."); at != file_.tensors().end(); ++at) {
      const std::string_view name = at->first;
      if (!name.starts_with(block + ".")) break;
      const std::string_view rest = name.substr(block.size() + 1);
      if (std::ranges::find(known, rest.substr(0, rest.find('.'))) == std::end(known))
        return Error(io::detail::printable(name) + ": no block of a ResNet has this; is it another network?");
    }
    return {};
  }

  /// Bottleneck if there is a third convolution, else basic.
  Result<void> block(const std::string& name, std::size_t stride) {
    QCNET_CHECK(check_modules(name));
    const bool bottleneck = has(name + ".conv3.weight");
    const Network::Value entry = network_.output();
    if (channels_ == 0) QCNET_CHECK(read_channels(name + ".conv1.weight"));
    const std::size_t entry_channels = channels_, patch = name == block_of_sum() ? patch_ : 1;
    Network::Value shortcut = entry;
    if (has(name + ".downsample.0.weight")) {
      QCNET_CHECK(conv(name + ".downsample.0", name + ".downsample.1",
                       ConvGeometry::square(1, stride).of_patches(patch), Activation::none, {}));
      shortcut = network_.output();
      channels_ = entry_channels;
    }
    const ConvGeometry first = bottleneck ? ConvGeometry::square(1) : ConvGeometry::square(3, stride, 1);
    ConvGeometry second = ConvGeometry::square(3, bottleneck ? stride : 1, 1);
    if (bottleneck) second.groups = 0;  // as the file says: more than one are a ResNeXt's
    QCNET_CHECK(conv(name + ".conv1", name + ".bn1", first, Activation::relu, {entry}));
    if (!bottleneck)
      return conv(name + ".conv2", name + ".bn2", second.of_patches(patch), Activation::relu,
                  {network_.output(), shortcut});
    QCNET_CHECK(conv(name + ".conv2", name + ".bn2", second, Activation::relu, {}));
    return conv(name + ".conv3", name + ".bn3", ConvGeometry::square(1).of_patches(patch), Activation::relu,
                {network_.output(), shortcut});
  }

  /// Adds a convolution with its normalization; without explicit inputs it reads what was added last.
  Result<void> conv(const std::string& name, const std::string& batch_norm, const ConvGeometry& geometry,
                    Activation activation, std::vector<Network::Value> inputs) {
    QCNET_TRY(auto layer, Conv2d::load(file_, name, batch_norm, geometry, channels_, activation));
    channels_ = layer->output_channels();
    if (inputs.empty()) inputs = {network_.output()};
    network_.add(name, std::move(layer), std::move(inputs));
    return {};
  }

  Result<void> classifier() {
    network_.add("avgpool", std::make_shared<const GlobalAveragePool>(), {network_.output()});
    if (channels_ == 0) QCNET_CHECK(read_channels("fc.weight"));
    QCNET_TRY(auto layer, Linear::load(file_, "fc", channels_));
    network_.add("fc", std::move(layer), {network_.output()});
    return {};
  }

  static constexpr std::size_t max_stages = 16;
  static constexpr std::string_view sum = ".add";
  const io::Safetensors& file_;
  std::size_t channels_ = 0;  // of the value added last; 0 before the first
  bool inside_stage_ = true;  // what comes next may be any block of a stage
  std::size_t patch_ = 1;     // of the sum that a head ends in
  Network network_;
};

}  // namespace detail

/// A ResNet of any depth and width, with bottleneck or basic blocks (grouped ones too), from a torchvision
/// state_dict saved as safetensors. Input `[N, H, W, C]`, output logits `[N, K]`. Batch normalization is
/// folded into the convolutions. A 3x3 `conv1` means the small-image stem: stride 1, no pooling.
///
/// Cut points: `relu`, `maxpool`, every block (`layer2.1`) and every stage (`layer2`); where a block's
/// shortcut is a convolution also its sum, before the ReLU (`layer2.0.add`). A file that holds only the
/// layers up to a cut, or only those behind one, gives that part. Error: what is missing or does not fit, by
/// tensor name.
inline Result<Network> resnet(const io::Safetensors& weights) {
  return detail::ResNetBuilder(weights).build();
}

}  // namespace qcnet::inline QCNET_ABI::models
