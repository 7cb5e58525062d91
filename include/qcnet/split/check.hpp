// Files carry an input and what training computed from it, so that a load proves that the two sides agree.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include <qcnet/core/arithmetic.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/layers/executor.hpp>
#include <qcnet/layers/weights.hpp>

namespace qcnet::inline QCNET_ABI {

/// Whether loading a deployment runs its check input through it (one forward pass).
enum class Verify { yes, no };

/// How far a check may be off, of the largest value: `exact` is for float arithmetic. Rounded to bfloat16, a
/// dozen blocks of a ViT were off by 1 %.
inline float check_tolerance(const Arithmetic& arithmetic, float exact) {
  return arithmetic.bf16 ? 0.05f : exact;
}

/// A recorded map in our layout: files hold images and feature maps as `[N, C, H, W]`, tokens as `[N, T, C]`.
inline Result<Tensor> load_check_map(const io::Safetensors& file, const std::string& name,
                                     const Shape& shape) {
  if (shape.rank() != 4) return load_tensor(file, name, shape);
  QCNET_TRY(const Tensor map, load_tensor(file, name, {shape[0], shape[3], shape[1], shape[2]}));
  return channels_last(map);
}

/// The recorded input in our layout, of `shape` `[1, H, W, C]`: files of large inputs hold a piece of one,
/// `[1, C, h, w]`, that fills it by repetition.
inline Result<Tensor> load_check_input(const io::Safetensors& file, const Shape& shape) {
  const std::string name = "qcnet.check.input";
  QCNET_TRY(const Tensor stored, load_tensor(file, name));
  const Shape& s = stored.shape();
  const bool fits = s.rank() == 4 && s[0] == shape[0] && s[1] == shape[3] && s[2] != 0 && s[3] != 0 &&
                    shape[1] % s[2] == 0 && shape[2] % s[3] == 0;
  if (!fits)
    return Error(name + ": expected shape " + Shape{shape[0], shape[3], shape[1], shape[2]}.to_string() +
                 ", or a piece that fills it by repetition, found " + s.to_string());
  const Tensor piece = channels_last(stored);
  Tensor input(shape);
  for (std::size_t y = 0; y < shape[1]; ++y)
    for (std::size_t x = 0; x < shape[2]; ++x)
      std::copy_n(piece.view().pixel(y % s[2] * s[3] + x % s[3]), shape[3],
                  input.view().pixel(y * shape[2] + x));
  return input;
}

/// An Error if `computed` is further from `recorded` than `tolerance` times the largest recorded value.
inline Result<void> compare_check(ConstTensorView computed, ConstTensorView recorded, float tolerance,
                                  const std::string& what) {
  if (!(computed.shape == recorded.shape))
    return Error(what + ": expected shape " + recorded.shape.to_string() + ", computed " +
                 computed.shape.to_string());
  float largest = 0.0f, difference = 0.0f;
  for (std::size_t i = 0; i < recorded.span().size(); ++i) {
    largest = std::max(largest, std::fabs(recorded.data[i]));
    if (!std::isfinite(computed.data[i])) return Error(what + ": the computed one holds NaN or infinity");
    difference = std::max(difference, std::fabs(computed.data[i] - recorded.data[i]));
  }
  if (difference <= tolerance * largest) return {};
  return Error(what + ": differs by " + std::to_string(difference) +
               " from the recorded one, whose largest value is " + std::to_string(largest) +
               "; the weights are not what was exported");
}

/// An Error if the last run's outputs are further than `tolerance` from those recorded: `qcnet.check.output`,
/// and for outputs behind the first `qcnet.check.output.<name>`, "layers.22", say.
inline Result<void> compare_outputs(const Executor& network, const io::Safetensors& file, float tolerance) {
  for (std::size_t i = 0; i < network.outputs(); ++i) {
    std::string name = "qcnet.check.output";
    if (i > 0) name.append(".").append(network.output_name(i));
    QCNET_TRY(const Tensor recorded, load_check_map(file, name, network.output_shape(i)));
    QCNET_CHECK(compare_check(network.output(i), recorded, tolerance, name));
  }
  return {};
}

}  // namespace qcnet::inline QCNET_ABI
