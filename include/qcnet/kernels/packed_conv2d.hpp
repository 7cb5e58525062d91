// A convolution's weights as its kernel reads them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <qcnet/core/aligned_buffer.hpp>
#include <qcnet/core/arithmetic.hpp>
#include <qcnet/core/conv_geometry.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/kernels/gemm.hpp>
#include <qcnet/kernels/strassen_transforms.hpp>
#include <qcnet/kernels/winograd_transforms.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

/// How a convolution is computed. Winograd's algorithm F(m x m, 3 x 3) makes tiles of m x m outputs by (m +
/// 2)^2 products a channel instead of 9 m^2. It is for 3x3 kernels of stride 1, without dilation and groups.
/// Strassen's algorithm takes 7 of 8 products, and is for AVX-512 and AVX2 and 1x1 kernels whose channels are
/// multiples of a few vectors. `direct_bf16` multiplies bfloat16, where that is an instruction, and is for
/// 1x1 kernels.
enum class ConvAlgorithm : std::uint8_t { direct, direct_bf16, winograd_2x2, winograd_4x4, strassen };

/// m of F(m x m, 3 x 3); 0 for other algorithms.
inline std::size_t winograd_outputs(ConvAlgorithm algorithm) {
  return algorithm == ConvAlgorithm::winograd_2x2 ? 2 : algorithm == ConvAlgorithm::winograd_4x4 ? 4 : 0;
}

/// Whether Winograd's algorithm can compute such a convolution.
inline bool is_winograd_possible(const ConvGeometry& g) {
  return g.kernel_h == 3 && g.kernel_w == 3 && g.stride_h == 1 && g.stride_w == 1 && g.dilation_h == 1 &&
         g.dilation_w == 1 && g.groups == 1;
}

/// Whether every output pixel reads one input pixel: a product of matrices.
inline bool is_single_tap(const ConvGeometry& g) {
  return g.taps() == 1 && g.pad_h == 0 && g.pad_w == 0 && g.extra_bottom == 0 && g.extra_right == 0 &&
         g.groups == 1;
}
/// Whether it is the same pixel.
inline bool is_pointwise(const ConvGeometry& g) {
  return is_single_tap(g) && g.stride_h == 1 && g.stride_w == 1;
}

/// Whether Strassen's algorithm can compute such a convolution: quarters of the weights are whole vectors and
/// blocks.
inline bool is_strassen_possible(const ConvGeometry& g, std::size_t cin, std::size_t cout) {
  return detail::has_strassen && is_single_tap(g) && cin != 0 && cin % (2 * vec::size) == 0 &&
         cout % detail::strassen_columns == 0;
}

/// Weights of a convolution, packed once for `conv2d`.
class PackedConv2d {
 public:
  /// `weights` is `[Cout, Kh, Kw, Cin / groups]`, `bias` has Cout values or none. An Error if they do not fit
  /// together.
  static Result<PackedConv2d> make(ConstTensorView weights, std::span<const float> bias,
                                   const ConvGeometry& geometry,
                                   ConvAlgorithm algorithm = ConvAlgorithm::direct) {
    QCNET_CHECK(check(weights.shape, bias.size(), geometry, algorithm));
    PackedConv2d packed(weights.shape, geometry);
    if (packed.runs() > max_pointers)
      return Error("a kernel of " + std::to_string(geometry.taps()) + " taps is larger than the " +
                   std::to_string(max_pointers) + " supported");
    const std::size_t group_cout = packed.group_output_channels();
    packed.bias_ = AlignedBuffer<float>(geometry.groups * PackedWeights::padded(group_cout));
    for (std::size_t c = 0; c < bias.size(); ++c)
      packed.bias_[c / group_cout * PackedWeights::padded(group_cout) + c % group_cout] = bias[c];
    packed.pack(weights.span(), algorithm);
    return packed;
  }

  /// The same convolution, which must be packed for the direct algorithm, by another one; an Error if that
  /// cannot compute it.
  Result<PackedConv2d> with(ConvAlgorithm algorithm) const {
    if (algorithm_ != ConvAlgorithm::direct) return Error("the weights were transformed before");
    QCNET_CHECK(check({cout_, geometry_.kernel_h, geometry_.kernel_w, group_cin_}, 0, geometry_, algorithm));
    const std::size_t group_size = group_output_channels() * geometry_.taps() * group_cin_;
    std::vector<float> weights(geometry_.groups * group_size);
    for (std::size_t g = 0; g < geometry_.groups; ++g)
      weights_[g].unpack(std::span(weights).subspan(g * group_size, group_size));
    PackedConv2d packed({cout_, geometry_.kernel_h, geometry_.kernel_w, group_cin_}, geometry_);
    packed.bias_ = bias_;
    packed.pack(weights, algorithm);
    return packed;
  }

  ConvAlgorithm algorithm() const { return algorithm_; }
  const ConvGeometry& geometry() const { return geometry_; }
  std::size_t input_channels() const { return group_cin_ * geometry_.groups; }
  std::size_t output_channels() const { return cout_; }
  std::size_t group_output_channels() const { return cout_ / geometry_.groups; }
  std::size_t group_input_channels() const { return group_cin_; }
  /// Of a group, `[Cout / groups, Kh Kw Cin / groups]`; or, transformed, of one of Winograd's (m + 2)^2
  /// products, `[Cout, Cin]`, or of Strassen's 7, `[Cout / 2, Cin / 2]`.
  PackedWeights weights(std::size_t group_or_product) const { return weights_[group_or_product]; }
  const float* bias(std::size_t group) const {
    return bias_.data() + group * PackedWeights::padded(group_output_channels());
  }
  /// Bytes of the packed weights and biases.
  std::size_t bytes() const { return bias_.size() * sizeof(float) + weights_.bytes(); }
  const float* zeros() const { return zeros_.data(); }
  /// Floats from a pixel to the next one of a copy of the input with its padding; 0 if none is made. For few
  /// channels the copy is quicker than a pointer for each of many short runs. Of many it has a gap behind
  /// each pixel if a tile's rows would else be a multiple of a page apart: all would want the same set of the
  /// L1 cache.
  std::size_t copy_pitch() const { return copy_pitch_; }
  std::size_t runs() const { return geometry_.kernel_h * runs_w_; }
  std::size_t runs_per_kernel_row() const { return runs_w_; }
  std::size_t run_length() const { return run_length_; }

  /// Shape of the output, or an Error that names what does not fit.
  Result<Shape> output_shape(const Shape& input) const {
    if (input.rank() == 4 && input[3] != input_channels())
      return Error("expected " + std::to_string(input_channels()) + " input channels, found " +
                   input.to_string());
    return geometry_.output(input, cout_);
  }

  /// Pointers that one task of `conv2d` may hold on its stack.
  static constexpr std::size_t max_pointers = 2048;

  PackedConv2d() = default;

 private:
  PackedConv2d(const Shape& weights, const ConvGeometry& geometry)
      : geometry_(geometry), cout_(weights[0]), group_cin_(weights[3]) {
    const bool few = (geometry.pad_w > 0 || geometry.extra_right > 0) && geometry.dilation_w == 1 &&
                     geometry.groups == 1 && group_cin_ <= most_padded_channels;
    // Gaps take a pointer for each tap: of a tall tile they must be as many as fit.
    const bool page = geometry.stride_w * group_cin_ % (4096 / sizeof(float)) == 0 && geometry.groups == 1 &&
                      !is_single_tap(geometry) && max_rows * geometry.taps() <= max_pointers;
    copy_pitch_ = few ? group_cin_ : page ? group_cin_ + line_floats : 0;
    const bool merged = few || (is_merged(geometry) && !page);
    runs_w_ = merged ? 1 : geometry.kernel_w;
    run_length_ = merged ? geometry.kernel_w * group_cin_ : group_cin_;
    zeros_ = AlignedBuffer<float>(run_length_);
  }

  static constexpr std::size_t most_padded_channels = 8;

  /// Without padding on the left and right, the taps of one kernel row are consecutive in memory.
  static bool is_merged(const ConvGeometry& g) {
    return g.pad_w == 0 && g.extra_right == 0 && g.dilation_w == 1 && g.groups == 1;
  }

  static Result<void> check(const Shape& weights, std::size_t biases, const ConvGeometry& geometry,
                            ConvAlgorithm algorithm) {
    if (weights.rank() != 4 || weights[1] != geometry.kernel_h || weights[2] != geometry.kernel_w)
      return Error("expected weights [Cout, " + std::to_string(geometry.kernel_h) + ", " +
                   std::to_string(geometry.kernel_w) + ", Cin], found " + weights.to_string());
    if (geometry.groups == 0 || weights[0] % geometry.groups != 0)
      return Error(std::to_string(weights[0]) + " output channels cannot be split into " +
                   std::to_string(geometry.groups) + " groups");
    if (biases != 0 && biases != weights[0])
      return Error("expected " + std::to_string(weights[0]) + " bias values, found " +
                   std::to_string(biases));
    if (winograd_outputs(algorithm) != 0 && !is_winograd_possible(geometry))
      return Error("Winograd's algorithm needs a 3x3 kernel, stride 1, no dilation and one group");
    if (algorithm == ConvAlgorithm::strassen && !detail::has_strassen)
      return Error("Strassen's algorithm is part of builds for AVX-512 and AVX2 alone");
    if (algorithm == ConvAlgorithm::strassen && !is_strassen_possible(geometry, weights[3], weights[0]))
      return Error(
          "Strassen's algorithm needs a 1x1 kernel, no padding, one group, input channels "
          "in multiples of " +
          std::to_string(2 * vec::size) + " and output channels in multiples of " +
          std::to_string(detail::strassen_columns));
    if (algorithm == ConvAlgorithm::direct_bf16 && !has_bf16)
      return Error("this build has no instructions for bfloat16");
    if (algorithm == ConvAlgorithm::direct_bf16 && !is_pointwise(geometry))
      return Error("bfloat16 needs a 1x1 kernel, stride 1, no padding and one group");
    return {};
  }

  void pack(std::span<const float> weights, ConvAlgorithm algorithm) {
    algorithm_ = algorithm;
    if (algorithm == ConvAlgorithm::winograd_2x2) return pack_transformed<2>(weights);
    if (algorithm == ConvAlgorithm::winograd_4x4) return pack_transformed<4>(weights);
    if (algorithm == ConvAlgorithm::strassen) return pack_strassen(weights);
#if QCNET_HAS_BF16
    if (algorithm == ConvAlgorithm::direct_bf16) {
      weights_ = pack_bf16(weights, cout_, group_cin_);
      return;
    }
#endif
    const std::size_t group_cout = group_output_channels(), depth = geometry_.taps() * group_cin_;
    weights_ = PackedMatrices(geometry_.groups, group_cout, depth);
    for (std::size_t g = 0; g < geometry_.groups; ++g)
      weights_.pack(g, weights.subspan(g * group_cout * depth, group_cout * depth));
  }

  /// Each of the (m + 2)^2 matrices is computed by itself, in double and rounded once: a little more work,
  /// but no second copy of them all.
  template <std::size_t M>
  void pack_transformed(std::span<const float> weights) {
    constexpr auto filter = detail::WinogradTransform<M>::filter();
    weights_ = PackedMatrices(filter.size() * filter.size(), cout_, group_cin_);
    std::vector<float> matrix(cout_ * group_cin_);
    std::size_t product = 0;
    for (const std::array<double, 3>& down : filter)
      for (const std::array<double, 3>& across : filter) {
        for (std::size_t c = 0; c < cout_; ++c)
          for (std::size_t k = 0; k < group_cin_; ++k) {
            double sum = 0.0;
            for (std::size_t tap = 0; tap < 9; ++tap)
              sum += down[tap / 3] * across[tap % 3] * double{weights[(c * 9 + tap) * group_cin_ + k]};
            matrix[c * group_cin_ + k] = static_cast<float>(sum);
          }
        weights_.pack(product++, matrix);
      }
  }

  /// A block of columns of a product is made of the two halves of a block of strassen_columns.
  void pack_strassen(std::span<const float> weights) {
    const std::size_t depth = group_cin_ / 2;
    weights_ = PackedMatrices(detail::strassen_weights.size(), cout_ / 2, depth);
    std::vector<float> matrix(cout_ / 2 * depth);
    std::size_t product = 0;
    for (const std::array<float, 4>& quarters : detail::strassen_weights) {
      for (std::size_t c = 0; c < cout_ / 2; ++c) {
        const float* const left = &weights[(c + c / block_columns * block_columns) * group_cin_];
        const float* const right = left + block_columns * group_cin_;
        for (std::size_t k = 0; k < depth; ++k)
          matrix[c * depth + k] = (quarters[0] * left[k] + quarters[1] * right[k]) +
                                  (quarters[2] * left[depth + k] + quarters[3] * right[depth + k]);
      }
      weights_.pack(product++, matrix);
    }
  }

  ConvAlgorithm algorithm_ = ConvAlgorithm::direct;
  ConvGeometry geometry_;
  std::size_t cout_ = 0, group_cin_ = 0, runs_w_ = 1, run_length_ = 0, copy_pitch_ = 0;
  PackedMatrices weights_;
  AlignedBuffer<float> bias_, zeros_;
};

}  // namespace qcnet::inline QCNET_ABI::kernels
