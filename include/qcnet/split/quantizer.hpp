// The thresholds a node compares with, and the levels that bits stand for.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/bits/code_planes.hpp>
#include <qcnet/layers/weights.hpp>

namespace qcnet::inline QCNET_ABI {

/// Thresholds and levels of a 1-bit quantizer, for each channel, or for each channel of each token: bit = z >
/// threshold, dequantized to `high` or `low`.
///
/// Lloyd-Max (Lloyd, 1982; Max, 1960): threshold = (low + high) / 2 with low and high the means of the values
/// below and above it; computed in training and stored in the files. Uniform: the midpoint of
/// the whole tensor's range, and its ends, which is what "1-bit quantization" means without training.
struct Quantizer {
  std::vector<float> thresholds;
  std::vector<float> low, high;
};

namespace detail {

/// Whether a file's tensor, of `rank` dimensions then, has values for each channel of each token of `map`.
inline bool by_token(const io::Safetensors& file, const std::string& name, const Shape& map,
                     std::size_t rank) {
  const io::TensorInfo* found = file.find(name);
  return map.rank() == 3 && found != nullptr && found->shape.rank() == rank;
}

}  // namespace detail

/// The thresholds in a node file for `map` `[1, ..., C]`: `qcnet.thresholds` [C], for tokens perhaps [T, C].
/// Here as below, `suffix` is that of the tensor's name for a map that crosses beside the cut's own.
inline Result<std::vector<float>> load_thresholds(const io::Safetensors& file, const Shape& map,
                                                  const std::string& suffix = {}) {
  const std::string name = "qcnet.thresholds" + suffix;
  const bool by_token = detail::by_token(file, name, map, 2);
  QCNET_TRY(const Tensor thresholds,
            load_tensor(file, name, by_token ? Shape{map[1], map[2]} : Shape{map.channels()}));
  return std::vector<float>(thresholds.span().begin(), thresholds.span().end());
}

/// The levels in a server file, `qcnet.levels` [2, C], for tokens perhaps [2, T, C]: thresholds are their
/// midpoints.
inline Result<Quantizer> load_lloyd_max(const io::Safetensors& file, const Shape& map,
                                        const std::string& suffix = {}) {
  const std::string name = "qcnet.levels" + suffix;
  const bool by_token = detail::by_token(file, name, map, 3);
  QCNET_TRY(const Tensor levels,
            load_tensor(file, name, by_token ? Shape{2, map[1], map[2]} : Shape{2, map.channels()}));
  const std::size_t count = levels.span().size() / 2;
  Quantizer quantizer;
  for (std::size_t i = 0; i < count; ++i) {
    quantizer.low.push_back(levels[i]);
    quantizer.high.push_back(levels[count + i]);
    quantizer.thresholds.push_back(0.5f * levels[i] + 0.5f * levels[count + i]);
  }
  return quantizer;
}

/// The evenly spaced levels of codes in `planes`, in either file: `qcnet.levels`, as above, are the lowest
/// and the highest.
inline Result<CodePlanes> load_code_planes(const io::Safetensors& file, const Shape& map,
                                           const std::vector<std::size_t>& planes,
                                           const std::string& suffix = {}) {
  QCNET_TRY(Quantizer levels, load_lloyd_max(file, map, suffix));
  for (std::size_t i = 0; i < levels.low.size(); ++i)
    if (!std::isfinite(levels.high[i] - levels.low[i]))
      return Error("qcnet.levels" + suffix + ": the lowest and the highest of feature " + std::to_string(i) +
                   " are further apart than a float can say");
  return CodePlanes(planes, map.channels(), std::move(levels.low), levels.high);
}

/// The uniform baseline from the range of the calibration set, `qcnet.range` [2] (minimum, maximum), in
/// either file.
inline Result<Quantizer> load_uniform(const io::Safetensors& file, std::size_t channels,
                                      const std::string& suffix = {}) {
  QCNET_TRY(const Tensor range, load_tensor(file, "qcnet.range" + suffix, {2}));
  return Quantizer{std::vector<float>(channels, 0.5f * range[0] + 0.5f * range[1]),
                   std::vector<float>(channels, range[0]), std::vector<float>(channels, range[1])};
}

}  // namespace qcnet::inline QCNET_ABI
