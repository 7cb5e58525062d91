// The model families, by the name a file gives itself.
#pragma once

#include <string>
#include <string_view>

#include <qcnet/models/resnet.hpp>

namespace qcnet::inline QCNET_ABI::models {

/// Builds the network that `weights` holds (the whole, a head or a tail) by its metadata
/// `qcnet.architecture`; a file without it is taken for a torchvision ResNet.
inline Result<Network> load(const io::Safetensors& weights) {
  const std::string_view architecture = weights.metadata("qcnet.architecture").value_or("resnet");
  if (architecture == "resnet") return resnet(weights);
  return Error("architecture \"" + std::string(architecture) +
               "\" is not known to this build; it knows: resnet");
}

}  // namespace qcnet::inline QCNET_ABI::models
