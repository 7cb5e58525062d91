// Random weights under the names that models have in files.
#pragma once

#include "common.hpp"
#include "weights_file.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace qcnet::bench {

using test::WeightsFile;

/// Weights `[out, in, ...]` and biases.
inline void add_weights(WeightsFile& file, const std::string& name, const std::vector<std::size_t>& shape,
                        const std::string& weight = ".weight", const std::string& bias = ".bias") {
  std::size_t fan_in = 1;
  for (std::size_t i = 1; i < shape.size(); ++i) fan_in *= shape[i];
  file.set(name + weight, shape, random_weights(fan_in));
  file.set(name + bias, {shape[0]});
}

inline void add_norm(WeightsFile& file, const std::string& name, std::size_t channels) {
  file.set(name + ".weight", {channels}, {1.0f});
  file.set(name + ".bias", {channels});
}

/// A pre-norm transformer block with torchvision's names.
inline void add_encoder_block(WeightsFile& file, const std::string& name, std::size_t width,
                              std::size_t hidden) {
  add_norm(file, name + ".ln_1", width);
  add_weights(file, name + ".self_attention", {3 * width, width}, ".in_proj_weight", ".in_proj_bias");
  add_weights(file, name + ".self_attention.out_proj", {width, width});
  add_norm(file, name + ".ln_2", width);
  add_weights(file, name + ".mlp.0", {hidden, width});
  add_weights(file, name + ".mlp.3", {width, hidden});
}

}  // namespace qcnet::bench
