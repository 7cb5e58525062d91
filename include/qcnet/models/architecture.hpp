// The model families, by the name a file gives itself.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include <qcnet/layers/network.hpp>
#include <qcnet/layers/weights.hpp>

namespace qcnet::inline QCNET_ABI::models {

/// The family of a file: its metadata `qcnet.architecture`, or for a torchvision state_dict, which has none,
/// what its tensors' names tell; empty if that is none of these families.
inline std::string_view architecture(const io::Safetensors& weights) {
  if (const auto name = weights.metadata("qcnet.architecture")) return *name;
  if (holds_any(weights, "encoder.layers.encoder_layer_")) return "vit";
  for (const char* part : {"block.0.weight", "layer_scale"})  // EfficientNet has features.1.0.block, too
    if (weights.find(std::string("features.1.0.") + part) != nullptr) return "convnext";
  if (weights.find("layers.0.conv.weight") != nullptr) return "yolov3-tiny";
  if (weights.find("conv1.weight") != nullptr) return "resnet";
  for (const char* part : {"layer1.", "layer2.", "layer3.", "layer4."})
    if (holds_any(weights, part)) return "resnet";
  // Many families end in fc: it counts where there is nothing else.
  const bool classifier_alone = std::ranges::all_of(weights.tensors(), [](const auto& tensor) {
    return tensor.first.starts_with("fc.") || tensor.first.starts_with("qcnet.");
  });
  if (classifier_alone && holds_any(weights, "fc.")) return "resnet";
  return {};
}

/// Whether a family's outputs are a detector's raw maps, not logits.
inline bool finds_boxes(std::string_view architecture) {
  return architecture == "yolov3-tiny";
}

/// What a detector's input must be a multiple of, high and wide, for its maps to fit each other.
inline constexpr std::size_t detector_stride = 32;

/// What builds a network of a file: `load`, which knows all families, or the function of one (`resnet`), with
/// which a program holds no other family's code.
using Loader = Result<Network>(const io::Safetensors& weights);

/// Builds the network that `weights` holds: the whole, a head or a tail. Where patches of pixels cross the
/// cut (metadata `qcnet.patch`), the tail's first step makes pixels of them.
///
/// Defined in models/model.hpp.
inline Loader load;

}  // namespace qcnet::inline QCNET_ABI::models
