// Antialiased bilinear resize, bit for bit as PIL's Image.resize(..., BILINEAR): what torchvision's weights
// were trained and measured with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <qcnet/vision/image.hpp>

namespace qcnet::inline QCNET_ABI::vision {

/// One axis of a resize: `input` samples become `output`, of which only [first, first + count) are wanted.
struct ResizeAxis {
  std::size_t input, output, first, count;
};

namespace detail {

// Each wanted output sample is a weighted mean of neighbouring input samples. The triangle's half width is
// one input sample when enlarging and one output sample when reducing: that is the antialiasing. Weights are
// rounded to 22 fractional bits, so that 8-bit samples sum up in 32 bits.
class TriangleFilter {
 public:
  static constexpr int fraction_bits = 32 - 8 - 2;
  struct Taps {
    std::size_t first, count;
    const std::int32_t* weights;
  };

  void plan(const ResizeAxis& axis) {
    const double scale = static_cast<double>(axis.input) / static_cast<double>(axis.output);
    const double half_width = std::max(scale, 1.0);
    stride_ = static_cast<std::size_t>(std::ceil(half_width)) * 2 + 1;
    ranges_.resize(axis.count);
    weights_.resize(axis.count * stride_);
    exact_.resize(stride_);
    for (std::size_t i = 0; i < axis.count; ++i) {
      const double center = (static_cast<double>(axis.first + i) + 0.5) * scale;
      const auto begin = static_cast<std::size_t>(std::max(center - half_width + 0.5, 0.0));
      const auto end = std::min(static_cast<std::size_t>(center + half_width + 0.5), axis.input);
      double sum = 0;
      for (std::size_t k = begin; k < end; ++k) {
        const double distance = std::abs((static_cast<double>(k) - center + 0.5) * (1.0 / half_width));
        sum += exact_[k - begin] = std::max(1.0 - distance, 0.0);
      }
      for (std::size_t k = 0; k < end - begin; ++k)
        weights_[i * stride_ + k] =
            static_cast<std::int32_t>(0.5 + exact_[k] / sum * (std::int32_t{1} << fraction_bits));
      ranges_[i] = {begin, end - begin};
    }
  }

  Taps operator[](std::size_t i) const {
    return {ranges_[i].first, ranges_[i].count, weights_.data() + i * stride_};
  }

 private:
  struct Range {
    std::size_t first, count;
  };
  std::size_t stride_ = 0;
  std::vector<Range> ranges_;
  std::vector<std::int32_t> weights_;
  std::vector<double> exact_;
};

constexpr std::int32_t rounding_half = std::int32_t{1} << (TriangleFilter::fraction_bits - 1);

inline std::uint8_t round_to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> TriangleFilter::fraction_bits, 0, 255));
}

}  // namespace detail

/// Resizes pictures, columns first, then rows, rounding to 8 bits in between. Keeps its memory: a second
/// picture of the same size allocates nothing.
class Resizer {
 public:
  /// The window of `image`, resized to `rows.output` x `columns.output`, that the axes ask for. Only that
  /// window is computed. The image must pass `check`, the axes' inputs be its size and no size be zero. The
  /// answer lives until the next call.
  const Image& operator()(const ImageView& image, const ResizeAxis& rows, const ResizeAxis& columns) {
    rows_.plan(rows);
    const std::size_t top = rows_[0].first;
    const std::size_t bottom = rows_[rows.count - 1].first + rows_[rows.count - 1].count;
    shrink_columns(image, columns, top, bottom);

    const std::size_t row_bytes = columns.count * image.channels;
    result_.height = rows.count;
    result_.width = columns.count;
    result_.channels = image.channels;
    result_.pixels.resize(rows.count * row_bytes);
    sums_.resize(row_bytes);
    for (std::size_t y = 0; y < rows.count; ++y) {
      const auto taps = rows_[y];
      std::fill(sums_.begin(), sums_.end(), detail::rounding_half);
      for (std::size_t k = 0; k < taps.count; ++k) {
        const std::uint8_t* row = narrow_.data() + (taps.first - top + k) * row_bytes;
        for (std::size_t i = 0; i < row_bytes; ++i) sums_[i] += row[i] * taps.weights[k];
      }
      std::transform(sums_.begin(), sums_.end(),
                     result_.pixels.begin() + static_cast<std::ptrdiff_t>(y * row_bytes),
                     detail::round_to_byte);
    }
    return result_;
  }

  const Image& operator()(const ImageView& image, std::size_t height, std::size_t width) {
    return (*this)(image, {image.height, height, 0, height}, {image.width, width, 0, width});
  }

 private:
  // Rows [top, bottom) of the image with the wanted columns.
  void shrink_columns(const ImageView& image, const ResizeAxis& columns, std::size_t top,
                      std::size_t bottom) {
    columns_.plan(columns);
    narrow_.resize((bottom - top) * columns.count * image.channels);
    std::uint8_t* out = narrow_.data();
    for (std::size_t y = top; y < bottom; ++y) {
      const std::uint8_t* row = image.row(y);
      for (std::size_t x = 0; x < columns.count; ++x, out += image.channels) {
        const auto taps = columns_[x];
        const std::uint8_t* pixel = row + taps.first * image.channels;
        if (image.channels == 3)
          weigh<3>(pixel, taps, out);
        else
          weigh<1>(pixel, taps, out);
      }
    }
  }

  template <std::size_t Channels>
  static void weigh(const std::uint8_t* pixel, const detail::TriangleFilter::Taps& taps, std::uint8_t* out) {
    std::int32_t sums[Channels];
    std::fill_n(sums, Channels, detail::rounding_half);
    for (std::size_t k = 0; k < taps.count; ++k, pixel += Channels)
      for (std::size_t c = 0; c < Channels; ++c) sums[c] += pixel[c] * taps.weights[k];
    for (std::size_t c = 0; c < Channels; ++c) out[c] = detail::round_to_byte(sums[c]);
  }

  detail::TriangleFilter rows_, columns_;
  std::vector<std::uint8_t> narrow_;
  std::vector<std::int32_t> sums_;
  Image result_;
};

}  // namespace qcnet::inline QCNET_ABI::vision
