// Convolution of bits with float weights by table lookup: additions only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include <qcnet/bits/lookup_kernel.hpp>
#include <qcnet/core/aligned_buffer.hpp>
#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/conv_geometry.hpp>
#include <qcnet/core/parallel.hpp>
#include <qcnet/core/part.hpp>
#include <qcnet/core/tensor.hpp>

namespace qcnet::inline QCNET_ABI {

/// A 2-D convolution of bits, read as +1 (set) and -1, with float weights: bias + sum(+-w), then ReLU if
/// asked for. Zero padding adds exactly nothing. An output is its bias plus one rounded sum per four input
/// channels, added in fp32 tap by tap in the order of the channels; so results are the same, bit for bit, for
/// any number of threads and on every instruction set. With T such sums the error is at most (T + 1) 2^-24 /
/// (1 - (T + 1) 2^-24) times |bias| + sum |w|.
class LookupConv2d {
 public:
  /// `weights` is [Cout, Kh, Kw, Cin]; `bias` has Cout values, or none for zeros. The tables take at least
  /// 4.25 times the memory of the weights. An Error if shapes disagree, `geometry.groups` is not 1 or the
  /// tables are larger than what a machine addresses.
  static Result<LookupConv2d> make(ConstTensorView weights, std::span<const float> bias,
                                   const ConvGeometry& geometry, bool relu) {
    const Shape& shape = weights.shape;
    if (geometry.groups != 1)
      return Error("lookup convolution: expected groups == 1, found " + std::to_string(geometry.groups));
    if (shape.rank() != 4 || shape.elements() == 0 || shape[1] != geometry.kernel_h ||
        shape[2] != geometry.kernel_w)
      return Error("lookup convolution: expected weights [Cout, " + std::to_string(geometry.kernel_h) + ", " +
                   std::to_string(geometry.kernel_w) + ", Cin], found " + shape.to_string());
    if (!bias.empty() && bias.size() != shape[0])
      return Error("lookup convolution: expected " + std::to_string(shape[0]) + " biases, found " +
                   std::to_string(bias.size()));
    LookupConv2d conv(shape, geometry, relu);
    const auto tables = Shape::make({conv.slices_, conv.blocks_, conv.slice_floats()});
    if (!tables) return tables.error().in("lookup convolution: tables for weights " + shape.to_string());
    conv.fill(weights, bias, tables->elements());
    return conv;
  }

  /// Shape [N, H', W', Cout] of the output for an input [N, H, W, Cin]; an Error if it has other channels or
  /// the kernel does not fit into it.
  Result<Shape> output_shape(const Shape& in) const {
    if (in.channels() != in_channels_)
      return Error("lookup convolution: expected an input [N, H, W, " + std::to_string(in_channels_) +
                   "], found " + in.to_string());
    return geometry_.output(in, out_channels_);
  }

  /// Writes the convolution of `in` to `out`; raises unless its shape is `output_shape(in.shape)`. Allocates
  /// nothing.
  void forward_into(ConstBitplaneView in, TensorView out) const {
    for_tiles(in.shape, out,
              [&](const Tile& tile) { run_tile(in.shape, in.data, out, tile, Sums::from_bias, relu_); });
  }

  /// The same where only bits set in `received` are known; the others count as 0, between +1 and -1. Takes
  /// twice the time: a sum is affine in each bit, so that of a half is the mean of those of both values, all
  /// such bits as 0 once and once as 1.
  void forward_into(ConstBitplaneView in, ConstBitplaneView received, TensorView out) const {
    if (!(received.shape == in.shape))
      raise(Error("lookup convolution: the bits that arrived are " + received.shape.to_string() +
                  ", the input is " + in.shape.to_string()));
    const bits::PartialBytes zeros{in.data, received.data, 0x00}, ones{in.data, received.data, 0xFF};
    for_tiles(in.shape, out, [&](const Tile& tile) {
      run_tile(in.shape, zeros, out, tile, Sums::from_bias, false);
      run_tile(in.shape, ones, out, tile, Sums::go_on, false);
      for (std::size_t p = tile.first; p < tile.first + tile.pixels; ++p)
        for (std::size_t o = 0; o < out_channels_; ++o) {
          float& sum = out.pixel(p)[o];
          sum = 0.5f * (sum + bias_.data()[o]);
          if (relu_) sum = std::max(0.0f, sum);
        }
    });
  }

  /// Multiply-adds a float engine would spend on an output of shape `out`.
  std::uint64_t multiply_adds(const Shape& out) const {
    return std::uint64_t{out.elements()} * geometry_.taps() * in_channels_;
  }

  /// Memory of the tables.
  std::size_t table_bytes() const { return tables_.size() * sizeof(float); }

 private:
  struct Tile {
    std::size_t first, pixels;  // output pixels, counted over [N, H', W']
  };

  enum class Sums { from_bias, go_on };

  /// Calls `run` for tiles that make up the output of an input of shape `in`; raises unless `out` is one.
  template <class Run>
  void for_tiles(const Shape& in, TensorView out, const Run& run) const {
    const Shape expected = output_shape(in).value();
    if (!(out.shape == expected))
      raise(Error("lookup convolution: expected an output " + expected.to_string() + ", found " +
                  out.shape.to_string()));
    const std::size_t pixels = expected.pixels();
    const std::size_t threads = std::min(static_cast<std::size_t>(num_threads()), pixels / 64 + 1);
    const std::size_t tiles = divide_up(divide_up(pixels, bits::tile_pixels), threads) * threads;
    parallel_for(tiles, [&](std::size_t i) {
      const std::size_t first = part_begin(pixels, i, tiles);
      run(Tile{first, part_begin(pixels, i + 1, tiles) - first});
    });
  }

  static std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

  LookupConv2d(const Shape& weights, const ConvGeometry& geometry, bool relu)
      : geometry_(geometry), relu_(relu), in_channels_(weights[3]), out_channels_(weights[0]) {
    // A row of taps lies in one run of input bytes, unless dilation separates them.
    row_taps_ = geometry.dilation_w == 1 ? geometry.kernel_w : 1;
    weight_bytes_ = geometry.taps() * packed_bytes(in_channels_);
    // Slices of equal size; whole rows where possible, they are quicker to gather.
    const std::size_t row_bytes = row_taps_ * packed_bytes(in_channels_);
    slice_bytes_ = row_bytes == 6 ? 6 : divide_up(weight_bytes_, divide_up(weight_bytes_, bits::slice_bytes));
    slices_ = divide_up(weight_bytes_, slice_bytes_);
    // Blocks of 16 output channels where blocks of 32 would leave 16 or more unused.
    block_width_ = divide_up(out_channels_, 16) % 2 == 0 ? 32 : 16;
    blocks_ = divide_up(out_channels_, block_width_);
  }

  void fill(ConstTensorView weights, std::span<const float> bias, std::size_t table_floats) {
    bias_ = AlignedBuffer<float>(blocks_ * block_width_);
    std::copy(bias.begin(), bias.end(), bias_.data());
    tables_ = AlignedBuffer<float>(table_floats);
    for (std::size_t o = 0; o < out_channels_; ++o)
      for (std::size_t byte = 0; byte < weight_bytes_; ++byte)
        for (std::size_t half = 0; half < 2; ++half) fill_table(weights, o, byte, half);
  }

  std::size_t slice_floats() const { return 2 * slice_bytes_ * bits::table_entries * block_width_; }

  // Column `o` of the table for half a byte of input. Channels behind the last (padding bits) add nothing.
  void fill_table(ConstTensorView weights, std::size_t o, std::size_t byte, std::size_t half) {
    const std::size_t pixel_bytes = packed_bytes(in_channels_);
    const std::size_t tap = byte / pixel_bytes, channel = byte % pixel_bytes * 8 + half * 4;
    const float* w = weights.data + (o * geometry_.taps() + tap) * in_channels_;
    const std::size_t slice = byte / slice_bytes_ * blocks_ + o / block_width_;
    const std::size_t table = byte % slice_bytes_ * 2 + half;
    float* column = tables_.data() + slice * slice_floats() + table * bits::table_entries * block_width_ +
                    o % block_width_;
    for (std::size_t n = 0; n < 16; ++n) {
      double sum = 0;
      for (std::size_t i = 0; i < 4 && channel + i < in_channels_; ++i)
        sum += ((n >> i) & 1u) != 0 ? double{w[channel + i]} : -double{w[channel + i]};
      column[n * block_width_] = static_cast<float>(sum);
    }
  }

  // `bytes` are the input's, of shape `in`: a pointer, or bits::PartialBytes.
  template <class Bytes>
  void run_tile(const Shape& in, Bytes bytes, TensorView out, const Tile& tile, Sums sums, bool relu) const {
    alignas(64) bits::Choice choices[bits::tile_pixels * bits::slice_bytes];
    for (std::size_t s = 0; s < slices_; ++s) {
      const std::size_t begin = s * slice_bytes_, end = std::min(begin + slice_bytes_, weight_bytes_);
      gather(in, bytes, out.shape, tile, begin, end, choices);
      for (std::size_t b = 0; b < blocks_; ++b) {
        const std::size_t column = b * block_width_, i = s * blocks_ + b;
        const bits::Slice slice{
            .tables = tables_.data() + i * slice_floats(),
            .next = tables_.data() + (i + 1) % (slices_ * blocks_) * slice_floats(),
            .bytes = end - begin,
            .initial = s == 0 && sums == Sums::from_bias ? bias_.data() + column : nullptr,
            .relu = relu && s + 1 == slices_};
        const auto accumulate = block_width_ == 32 ? bits::accumulate_tile<32> : bits::accumulate_tile<16>;
        accumulate(slice, choices, tile.pixels, out.pixel(tile.first) + column, out_channels_,
                   out_channels_ - column);
      }
    }
  }

  // The choices [tile.pixels][bits::slice_bytes] of weight bytes `begin` to `end`, row of taps by row of
  // taps.
  template <class Bytes>
  void gather(const Shape& in, Bytes bytes, const Shape& out, const Tile& tile, std::size_t begin,
              std::size_t end, bits::Choice* choices) const {
    const std::size_t row_bytes = row_taps_ * packed_bytes(in_channels_);
    for (std::size_t byte = begin; byte < end;) {
      const std::size_t row = byte / row_bytes, at = byte % row_bytes;
      const std::size_t run = std::min(row_bytes - at, end - byte);
      const auto gather_run = [&](auto count) {
        gather_row(in, bytes, out, tile, row, at, count, choices + (byte - begin));
      };
      // Loops of constant length become a few vector instructions.
      if (run == 8)
        gather_run(std::integral_constant<std::size_t, 8>());
      else if (run == 6)
        gather_run(std::integral_constant<std::size_t, 6>());
      else if (run == 4)
        gather_run(std::integral_constant<std::size_t, 4>());
      else if (run == 2)
        gather_run(std::integral_constant<std::size_t, 2>());
      else
        gather_run(run);
      byte += run;
    }
  }

  // `count` bytes from byte `at` of a row of taps on.
  template <class Bytes, class Count>
  void gather_row(const Shape& in, Bytes bytes, const Shape& out, const Tile& tile, std::size_t row,
                  std::size_t at, Count count, bits::Choice* choices) const {
    const std::size_t height = in[1], width = in[2], pixel_bytes = packed_bytes(in_channels_);
    const std::size_t rows_per_line = geometry_.kernel_w / row_taps_;
    // Where the row starts, relative to the output pixel. Left of or above the input the sums below wrap to
    // numbers larger than any width or height.
    const std::size_t dy = row / rows_per_line * geometry_.dilation_h - geometry_.pad_h;
    const std::size_t dx = row % rows_per_line * geometry_.dilation_w - geometry_.pad_w;
    std::size_t x = tile.first % out[2], y = tile.first / out[2] % out[1], n = tile.first / out[2] / out[1];
    for (std::size_t p = 0; p < tile.pixels; ++p, choices += bits::slice_bytes) {
      const std::size_t in_y = y * geometry_.stride_h + dy, in_x = x * geometry_.stride_w + dx;
      const std::size_t offset = ((n * height + in_y) * width + in_x) * pixel_bytes + at;
      if (in_y >= height) {
        std::fill(choices, choices + count, bits::padding_choice);
      } else if (in_x < width && in_x + row_taps_ <= width) {
        bits::choose(bytes + offset, count, choices);
      } else {
        for (std::size_t i = 0; i < count; ++i) {
          choices[i] = bits::padding_choice;
          if (in_x + (at + i) / pixel_bytes < width)
            bits::choose(bytes + (offset + i), std::size_t{1}, choices + i);
        }
      }
      if (++x == out[2]) {
        x = 0;
        if (++y == out[1]) y = 0, ++n;
      }
    }
  }

  ConvGeometry geometry_;
  bool relu_;
  std::size_t in_channels_, out_channels_;
  std::size_t row_taps_;
  std::size_t weight_bytes_, slice_bytes_, slices_;  // input bits of one output pixel, and how they are cut
  std::size_t block_width_, blocks_;                 // output channels, and how they are cut
  AlignedBuffer<float> tables_;  // [slices][blocks][2 * slice_bytes][bits::table_entries][block_width]
  AlignedBuffer<float> bias_;    // [blocks][block_width]
};

}  // namespace qcnet::inline QCNET_ABI
