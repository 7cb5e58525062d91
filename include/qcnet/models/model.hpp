// Loads a model of whichever family a file holds.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <qcnet/layers/depth_to_space.hpp>
#include <qcnet/models/architecture.hpp>
#include <qcnet/models/binary_head.hpp>
#include <qcnet/models/convnext.hpp>
#include <qcnet/models/patches.hpp>
#include <qcnet/models/resnet.hpp>
#include <qcnet/models/vit.hpp>
#include <qcnet/models/yolov3_tiny.hpp>

namespace qcnet::inline QCNET_ABI::models {

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

/// As `load`, of a family of your own.
inline Result<Network> load(const io::Safetensors& weights, Loader& family) {
  QCNET_TRY(Network network, family(weights));
  if (weights.metadata("qcnet.role") != "server") return network;
  QCNET_TRY(const std::size_t patch, patch_size(weights));
  if (patch == 1) return network;
  if (network.inputs() > 1)
    return Error("a tail of " + std::to_string(network.inputs()) + " maps cannot read " +
                 patches_text(patch) + " (metadata \"qcnet.patch\")");
  return network.behind("qcnet.patch", std::make_shared<const DepthToSpace>(patch));
}

inline Result<Network> load(const io::Safetensors& weights) {
  return load(weights, detail::load_family);
}

}  // namespace qcnet::inline QCNET_ABI::models
