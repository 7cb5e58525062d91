// Fully connected layer: a 1x1 convolution over rows.
#pragma once

#include <cstddef>
#include <span>

#include <qcnet/kernels/conv2d.hpp>
#include <qcnet/kernels/gelu.hpp>
#include <qcnet/kernels/matmul.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

/// Packs `weights` `[out, in]` and `bias` (`out` values or none) for `linear`.
inline Result<PackedConv2d> pack_linear(ConstTensorView weights, std::span<const float> bias) {
  if (weights.shape.rank() != 2)
    return Error("expected weights [out, in], found " + weights.shape.to_string());
  const Shape as_conv{weights.shape[0], 1, 1, weights.shape[1]};
  return PackedConv2d::make({weights.data, as_conv}, bias, ConvGeometry{});
}

/// Floats of scratch memory that the functions below want for so many rows; they allocate them if they are
/// not given.
inline std::size_t scratch_floats(const PackedConv2d& weights, std::size_t rows) {
  return detail::pixels_scratch_floats(weights, rows);
}

/// output[r] = activation(input[r] * weights^T + bias + residual[r]) for every row: input `[..., in]`, output
/// `[..., out]`. `residual` (data == nullptr: none) has the output's shape and may be `output` itself.
inline void linear(const PackedConv2d& weights, ConstTensorView input, TensorView output,
                   Activation activation = Activation::none, ConstTensorView residual = {},
                   std::span<float> scratch = {}) {
  const std::size_t rows = input.shape.pixels();
  conv2d(weights, {input.data, {1, 1, rows, weights.input_channels()}},
         {output.data, {1, 1, rows, weights.output_channels()}}, activation, residual, scratch);
}

/// The same, thresholded tile by tile like `conv2d_bits`: output `[..., out]` in bits.
inline void linear_bits(const PackedConv2d& weights, ConstTensorView input, BitplaneView output,
                        std::span<const float> thresholds, Activation activation = Activation::none,
                        ConstTensorView residual = {}, std::span<float> scratch = {}) {
  const std::size_t rows = input.shape.pixels();
  conv2d_bits(weights, {input.data, {1, 1, rows, weights.input_channels()}},
              {output.data, {1, 1, rows, weights.output_channels()}}, thresholds, activation, residual,
              scratch);
}

namespace detail {

/// GELU over a finished tile of sums.
struct StoreGelu : StoreFloat {
  bool last = true;  ///< not for the first parts of the depth

  StoreGelu part(bool first, bool last_part) const { return {StoreFloat::part(first, last_part), last_part}; }
  float* in_place(const RowBlock& block) const { return last ? nullptr : StoreFloat::in_place(block); }
  void operator()(const RowBlock& block, std::size_t rows, float* sums, std::size_t stride) const {
    if (last) gelu_row(sums, rows * stride, sums);
    StoreFloat::operator()(block, rows, sums, stride);
  }
};

}  // namespace detail

/// output[r] = gelu(input[r] * weights^T + bias) for every row: input `[..., in]`, output `[..., out]`.
inline void linear_gelu(const PackedConv2d& weights, ConstTensorView input, TensorView output,
                        std::span<float> scratch = {}) {
  const std::size_t rows = input.shape.pixels();
  const StoreFloat store{output.data, nullptr, weights.output_channels(), Activation::none};
  AlignedBuffer<float> own;
  scratch = detail::enough(scratch, scratch_floats(weights, rows), own);
  detail::multiply_pixels(weights, {input.data, {1, 1, rows, weights.input_channels()}},
                          {1, 1, rows, weights.output_channels()}, scratch, detail::StoreGelu{store});
}

}  // namespace qcnet::inline QCNET_ABI::kernels
