// One bit per feature: the thresholds a node compares with and the two levels a bit stands for.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <qcnet/layers/weights.hpp>

namespace qcnet::inline QCNET_ABI {

/// Per-channel thresholds and levels of a 1-bit quantizer: bit = z > threshold, dequantized to `high` or
/// `low`.
///
/// Lloyd-Max (Lloyd, 1982; Max, 1960): threshold = (low + high) / 2 with low and high the means of the values
/// below and above it, per channel; computed in training and stored in the files. Uniform: the midpoint of
/// the whole tensor's range, and its ends, which is what "1-bit quantization" means without training.
struct Quantizer {
  std::vector<float> thresholds;
  std::vector<float> low, high;
};

/// The thresholds in a node file, `qcnet.thresholds` [channels]. Here as below, `suffix` is that of the
/// tensor's name for a map that crosses beside the cut's own.
inline Result<std::vector<float>> load_thresholds(const io::Safetensors& file, std::size_t channels,
                                                  const std::string& suffix = {}) {
  QCNET_TRY(const Tensor tensor, load_tensor(file, "qcnet.thresholds" + suffix, {channels}));
  return std::vector<float>(tensor.span().begin(), tensor.span().end());
}

/// The levels in a server file, `qcnet.levels` [2, channels]: thresholds are their midpoints.
inline Result<Quantizer> load_lloyd_max(const io::Safetensors& file, std::size_t channels,
                                        const std::string& suffix = {}) {
  QCNET_TRY(const Tensor levels, load_tensor(file, "qcnet.levels" + suffix, {2, channels}));
  Quantizer quantizer;
  for (std::size_t c = 0; c < channels; ++c) {
    quantizer.low.push_back(levels[c]);
    quantizer.high.push_back(levels[channels + c]);
    quantizer.thresholds.push_back((levels[c] + levels[channels + c]) / 2);
  }
  return quantizer;
}

/// The uniform baseline from the range of the calibration set, `qcnet.range` [2] (minimum, maximum), in
/// either file.
inline Result<Quantizer> load_uniform(const io::Safetensors& file, std::size_t channels,
                                      const std::string& suffix = {}) {
  QCNET_TRY(const Tensor range, load_tensor(file, "qcnet.range" + suffix, {2}));
  return Quantizer{std::vector<float>(channels, (range[0] + range[1]) / 2),
                   std::vector<float>(channels, range[0]), std::vector<float>(channels, range[1])};
}

}  // namespace qcnet::inline QCNET_ABI
