// What the tests of all model families share.
#pragma once

#include "support.hpp"
#include "weights_file.hpp"

#include <string>

#include <qcnet/models/model.hpp>

// Not in namespace qcnet: doctest's CHECK calls raise(), which must be the C library's.
namespace golden {

using namespace qcnet;
using namespace qcnet::test;

inline Result<Network> build(const WeightsFile& file) {
  return file.with([](const io::Safetensors& weights) { return models::load(weights); });
}

inline std::string error_of(const WeightsFile& file) {
  const auto network = build(file);
  return network.ok() ? "no error" : network.error().message();
}

/// How close C++ and PyTorch are, relative to the largest value.
constexpr double model_tolerance = 1e-5;

/// A golden file's network computes what PyTorch computed: whole, at every cut, and cut there.
inline void check_golden_model(const WeightsFile& file) {
  const Network network = build(file).value();
  const Tensor input = file.tensor("golden.input");
  const Tensor logits = network(input).value();
  CHECK(relative_difference(logits, file.tensor("golden.logits")) < model_tolerance);
  std::size_t checked = 0;
  for (const Network::Cut& cut : network.cuts()) {
    CAPTURE(cut.name);
    const auto [head, tail] = network.partition_at(cut.name).value();
    CHECK(head.steps().size() + tail.steps().size() == network.steps().size());
    const Tensor features = head(input).value();
    CHECK(relative_difference(features, file.tensor("golden." + cut.name)) < model_tolerance);
    CHECK(identical(tail(features).value(), logits));
    ++checked;
  }
  // Every cut that PyTorch's side knows was found.
  for (const auto& [name, entry] : file.tensors) checked -= name.starts_with("golden.") ? 1 : 0;
  CHECK(checked + 2 == 0);  // golden.input and golden.logits are no cuts
}

/// What a node or a server that is cut behind a layer holds of a YOLOv3-Tiny.
inline WeightsFile yolov3_tiny_part(const WeightsFile& whole, const std::string& role, std::size_t cut) {
  WeightsFile file = whole;
  std::erase_if(file.tensors, [&](const auto& item) {
    const bool ours = item.first.starts_with("layers.");
    return !ours || (std::stoul(item.first.substr(7)) <= cut) != (role == "node");
  });
  return file.set_metadata("qcnet.role", role).set_metadata("qcnet.cut", "layers." + std::to_string(cut));
}

}  // namespace golden
