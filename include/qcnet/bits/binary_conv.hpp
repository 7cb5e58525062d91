// Convolution of bits with weights of one bit: xor and count.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <qcnet/bits/binary_epilogue.hpp>
#include <qcnet/bits/binary_weights.hpp>
#include <qcnet/bits/bit_patches.hpp>
#include <qcnet/bits/count_thresholds.hpp>
#include <qcnet/bits/padding_sums.hpp>
#include <qcnet/bits/popcount_kernel.hpp>
#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/conv_geometry.hpp>
#include <qcnet/core/parallel.hpp>
#include <qcnet/core/part.hpp>
#include <qcnet/core/tensor.hpp>

namespace qcnet::inline QCNET_ABI::bits {

/// What a tap in the padding adds: exactly nothing, or as if a +1 lay there.
enum class BinaryPadding : std::uint8_t { zero, one };

/// A 2-D convolution of bits, read as +1 (set) and -1, with weights of +1 and -1. Its sums are whole numbers,
/// exact and the same on every instruction set and for any number of threads.
///
/// How bits become sums. Write a = 2p - 1 and w = 2q - 1 with bits p and q. A product a w is +1 where p and q
/// are equal and -1 where they differ, that is 1 - 2 (p xor q). Over the D products of an output,
///
///   count = sum(a w) = D - 2 popcount(p xor q).
///
/// Bits that fill the last byte or register are zero in both, so they never differ and D does not count them.
/// In the padding the kernel reads p = 0, which makes a tap add -sum(w). With zero padding that is put back
/// for the pixels at the border, once for all taps there: PaddingSums. Padding of +1 is read as set bits.
///
/// D is at most `most_products` = 2^24, so |count|, D and twice the popcount fit an int32 with room to spare,
/// and a float holds any count exactly. The kernel's narrower sums are emptied in time: see `most_steps` and
/// `most_bytes` there.
class PackedBinaryConv2d {
 public:
  /// `weights` is [Cout, Kh, Kw, Cin / groups], all of it +1 or -1; an Error if not, or if shapes disagree.
  static Result<PackedBinaryConv2d> make(ConstTensorView weights, const ConvGeometry& geometry,
                                         BinaryPadding padding) {
    QCNET_CHECK(check(weights.shape, geometry));
    auto bits = pack_signs(weights);
    if (!bits) return bits.error().in("binary convolution");
    return PackedBinaryConv2d(*bits, geometry, padding);
  }

  /// The same from bits, as a Bitplane of shape [Cout, Kh, Kw, Cin / groups] holds them: a set bit is +1. An
  /// Error also if they are not as many bytes, or a padding bit is set.
  static Result<PackedBinaryConv2d> make(std::span<const std::uint8_t> weights, const Shape& shape,
                                         const ConvGeometry& geometry, BinaryPadding padding) {
    QCNET_CHECK(check(shape, geometry));
    const ConstBitplaneView bits(weights.data(), shape);
    if (weights.size() != bits.size_bytes())
      return Error("binary convolution: weights " + shape.to_string() + " take " +
                   std::to_string(bits.size_bytes()) + " bytes, found " + std::to_string(weights.size()));
    if (!padding_is_zero(bits))
      return Error("binary convolution: the weights have a padding bit set behind their " +
                   std::to_string(shape[3]) + " channels");
    return PackedBinaryConv2d(bits, geometry, padding);
  }

  PackedBinaryConv2d() = default;

  const ConvGeometry& geometry() const { return geometry_; }
  std::size_t input_channels() const { return group_cin_ * geometry_.groups; }
  std::size_t output_channels() const { return cout_; }
  /// Products of one output: no count is larger.
  std::size_t most_count() const { return geometry_.taps() * group_cin_; }
  /// Bytes of the packed weights and of what corrects the borders.
  std::size_t bytes() const { return weights_.bytes() + padding_sums_.bytes(); }

  /// Shape [N, H', W', Cout] of the output for an input [N, H, W, Cin]; an Error if it has other channels or
  /// the kernel does not fit into it.
  Result<Shape> output_shape(const Shape& in) const {
    if (in.rank() == 4 && in[3] != input_channels())
      return Error("binary convolution: expected " + std::to_string(input_channels()) +
                   " input channels, found " + in.to_string());
    return geometry_.output(in, cout_);
  }

  /// Whether bits can be written: groups of output channels must begin on bytes.
  bool can_emit_bits() const { return geometry_.groups == 1 || cout_ / geometry_.groups % 8 == 0; }

  // All that follow raise if the output or what comes with it does not have the shape that `output_shape`
  // tells, and allocate nothing.

  /// The counts, [N, H', W', Cout].
  void counts_into(ConstBitplaneView in, std::span<std::int32_t> counts) const {
    const Shape out = output_shape(in.shape).value();
    require(counts.size() == out.elements(), "as many counts", out);
    run(in, out, StoreCounts{counts.data(), cout_});
  }

  /// out = scale * count + bias + residual, with a scale and a bias for each output channel; `residual` (data
  /// == nullptr: none) has the output's shape and may be `out` itself. The product and the bias are rounded
  /// once (fma), where the machine can.
  void forward_into(ConstBitplaneView in, const CountScale& scale, TensorView out,
                    ConstTensorView residual = {}) const {
    const Shape shape = check_scaled(in, scale, residual);
    require(out.shape == shape, "an output", shape);
    run(in, shape, StoreScaled{out.data, residual.data, scale, cout_});
  }

  /// The bits of that: out = scale * count + bias + residual > threshold, strictly; NaN gives 0. The
  /// threshold of channel c is `thresholds[c]`, or with a `stride` of at least Cout, that of channel c of an
  /// image's pixel p is `thresholds[p * stride + c]`. Only if `can_emit_bits()`.
  void bits_into(ConstBitplaneView in, const CountScale& scale, std::span<const float> thresholds,
                 std::size_t stride, BitplaneView out, ConstTensorView residual = {}) const {
    const Shape shape = check_scaled(in, scale, residual);
    require(out.shape == shape && can_emit_bits(), "bits", shape);
    const std::size_t positions = stride == 0 ? 1 : shape[1] * shape[2];
    require((stride == 0 || stride >= cout_) && thresholds.size() >= (positions - 1) * stride + cout_,
            "thresholds for each channel, or for each of the pixels of", shape);
    run(in, shape,
        StoreScaledBits{out.data, residual.data, scale, thresholds.data(), stride, positions, cout_,
                        out.pixel_bytes()});
  }

  /// The bits of whole-numbered thresholds: nothing is a float. Only if `can_emit_bits()`.
  void bits_into(ConstBitplaneView in, const CountThresholds& thresholds, BitplaneView out) const {
    const Shape shape = output_shape(in.shape).value();
    require(out.shape == shape && can_emit_bits(), "bits", shape);
    require(thresholds.channels() == cout_, "thresholds for each channel of", shape);
    run(in, shape, StoreCountBits{out.data, thresholds.flips(), thresholds.values(), out.pixel_bytes()});
  }

 private:
  // Memory for the inputs of a tile, on the stack: with the weights of a block about what an L1 cache holds.
  static constexpr std::size_t tile_bytes = 32768;
  static constexpr std::size_t most_tile_pixels = 64 / popcount::block_rows * popcount::block_rows;
  // The bytes of longer patches come in slices, so that `block_rows` pixels of one fit.
  static constexpr std::size_t input_expansion = popcount::lane_bits == 4 ? 2 : 1;
  static constexpr std::size_t slice_bytes =
      std::min(tile_bytes / popcount::block_rows / input_expansion, popcount::most_bytes) / 8 * 8;

  static_assert(popcount::block_rows <= most_rows);

  /// Consecutive output pixels.
  struct Tile {
    std::size_t first, pixels;
  };

  static Result<void> check(const Shape& shape, const ConvGeometry& g) {
    if (shape.rank() != 4 || shape.elements() == 0 || shape[1] != g.kernel_h || shape[2] != g.kernel_w)
      return Error("binary convolution: expected weights [Cout, " + std::to_string(g.kernel_h) + ", " +
                   std::to_string(g.kernel_w) + ", Cin / groups], found " + shape.to_string());
    if (g.groups == 0 || shape[0] % g.groups != 0)
      return Error("binary convolution: " + std::to_string(shape[0]) +
                   " output channels cannot be split into " + std::to_string(g.groups) + " groups");
    if (shape.elements() / shape[0] > most_products)
      return Error("binary convolution: an output of weights " + shape.to_string() + " adds up more than " +
                   std::to_string(most_products) + " products");
    return {};
  }
  static void require(bool holds, const char* what, const Shape& shape) {
    if (!holds) raise(Error("binary convolution: expected " + std::string(what) + " " + shape.to_string()));
  }
  Shape check_scaled(ConstBitplaneView in, const CountScale& scale, ConstTensorView residual) const {
    const Shape shape = output_shape(in.shape).value();
    require(scale.scale.size() == cout_ && scale.bias.size() == cout_,
            "a scale and a bias for each channel of", shape);
    require(residual.data == nullptr || residual.shape == shape, "a residual", shape);
    return shape;
  }

  PackedBinaryConv2d(ConstBitplaneView weights, const ConvGeometry& geometry, BinaryPadding padding)
      : geometry_(geometry),
        cout_(weights.shape[0]),
        group_cin_(weights.shape[3]),
        patches_(geometry, group_cin_, padding == BinaryPadding::one),
        weights_(weights.bytes(), geometry.groups, cout_ / geometry.groups, patches_.patch_bytes()) {
    const ConvGeometry& g = geometry;
    const bool padded = g.pad_h + g.pad_w + g.extra_bottom + g.extra_right != 0;
    if (padding == BinaryPadding::zero && padded) padding_sums_ = PaddingSums(weights);
  }

  template <class Store>
  void run(ConstBitplaneView in, const Shape& out, const Store& store) const {
    const std::size_t pixels = out.pixels(), patch_bytes = patches_.patch_bytes();
    if (pixels == 0) return;
    const std::size_t bytes = popcount::steps_of(std::min(patch_bytes, slice_bytes)) * popcount::step_bytes;
    const std::size_t fitting = tile_bytes / bytes / popcount::block_rows;  // rows of accumulator blocks
    // A longer patch's counts stay in one accumulator block while its slices come and go.
    const std::size_t most = patch_bytes > slice_bytes ? 1 : most_tile_pixels / popcount::block_rows;
    const std::size_t rows = (pixels + popcount::block_rows - 1) / popcount::block_rows;
    const std::size_t tile_rows = std::clamp<std::size_t>(fitting, 1, most);
    const bool worth_it = std::uint64_t{pixels} * cout_ * patch_bytes > 1u << 19;  // about 4 us
    const std::size_t threads = worth_it ? static_cast<std::size_t>(num_threads()) : 1;
    const std::size_t wanted = (rows + tile_rows - 1) / tile_rows;
    const std::size_t tiles = std::min(rows, (wanted + threads - 1) / threads * threads);
    parallel_for(
        tiles,
        [&](std::size_t i) {
          const std::size_t first = part_begin(rows, i, tiles) * popcount::block_rows;
          const std::size_t end = std::min(pixels, part_begin(rows, i + 1, tiles) * popcount::block_rows);
          run_tile(in, out, {first, end - first}, store);
        },
        worth_it);
  }

  template <class Store>
  void run_tile(ConstBitplaneView in, const Shape& out, const Tile& tile, const Store& store) const {
    alignas(64) std::uint8_t inputs[tile_bytes];
    alignas(64) std::int32_t all_equal[popcount::block_columns];
    std::fill_n(all_equal, popcount::block_columns, static_cast<std::int32_t>(most_count()));
    // Epilogues may read a block behind the last count.
    alignas(64) std::int32_t counts[popcount::block_rows * popcount::block_columns + block];
    std::fill(std::end(counts) - block, std::end(counts), 0);
    const std::size_t patch_bytes = patches_.patch_bytes(), group_cout = cout_ / geometry_.groups;
    const bool sliced = patch_bytes > slice_bytes;
    WindowTaps ranges[most_tile_pixels];
    if (padding_sums_.bytes() != 0) find_ranges(in.shape, out, tile, ranges);
    for (std::size_t g = 0; g < geometry_.groups; ++g) {
      if (!sliced) gather(in, out, tile, g, 0, patch_bytes, inputs);
      for (std::size_t column = 0; column < group_cout; column += popcount::block_columns) {
        const std::size_t width = weights_.block_width(column);
        const std::size_t valid = std::min(width, group_cout - column);
        for (std::size_t p = 0; p < tile.pixels; p += popcount::block_rows) {
          const std::size_t rows = std::min(popcount::block_rows, tile.pixels - p);
          const CountBlock where{counts, width, rows, tile.first + p, g * group_cout + column, valid};
          // What counts are where nothing differs.
          popcount::BlockCounts block_counts{all_equal, 0, counts};
          if (start_at_border(ranges + p, where, counts)) block_counts = {counts, width, counts};
          for (std::size_t begin = 0; begin < patch_bytes; begin += slice_bytes) {
            const std::size_t end = std::min(begin + slice_bytes, patch_bytes);
            if (sliced) gather(in, out, tile, g, begin, end, inputs);
            const std::size_t steps = popcount::steps_of(end - begin), stride = steps * popcount::step_bytes;
            popcount::count_block(rows, width, inputs + p * stride, stride,
                                  weights_.block(g, column, popcount::steps_of(begin)), steps, block_counts);
            block_counts = {counts, width, counts};
          }
          store(where);
        }
      }
    }
  }

  /// The inputs of a tile's pixels for bytes `begin` to `end` of their patches.
  void gather(ConstBitplaneView in, const Shape& out, const Tile& tile, std::size_t group, std::size_t begin,
              std::size_t end, std::uint8_t* inputs) const {
    const std::size_t stride = popcount::steps_of(end - begin) * popcount::step_bytes;
    if constexpr (popcount::lane_bits == 4) {
      std::uint8_t patches[tile_bytes / 2];
      patches_.gather(in, out, tile.first, tile.pixels, group, begin, end, patches, end - begin);
      popcount::split_halves(patches, tile.pixels * (end - begin), inputs);
    } else {
      // The last step may be longer than the bytes that are left: its other bits are zero.
      if (stride != end - begin)
        for (std::size_t p = 1; p <= tile.pixels; ++p)
          std::fill_n(inputs + p * stride - popcount::step_bytes, popcount::step_bytes, std::uint8_t{0});
      patches_.gather(in, out, tile.first, tile.pixels, group, begin, end, inputs, stride);
    }
  }

  void find_ranges(const Shape& in, const Shape& out, const Tile& tile, WindowTaps* ranges) const {
    OutputPixel pixel(out, tile.first);
    for (std::size_t p = 0; p < tile.pixels; ++p, pixel.advance(out)) ranges[p] = {geometry_, in, pixel};
  }

  /// If a window of a block reaches into zero padding, sets the block's counts to the number of products and
  /// what the padding must not add.
  bool start_at_border(const WindowTaps* ranges, const CountBlock& where, std::int32_t* counts) const {
    const auto whole = [](const WindowTaps& range) { return range.whole; };
    if (padding_sums_.bytes() == 0 || std::all_of(ranges, ranges + where.rows, whole)) return false;
    std::fill_n(counts, where.rows * where.stride, static_cast<std::int32_t>(most_count()));
    for (std::size_t r = 0; r < where.rows; ++r)
      if (!whole(ranges[r]))
        padding_sums_.add_to(counts + r * where.stride, where.column, where.valid, ranges[r]);
    return true;
  }

  ConvGeometry geometry_;
  std::size_t cout_ = 0, group_cin_ = 0;
  BitPatches patches_;
  BinaryWeights weights_;
  PaddingSums padding_sums_;  // empty where padding needs no correction
};

}  // namespace qcnet::inline QCNET_ABI::bits
