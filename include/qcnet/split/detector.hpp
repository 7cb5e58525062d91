// A detector's last step: from the maps that its network computed to boxes in the picture.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/layers/executor.hpp>
#include <qcnet/split/deployment.hpp>
#include <qcnet/vision/boxes.hpp>

namespace qcnet::inline QCNET_ABI {

/// What reading boxes needs to know beside the network: anchors, classes and the size of its input.
class Detector {
 public:
  /// For a network, or a tail of it, whose file says `about`. Error: this is no detector, or anchors and
  /// classes do not fit the maps that it computes.
  static Result<Detector> make(const Deployment& about, const Executor& network) {
    if (!about.anchors) return Error("is a classifier, which finds no boxes");
    Detector detector(*about.anchors, about.preprocess.height, about.preprocess.width);
    const auto& maps = detector.anchors_.maps;
    if (network.outputs() != maps.size())
      return Error("has " + std::to_string(network.outputs()) + " detection maps, but anchors for " +
                   std::to_string(maps.size()));
    for (std::size_t i = 0; i < maps.size(); ++i) {
      auto classes =
          vision::classes_in(network.output_shape(i), maps[i].size(), detector.height_, detector.width_);
      if (!classes) return classes.error().in(network.output_name(i));
      if (detector.height_ / network.output_shape(i)[1] != coarsest_cell >> i)
        return Error(network.output_name(i) + ": the detection map " + network.output_shape(i).to_string() +
                     " does not have cells of " + std::to_string(coarsest_cell >> i) +
                     " pixels; is metadata \"qcnet.input\" of another size than \"qcnet.feature\"?");
      if (i > 0 && *classes != detector.classes_)
        return Error(network.output_name(i) + ": tells " + std::to_string(*classes) +
                     " classes apart, the map before it " + std::to_string(detector.classes_));
      detector.classes_ = *classes;
    }
    QCNET_CHECK(about.check_classes(detector.classes_));
    return detector;
  }

  std::size_t classes() const { return classes_; }

  /// What the last run of `network` found, in pixels of the picture that it was given letterboxed; best
  /// first. Error: a picture without a size, as from a frame that does not say it.
  Result<std::vector<vision::Detection>> operator()(const Executor& network, std::size_t picture_height,
                                                    std::size_t picture_width,
                                                    const vision::DetectionOptions& options = {}) const {
    if (picture_height == 0 || picture_width == 0)
      return Error("the picture's size is not known, so no box can be placed in it");
    std::vector<ConstTensorView> maps;
    for (std::size_t i = 0; i < network.outputs(); ++i) maps.push_back(network.output(i));
    return vision::detections(
        maps, anchors_, vision::Letterbox::fit(picture_height, picture_width, height_, width_), options);
  }

 private:
  /// Pixels of the input along a cell of YOLOv3's first map; each map has cells half as large as the one
  /// before.
  static constexpr std::size_t coarsest_cell = 32;

  Detector(vision::Anchors anchors, std::size_t height, std::size_t width)
      : anchors_(std::move(anchors)), height_(height), width_(width) {}

  vision::Anchors anchors_;
  std::size_t height_, width_;  // of the network's input
  std::size_t classes_ = 0;
};

}  // namespace qcnet::inline QCNET_ABI
