// Whether patches of pixels cross a cut, not pixels.
#pragma once

#include <cstddef>
#include <string>

#include <qcnet/io/numbers.hpp>
#include <qcnet/io/safetensors.hpp>

namespace qcnet::inline QCNET_ABI::models {

/// The P of a file whose metadata `qcnet.patch` says that patches of P x P pixels cross its cut; 1, pixels,
/// if it says nothing. Error: it is no number from 1 to 8.
inline Result<std::size_t> patch_size(const io::Safetensors& file) {
  const auto text = file.metadata("qcnet.patch");
  if (!text) return std::size_t{1};
  const auto patch = io::parse_number<std::size_t>(*text);
  if (!patch || *patch < 1 || *patch > 8)
    return Error("metadata \"qcnet.patch\" must be a number from 1 to 8, found \"" +
                 io::detail::printable(*text) + "\"");
  return *patch;
}

/// "patches of 2 x 2 pixels"
inline std::string patches_text(std::size_t patch) {
  const std::string side = std::to_string(patch);
  return "patches of " + side + " x " + side + " pixels";
}

/// The same of the head that a node's file holds, whose last convolution is then one over patches
/// (ConvGeometry::of_patches); 1 of any other file. Error: more than 1 where it is not `possible`, because
/// the head does not end in a convolution alone.
inline Result<std::size_t> patch_of_head(const io::Safetensors& file, bool possible) {
  if (file.metadata("qcnet.role") != "node") return std::size_t{1};
  QCNET_TRY(const std::size_t patch, patch_size(file));
  if (patch > 1 && !possible)
    return Error("a node cut at \"" + io::detail::printable(file.metadata("qcnet.cut").value_or("")) +
                 "\" cannot give " + patches_text(patch) +
                 " (metadata \"qcnet.patch\"); it can at a ResNet's sums (layer2.0.add), a ConvNeXt's "
                 "downsamplings (features.2) and YOLOv3-Tiny's convolutions (layers.8.bn)");
  return patch;
}

}  // namespace qcnet::inline QCNET_ABI::models
