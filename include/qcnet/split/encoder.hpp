// An autoencoder's first half, on the node: a learned mixture of channels before the thresholds.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/layers/linear.hpp>
#include <qcnet/split/deployment.hpp>

namespace qcnet::inline QCNET_ABI {

namespace detail {

/// `<name>.weight`, [C, C, 1, 1] for a map `[1, H, W, C]`, [C, C] for tokens, and `<name>.bias` [C] if it is
/// there. Either is a linear layer over rows of channels.
inline Result<std::shared_ptr<const Layer>> load_encoder(const io::Safetensors& file, const std::string& name,
                                                         const Shape& map) {
  const std::size_t channels = map.channels();
  QCNET_TRY(const Shape stored,
            map.rank() == 4 ? Shape::make({channels, channels, 1, 1}) : Shape::make({channels, channels}));
  QCNET_TRY(const Tensor weight, load_tensor(file, name + ".weight", stored));
  LinearWeights linear{Tensor({channels, channels}), Tensor({channels})};
  std::ranges::copy(weight.span(), linear.weights.data());
  if (file.find(name + ".bias") != nullptr) {
    QCNET_TRY(linear.bias, load_tensor(file, name + ".bias", {channels}));
  }
  QCNET_TRY(auto layer, Linear::make(linear));
  return std::shared_ptr<const Layer>(std::move(layer));
}

}  // namespace detail

/// `head` with the encoders that a node's file holds behind the `maps` it computes, `qcnet.encoder.*`: what
/// is sent are then bits of as many mixtures of each pixel's channels. An encoder takes its map's name and
/// shape.
inline Result<Network> with_encoders(Network head, const io::Safetensors& file,
                                     const std::vector<CutMap>& maps) {
  std::vector<Network::Value> outputs = head.outputs();
  // The first map's comes last, so that its bits are made in the epilogue of the last layer.
  for (std::size_t i = std::min(maps.size(), outputs.size()); i-- > 0;) {
    const std::string name = "qcnet.encoder" + maps[i].suffix;
    if (file.find(name + ".weight") == nullptr && file.find(name + ".bias") == nullptr) continue;
    QCNET_TRY(auto layer, detail::load_encoder(file, name, maps[i].shape));
    outputs[i] = head.add(name, std::move(layer), {outputs[i]});
    head.name_cut(maps[i].name, outputs[i]);
    head.set_outputs(outputs);
  }
  return head;
}

}  // namespace qcnet::inline QCNET_ABI
