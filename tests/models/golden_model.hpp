// What the tests of all model families share.
#pragma once

#include "support.hpp"
#include "weights_file.hpp"

#include <string>
#include <vector>

#include <qcnet/kernels/reference.hpp>
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
    CHECK(head.steps().size() + tail.steps().size() ==
          network.steps().size() + (cut.before_activation ? 1 : 0));  // the activation by itself
    const Tensor features = head(input).value();
    CHECK(relative_difference(features, file.tensor("golden." + cut.name)) < model_tolerance);
    CHECK(identical(tail(features).value(), logits));
    ++checked;
  }
  // Every cut that PyTorch's side knows was found.
  for (const auto& [name, entry] : file.tensors) checked -= name.starts_with("golden.") ? 1 : 0;
  CHECK(checked + 2 == 0);  // golden.input and golden.logits are no cuts
}

/// What a node or a server that is cut behind a layer, or within it, holds of a YOLOv3-Tiny.
inline WeightsFile yolov3_tiny_part(const WeightsFile& whole, const std::string& role,
                                    const std::string& name) {
  const std::size_t cut = std::stoul(name.substr(7));
  WeightsFile file = whole;
  std::erase_if(file.tensors, [&](const auto& item) {
    const bool ours = item.first.starts_with("layers.");
    return !ours || (std::stoul(item.first.substr(7)) <= cut) != (role == "node");
  });
  return file.set_metadata("qcnet.role", role).set_metadata("qcnet.cut", name);
}

/// Makes a convolution, with the normalization behind it, one of patches of pixels that are not mixed: what
/// it gave for the pixel in a patch's row a and column b, it now gives as the (a patch + b)th part of the
/// channels.
inline void make_patches(WeightsFile& file, const std::string& conv, const std::string& batch_norm,
                         std::size_t stride, std::size_t patch) {
  const Tensor own = file.tensor(conv + ".weight");  // [Cout, K, K, Cin]
  const std::size_t outputs = own.shape()[0], kernel = own.shape()[1], inputs = own.shape()[3];
  const std::size_t step = kernel == 1 ? 1 : stride;  // a 1x1 kernel's window is a dilated one
  const std::size_t size = kernel + step * (patch - 1), made = patch * patch * outputs;
  std::vector<float> weights(made * inputs * size * size);
  for (std::size_t m = 0; m < made; ++m)
    for (std::size_t tap = 0; tap < kernel * kernel; ++tap)
      for (std::size_t i = 0; i < inputs; ++i) {
        const std::size_t y = m / outputs / patch * step + tap / kernel;
        const std::size_t x = m / outputs % patch * step + tap % kernel;
        weights[((m * inputs + i) * size + y) * size + x] =
            own[(m % outputs * kernel * kernel + tap) * inputs + i];
      }
  file.set(conv + ".weight", {made, inputs, size, size}, weights);
  for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) {
    const Tensor of_pixel = file.tensor(batch_norm + part);
    file.set(batch_norm + part, {made}, {of_pixel.span().begin(), of_pixel.span().end()});
  }
}

/// The map that patches are of.
inline Tensor pixels_of(const Tensor& patches, std::size_t patch) {
  const Shape& s = patches.shape();
  Tensor map({s[0], s[1] * patch, s[2] * patch, s[3] / (patch * patch)});
  reference::depth_to_space(patch, patches, map);
  return map;
}

}  // namespace golden
