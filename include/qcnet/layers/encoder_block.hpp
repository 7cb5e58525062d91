// A transformer's encoder block, as torchvision's EncoderBlock: for the ViT and for the QCNet over tokens.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include <qcnet/layers/attention.hpp>
#include <qcnet/layers/layer_norm.hpp>
#include <qcnet/layers/linear.hpp>
#include <qcnet/layers/network.hpp>

namespace qcnet::inline QCNET_ABI {

/// Appends x + attention(norm(x)), then x + mlp(norm(x)), to the network's last value `[N, T, channels]`.
/// Reads `<name>.ln_1`, `.self_attention.{in_proj_weight, in_proj_bias, out_proj}`, `.ln_2`, `.mlp.0` and
/// `.mlp.3` (before torchvision 0.14 `.mlp.linear_1` and `.mlp.linear_2`).
inline Result<void> add_encoder_block(Network& network, const io::Safetensors& file, const std::string& name,
                                      std::size_t channels, std::size_t heads) {
  const std::string attention = name + ".self_attention";
  const bool old_names = file.find(name + ".mlp.linear_1.weight") != nullptr;
  const std::string up = name + (old_names ? ".mlp.linear_1" : ".mlp.0");
  const std::string down = name + (old_names ? ".mlp.linear_2" : ".mlp.3");
  const auto add = [&](const std::string& step, std::shared_ptr<const Layer> layer) {
    return network.add(step, std::move(layer), {network.output()});
  };

  const Network::Value entry = network.output();
  QCNET_TRY(auto first_norm, LayerNorm::load(file, name + ".ln_1", channels));
  add(name + ".ln_1", std::move(first_norm));
  QCNET_TRY(const LinearWeights in, load_linear_weights(file, attention + ".in_proj_weight",
                                                        attention + ".in_proj_bias", channels, 3 * channels));
  QCNET_TRY(auto in_proj, Linear::make(in));
  add(attention + ".in_proj", std::move(in_proj));
  add(attention, std::make_shared<const SelfAttention>(heads));
  QCNET_TRY(auto out_proj, Linear::load(file, attention + ".out_proj", channels, channels));
  const auto attended = network.add(attention + ".out_proj", std::move(out_proj), {network.output(), entry});

  QCNET_TRY(auto second_norm, LayerNorm::load(file, name + ".ln_2", channels));
  add(name + ".ln_2", std::move(second_norm));
  QCNET_TRY(auto widen, Linear::load(file, up, channels, 0, Linear::Then::gelu));
  const std::size_t hidden = widen->output_features();
  add(up, std::move(widen));
  QCNET_TRY(auto narrow, Linear::load(file, down, hidden, channels));
  network.add(down, std::move(narrow), {network.output(), attended});
  return {};
}

}  // namespace qcnet::inline QCNET_ABI
