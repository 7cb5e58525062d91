// The model families, by the name a file gives itself.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <qcnet/layers/depth_to_space.hpp>
#include <qcnet/models/binary_head.hpp>
#include <qcnet/models/convnext.hpp>
#include <qcnet/models/patches.hpp>
#include <qcnet/models/resnet.hpp>
#include <qcnet/models/vit.hpp>
#include <qcnet/models/yolov3_tiny.hpp>

namespace qcnet::inline QCNET_ABI::models {

/// The family of a file: its metadata `qcnet.architecture`, or for a torchvision state_dict, which has none,
/// what its tensors' names tell; empty if that is none of these families.
inline std::string_view architecture(const io::Safetensors& weights) {
  if (const auto name = weights.metadata("qcnet.architecture")) return *name;
  if (holds_any(weights, "encoder.layers.encoder_layer_")) return "vit";
  for (const char* part : {"block.0.weight", "layer_scale"})  // EfficientNet has features.1.0.block, too
    if (weights.find(std::string("features.1.0.") + part) != nullptr) return "convnext";
  if (weights.find("layers.0.conv.weight") != nullptr) return "yolov3-tiny";
  for (const char* part : {"conv1.", "layer1.", "layer2.", "layer3.", "layer4.", "fc."})
    if (holds_any(weights, part)) return "resnet";
  return {};
}

/// Whether a family's outputs are a detector's raw maps, not logits.
inline bool finds_boxes(std::string_view architecture) {
  return architecture == "yolov3-tiny";
}

namespace detail {

inline Result<Network> load_family(const io::Safetensors& weights) {
  if (holds_any(weights, "binary.")) return binary_head(weights);  // in place of any family's head
  const std::string_view name = architecture(weights);
  if (name == "resnet") return resnet(weights);
  if (name == "vit") return vit(weights);
  if (name == "convnext") return convnext(weights);
  if (name == "yolov3-tiny") return yolov3_tiny(weights);
  const std::string known = "resnet, vit, convnext, yolov3-tiny";
  if (name.empty())
    return Error("holds a model of no known family (" + known +
                 "): neither its tensors' names nor metadata \"qcnet.architecture\" say one");
  return Error("architecture \"" + io::detail::printable(name) +
               "\" is not known to this build; it knows: " + known);
}

}  // namespace detail

/// Builds the network that `weights` holds: the whole, a head or a tail. Where patches of pixels cross the
/// cut (metadata `qcnet.patch`), the tail's first step makes pixels of them.
inline Result<Network> load(const io::Safetensors& weights) {
  QCNET_TRY(Network network, detail::load_family(weights));
  if (weights.metadata("qcnet.role") != "server") return network;
  QCNET_TRY(const std::size_t patch, patch_size(weights));
  if (patch == 1) return network;
  if (network.inputs() > 1)
    return Error("a tail of " + std::to_string(network.inputs()) + " maps cannot read " +
                 patches_text(patch) + " (metadata \"qcnet.patch\")");
  return network.behind("qcnet.patch", std::make_shared<const DepthToSpace>(patch));
}

}  // namespace qcnet::inline QCNET_ABI::models
