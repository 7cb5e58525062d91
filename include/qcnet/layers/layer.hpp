// A step of a network: weights plus the kernel that uses them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <qcnet/core/arithmetic.hpp>
#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/conv_geometry.hpp>
#include <qcnet/core/tensor.hpp>

namespace qcnet::inline QCNET_ABI {

/// What a Network is made of. Immutable once built, so that networks and threads may share it.
class Layer {
 public:
  virtual ~Layer() = default;

  /// The layer's kind, in the field's words: "conv2d", "max_pool", "linear".
  virtual std::string_view kind() const = 0;

  /// Shape of the output for these inputs, or an Error that says what does not fit.
  virtual Result<Shape> output_shape(std::span<const Shape> inputs) const = 0;

  /// The same layer as it is fastest for inputs of these shapes, which fit, at the price of memory and of
  /// the roundings that are allowed; nullptr: it is already.
  virtual std::shared_ptr<const Layer> faster_for(std::span<const Shape>, const Arithmetic&) const {
    return nullptr;
  }

  /// Floats of scratch memory that a forward pass wants for these inputs with as many threads as are set now.
  virtual std::size_t scratch_floats(std::span<const Shape>) const { return 0; }

  /// Computes `output`, of the shape `output_shape` gave. Allocates nothing if `scratch` is as large as
  /// `scratch_floats` says, or enough for fewer threads.
  virtual void forward(std::span<const ConstTensorView> inputs, TensorView output,
                       std::span<float> scratch) const = 0;

  /// Whether `output` may be where this input is, if it is of the same shape: `forward` reads no element of
  /// it once it has written that element's place, and takes no longer so.
  virtual bool may_overwrite(std::size_t /*input*/) const { return false; }

  /// Whether `forward_bits` is there: a layer that can compare with thresholds before its output leaves the
  /// L1 cache.
  virtual bool emits_bits() const { return false; }

  /// Like `forward`, but writes the bits output > threshold. `thresholds` are as `pad_thresholds` makes them.
  virtual void forward_bits(std::span<const ConstTensorView>, std::span<const float> /*thresholds*/,
                            BitplaneView, std::span<float> /*scratch*/) const {}

  /// The windows whose largest values are the output, if that is all this layer does, of floats; else null.
  virtual const ConvGeometry* max_pool_windows() const { return nullptr; }

  /// Whether `forward_max_pooled` is there: a layer that can pool such windows of its output for these
  /// inputs before it leaves the cache.
  virtual bool can_max_pool(const ConvGeometry& /*windows*/, std::span<const Shape>) const { return false; }

  /// Like `forward`, but writes only the largest value of each window.
  virtual void forward_max_pooled(std::span<const ConstTensorView>, TensorView,
                                  std::span<float> /*scratch*/) const {}

  /// A layer that ends in an activation as two steps: without it, and the activation alone; nothing if it
  /// ends in none.
  virtual std::optional<std::pair<std::shared_ptr<const Layer>, std::shared_ptr<const Layer>>>
  apart_from_activation() const {
    return std::nullopt;
  }

  /// Bytes of the packed weights.
  virtual std::size_t weight_bytes() const { return 0; }

  /// Multiply-adds for one forward pass over these inputs.
  virtual std::uint64_t multiply_adds(std::span<const Shape>) const { return 0; }
};

namespace detail {

/// What layers add to their output: input 1, if there is one.
inline ConstTensorView residual(std::span<const ConstTensorView> inputs) {
  return inputs.size() == 2 ? inputs[1] : ConstTensorView{};
}

/// `output`, or an Error if there is a residual of another shape.
inline Result<Shape> with_residual(std::span<const Shape> inputs, const Shape& output) {
  if (inputs.size() == 2 && !(inputs[1] == output))
    return Error("the residual " + inputs[1].to_string() + " does not have the output's shape " +
                 output.to_string());
  return output;
}

}  // namespace detail

}  // namespace qcnet::inline QCNET_ABI
