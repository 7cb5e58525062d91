// The entropy model of docs/frame.md's test vector.
#pragma once

#include "weights_file.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/split/entropy_models.hpp>

namespace qcnet::test {

/// The file with one of it for each of `maps`, (name, channels).
inline WeightsFile documented_model(const std::vector<std::pair<std::string, std::size_t>>& maps) {
  WeightsFile file;
  file.set_metadata("qcnet.role", "entropy").set_metadata("qcnet.hash", "0123456789abcdef");
  for (const auto& [name, channels] : maps) {
    const auto n = static_cast<int>(channels);
    std::vector<float> bias, weights, own;
    for (int r = 0; r < 5; ++r)
      for (int c = 0; c < n; ++c) bias.push_back(static_cast<float>(20 * c - 30 * r - 60));
    for (int k = 0; k < 2; ++k)
      for (int i = 0; i < n; ++i)
        for (int c = 0; c < n; ++c)
          weights.push_back(i == c ? 150.0f : static_cast<float>((3 * i + 5 * c + 7 * k) % 41 - 20));
    for (int i = 0; i < n; ++i)
      for (int c = 0; c < n; ++c) own.push_back(c > i ? static_cast<float>(40 - 9 * (c - i)) : 0.0f);
    file.set(name + ".neighbors", {2, 2}, {0, -1, -1, 0});
    file.set(name + ".bias", {5, channels}, bias);
    file.set(name + ".weights", {2, channels, channels}, weights);
    file.set(name + ".own", {channels, channels}, own);
  }
  return file;
}

inline EntropyModels loaded(const WeightsFile& file) {
  return file.with([](const io::Safetensors& weights) { return EntropyModels::load(weights); }).value();
}

}  // namespace qcnet::test
