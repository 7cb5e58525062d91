// From a picture to the network's input: resize, crop, normalize, as torchvision's ImageClassification
// preset; or with a letterbox instead of the crop, as detectors want it.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <qcnet/core/tensor.hpp>
#include <qcnet/vision/image.hpp>
#include <qcnet/vision/letterbox.hpp>
#include <qcnet/vision/resize.hpp>

namespace qcnet::inline QCNET_ABI::vision {

/// Resize the shorter side, crop the centre, scale to [0, 1] and normalize per channel: (x / 255 - mean) /
/// std. Equals torchvision's Resize, CenterCrop, ToTensor and Normalize on PIL images. The number of means is
/// the number of channels the network wants: pictures are converted (gray 1, RGB 3) before the resize. With
/// `letterbox` the whole picture is scaled to fit and grey fills the rest: `ImageOps.pad` of PIL, then the
/// same.
struct Preprocess {
  std::size_t resize = 0;  ///< pixels of the shorter side; 0 leaves the picture as it is
  std::size_t height = 0;  ///< of the crop; a smaller picture is padded with black
  std::size_t width = 0;
  std::vector<float> mean;
  std::vector<float> std;
  bool letterbox = false;  ///< instead of resize and crop; see `Letterbox`

  /// Memory that `apply_into` keeps between calls: a second picture of the same size allocates nothing.
  struct Scratch {
    Image converted;
    Resizer resizer;
  };

  /// `[1, height, width, mean.size()]`
  Shape output_shape() const { return {1, height, width, mean.size()}; }

  /// Error if these settings make no sense; for settings read from a file.
  Result<void> check() const {
    if (height == 0 || width == 0 || std::max({resize, height, width}) > max_size)
      return Error("preprocessing: crop " + std::to_string(height) + " x " + std::to_string(width) +
                   " must be from 1, resize " + std::to_string(resize) + " from 0 to " +
                   std::to_string(max_size) + " pixels");
    if ((mean.size() != 1 && mean.size() != 3) || std.size() != mean.size())
      return Error("preprocessing: expected 1 or 3 means and as many standard deviations, found " +
                   std::to_string(mean.size()) + " and " + std::to_string(std.size()));
    if (letterbox && resize != 0)
      return Error("preprocessing: a letterbox takes no resize, found " + std::to_string(resize));
    for (std::size_t c = 0; c < mean.size(); ++c) {
      if (!(std[c] > 0)) return Error("preprocessing: a standard deviation is not positive");
      if (!std::isfinite(std[c]) || !std::isfinite((0.0f - mean[c]) / std[c]) ||
          !std::isfinite((1.0f - mean[c]) / std[c]))
        return Error("preprocessing: with this mean and standard deviation pixels would be no numbers");
    }
    return {};
  }

  /// The network's input `[1, height, width, channels]`.
  Result<Tensor> operator()(const ImageView& image) const {
    QCNET_CHECK(check());
    Tensor out(output_shape());
    Scratch scratch;
    QCNET_CHECK(apply_into(image, out, scratch));
    return out;
  }

  /// The same into `out`, which must have `output_shape()`.
  Result<void> apply_into(const ImageView& image, TensorView out, Scratch& scratch) const {
    QCNET_CHECK(check());
    QCNET_CHECK(vision::check(image));
    if (!(out.shape == output_shape()))
      return Error("preprocessing: expected an output of " + output_shape().to_string() + ", found " +
                   out.shape.to_string());
    const std::size_t channels = mean.size();
    ImageView source = image;
    if (image.channels != channels) {
      Image& converted = scratch.converted;
      converted.height = image.height;
      converted.width = image.width;
      converted.channels = channels;
      converted.pixels.resize(image.height * image.width * channels);
      for (std::size_t y = 0; y < image.height; ++y)
        convert_pixels_into(image.row(y), image.channels, image.width, channels,
                            converted.pixels.data() + y * image.width * channels);
      source = converted;
    }

    QCNET_TRY(const Axes axes, letterbox ? boxed(image) : cropped(image));
    const auto [rows, columns] = axes;
    const bool resized = rows.size != image.height || columns.size != image.width;
    if (resized)
      source = scratch.resizer(source, {image.height, rows.size, rows.skip, rows.count},
                               {image.width, columns.size, columns.skip, columns.count});
    const std::size_t top = resized ? 0 : rows.skip;
    const std::size_t left = resized ? 0 : columns.skip;
    const std::uint8_t around = letterbox ? Letterbox::gray : std::uint8_t{0};

    // Each of the 256 values of a channel becomes a float once.
    std::array<std::array<float, 256>, 3> table;
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t v = 0; v < 256; ++v) table[c][v] = (static_cast<float>(v) / 255.0f - mean[c]) / std[c];
    for (std::size_t y = 0; y < height; ++y) {
      const std::uint8_t* line = y - rows.pad < rows.count ? source.row(top + y - rows.pad) : nullptr;
      for (std::size_t x = 0; x < width; ++x) {
        const bool inside = line != nullptr && x - columns.pad < columns.count;  // or it wraps
        const std::size_t at = (left + x - columns.pad) * channels;
        float* pixel = out.pixel(y * width + x);
        for (std::size_t c = 0; c < channels; ++c) pixel[c] = table[c][inside ? line[at + c] : around];
      }
    }
    return {};
  }

 private:
  static constexpr std::size_t max_size = 16384;

  // One axis: the picture becomes `size` samples, of which `count` after the first `skip` stand in the input
  // behind `pad` others.
  struct Axis {
    std::size_t size, skip, pad, count;
  };
  struct Axes {
    Axis rows, columns;
  };

  Result<Axes> cropped(const ImageView& image) const {
    const std::size_t shorter = std::min(image.height, image.width);
    const std::uint64_t target = resize == 0 ? shorter : resize;
    if (std::max(image.height, image.width) * target / shorter > INT32_MAX)
      return Error("preprocessing: a picture of " + std::to_string(image.height) + " x " +
                   std::to_string(image.width) + " is too long for a shorter side of " +
                   std::to_string(target));
    return Axes{center_crop(static_cast<std::size_t>(image.height * target / shorter), height),
                center_crop(static_cast<std::size_t>(image.width * target / shorter), width)};
  }

  Result<Axes> boxed(const ImageView& image) const {
    const Letterbox box = Letterbox::fit(image.height, image.width, height, width);
    return Axes{{box.height, 0, box.top, box.height}, {box.width, 0, box.left, box.width}};
  }

  // torchvision's CenterCrop: skip samples when there are too many, pad when there are too few.
  static Axis center_crop(std::size_t have, std::size_t want) {
    const auto half_to_even = [](std::size_t n) { return n / 2 + (n % 2) * (n / 2 % 2); };
    return {have, have > want ? half_to_even(have - want) : 0, want > have ? (want - have) / 2 : 0,
            std::min(have, want)};
  }
};

}  // namespace qcnet::inline QCNET_ABI::vision
