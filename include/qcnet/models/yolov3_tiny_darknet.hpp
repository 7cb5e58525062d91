// YOLOv3-Tiny from the weights file that Darknet itself writes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/io/darknet.hpp>
#include <qcnet/models/yolov3_tiny.hpp>

namespace qcnet::inline QCNET_ABI::models {

namespace detail {

/// The numbers of a yolov3-tiny in a `.weights` file: a `YoloV3TinyBuilder::ReadWeights`.
class YoloV3TinyDarknet {
 public:
  YoloV3TinyDarknet(const io::DarknetWeights& file, std::size_t classes, std::size_t width)
      : file_(file), classes_(classes), width_(width), convs_(convolutions(classes, width)) {}

  /// The file's size must be this network's; if not, the Error says whether it is that of other classes.
  Result<void> check_size() const {
    auto fits = file_.check_size(floats(convs_));
    if (fits.ok()) return fits;
    const std::uint64_t none = floats(convolutions(0, width_)), each = floats(convolutions(1, width_)) - none;
    const std::uint64_t smallest = file_.header_bytes() + none * sizeof(float), step = each * sizeof(float);
    std::string hint;
    if (file_.bytes() > smallest && (file_.bytes() - smallest) % step == 0)
      hint = "; it fits " + std::to_string((file_.bytes() - smallest) / step) + " classes";
    return Error("yolov3-tiny of " + std::to_string(classes_) + " classes: " + fits.error().message() + hint);
  }

  Result<ConvWeights> operator()(std::size_t layer, bool batch_norm) const {
    std::uint64_t skip = 0;
    std::size_t i = 0;
    for (; convs_[i].first != layer; ++i) skip += convs_[i].second.floats();
    const std::string name = YoloV3TinyBuilder::name(layer);
    auto stored = file_.convolution(skip, convs_[i].second);
    if (!stored) return stored.error().in(name);
    ConvWeights conv{channels_last(stored->weights), std::vector<float>(convs_[i].second.filters)};
    if (!batch_norm) {
      std::copy(stored->bias.span().begin(), stored->bias.span().end(), conv.bias.begin());
      return conv;
    }
    // With a normalization, the stored bias is the one behind it.
    const BatchNorm norm{std::move(stored->scale), std::move(stored->bias), std::move(stored->mean),
                         std::move(stored->variance)};
    QCNET_CHECK(fold_batch_norm(conv, norm, 1e-5, name + ".bn", name + ".conv"));
    return conv;
  }

 private:
  using Convolutions = std::vector<std::pair<std::size_t, io::DarknetConv>>;  // with their layer's number

  /// In the order of the file, which is that of the cfg.
  static Convolutions convolutions(std::size_t classes, std::size_t w) {
    const std::size_t outputs = 3 * (5 + classes);
    const std::size_t plan[][3] = {{0, 3, w},
                                   {2, w, 2 * w},
                                   {4, 2 * w, 4 * w},
                                   {6, 4 * w, 8 * w},
                                   {8, 8 * w, 16 * w},
                                   {10, 16 * w, 32 * w},
                                   {12, 32 * w, 64 * w},
                                   {13, 64 * w, 16 * w},
                                   {14, 16 * w, 32 * w},
                                   {15, 32 * w, outputs},
                                   {18, 16 * w, 8 * w},
                                   {21, 24 * w, 16 * w},
                                   {22, 16 * w, outputs}};
    Convolutions convs;
    for (const auto& [layer, channels, filters] : plan)
      convs.push_back(
          {layer,
           {channels, filters, YoloV3TinyBuilder::kernel(layer), !YoloV3TinyBuilder::is_detection(layer)}});
    return convs;
  }

  static std::uint64_t floats(const Convolutions& convs) {
    std::uint64_t total = 0;
    for (const auto& [layer, conv] : convs) total += conv.floats();
    return total;
  }

  const io::DarknetWeights& file_;
  std::size_t classes_, width_;
  Convolutions convs_;
};

}  // namespace detail

/// A YOLOv3-Tiny from Darknet's own `.weights`, for 3 anchors a map and pictures of 3 channels; `width` 16 is
/// the published network. Error: the file does not have exactly the size of such a network, or a number in it
/// is not finite.
///
/// Batch normalization adds 1e-5 to the variance, as PyTorch's does: so does Darknet on GPUs, where such
/// weights come from. Its CPU code adds 1e-6 to the root instead, which is another network where a variance
/// is small.
inline Result<Network> yolov3_tiny(const io::DarknetWeights& file, std::size_t classes,
                                   std::size_t width = 16) {
  if (classes > 1'000'000 || width == 0 || width > 1'000)
    return Error("there is no yolov3-tiny of " + std::to_string(classes) + " classes and width " +
                 std::to_string(width));
  const detail::YoloV3TinyDarknet weights(file, classes, width);
  QCNET_CHECK(weights.check_size());
  return detail::YoloV3TinyBuilder(weights).build();
}

}  // namespace qcnet::inline QCNET_ABI::models
