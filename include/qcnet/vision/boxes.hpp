// From a detector's raw maps to boxes in the picture (YOLOv3, Redmon and Farhadi 2018, arXiv:1804.02767).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/core/tensor.hpp>
#include <qcnet/vision/anchors.hpp>
#include <qcnet/vision/box.hpp>
#include <qcnet/vision/letterbox.hpp>
#include <qcnet/vision/nms.hpp>

namespace qcnet::inline QCNET_ABI::vision {

namespace detail {

// 1 / (1 + exp(-x)) whose exponential never overflows.
inline float logistic(float x) {
  const float e = std::exp(-std::abs(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

// x, y, w and h of one anchor in the cell (column, row), as a box in pixels of the input. Beyond e^60 any
// anchor covers any picture; stopping there keeps every coordinate finite. NaN stays NaN.
inline Box decode_box(const float* raw, std::size_t column, std::size_t row, float stride,
                      const Anchors::Size& anchor) {
  const auto grown = [](float x) { return std::exp(x > 60.0f ? 60.0f : x); };
  const float x = (logistic(raw[0]) + static_cast<float>(column)) * stride;
  const float y = (logistic(raw[1]) + static_cast<float>(row)) * stride;
  const float half_width = anchor.width * grown(raw[2]) / 2, half_height = anchor.height * grown(raw[3]) / 2;
  return {x - half_width, y - half_height, x + half_width, y + half_height};
}

}  // namespace detail

/// How many classes a raw detection map of this shape tells apart, with so many anchors a cell. Error: its
/// cells are no squares of the input, or its channels do not fit the anchors.
inline Result<std::size_t> classes_in(const Shape& map, std::size_t anchors, std::size_t input_height,
                                      std::size_t input_width) {
  if (map.rank() != 4 || map.elements() == 0 || map[0] != 1 || input_height % map[1] != 0 ||
      input_width % map[2] != 0 || input_height / map[1] != input_width / map[2])
    return Error("the detection map " + map.to_string() + " is no grid of squares over one picture of " +
                 std::to_string(input_height) + " x " + std::to_string(input_width));
  const std::size_t fields = anchors == 0 ? 0 : map[3] / anchors;
  if (fields < 6 || fields * anchors != map[3])
    return Error("the detection map " + map.to_string() + " does not have 5 channels and its classes for " +
                 std::to_string(anchors) + " anchors");
  return fields - 5;
}

/// Detections in a picture before those that overlap are dropped, so that no small file can ask for all the
/// memory there is: those of 80 classes at every anchor of 1888 x 1888 pixels.
inline constexpr std::size_t most_candidates = std::size_t{1} << 22;

/// Appends what one raw detection map `[1, H, W, A * (5 + K)]` finds in the picture: for each of its A
/// anchors a cell has x, y, w, h, objectness and K classes, all before their sigmoid or exp. Each class whose
/// score, sigmoid(objectness) * sigmoid(class), is above `threshold` gives a detection, its box clipped to
/// the picture. Boxes without area in the picture and NaN are dropped. Error: a map whose cells are no
/// squares of the letterbox's input or whose channels do not fit the anchors, or more than `most_candidates`
/// detections in all.
inline Result<void> decode_boxes_into(ConstTensorView map, std::span<const Anchors::Size> anchors,
                                      const Letterbox& letterbox, float threshold,
                                      std::vector<Detection>& detections) {
  const Shape& shape = map.shape;
  QCNET_TRY(const std::size_t classes,
            classes_in(shape, anchors.size(), letterbox.input_height, letterbox.input_width));
  const std::size_t fields = 5 + classes, cell_pixels = letterbox.input_width / shape[2];
  const auto stride = static_cast<float>(cell_pixels);
  for (std::size_t cell = 0; cell < shape[1] * shape[2]; ++cell)
    for (std::size_t a = 0; a < anchors.size(); ++a) {
      const float* raw = map.pixel(cell) + a * fields;
      const float objectness = detail::logistic(raw[4]);
      if (!(objectness > threshold)) continue;  // no class can lift it above
      const Box found =
          letterbox.to_picture(detail::decode_box(raw, cell % shape[2], cell / shape[2], stride, anchors[a]));
      const Box box = clip(found, letterbox.picture_height, letterbox.picture_width);
      if (area(box) == 0) continue;  // also if a coordinate is NaN
      for (std::size_t k = 0; k < classes; ++k) {
        const float score = objectness * detail::logistic(raw[5 + k]);
        if (!(score > threshold)) continue;
        if (detections.size() == most_candidates)
          return Error("more than " + std::to_string(most_candidates) + " detections have a score above " +
                       std::to_string(threshold) + "; ask for a higher one");
        detections.push_back({k, score, box});
      }
    }
  return {};
}

/// What counts as a detection; the defaults are for pictures to look at.
struct DetectionOptions {
  float score = 0.25f;     ///< a detection's is above
  double iou = 0.45;       ///< two of a class that overlap more are one
  std::size_t most = 100;  ///< detections in a picture

  /// To measure average precision, which needs the doubtful ones too. The training scripts take the same, in
  /// weights/qcnet_train/detection/head.py.
  static DetectionOptions to_measure() { return {0.005f, 0.45, 100}; }
};

/// The detections of a network's raw maps, best first. Error: maps that do not fit the anchors or the
/// letterbox.
inline Result<std::vector<Detection>> detections(std::span<const ConstTensorView> maps,
                                                 const Anchors& anchors, const Letterbox& letterbox,
                                                 const DetectionOptions& options = {}) {
  if (maps.size() != anchors.maps.size())
    return Error("found " + std::to_string(maps.size()) + " detection maps, there are anchors for " +
                 std::to_string(anchors.maps.size()));
  std::vector<Detection> all;
  for (std::size_t i = 0; i < maps.size(); ++i) {
    QCNET_CHECK(decode_boxes_into(maps[i], anchors.maps[i], letterbox, options.score, all));
  }
  return non_maximum_suppression(std::move(all), options.iou, options.most);
}

}  // namespace qcnet::inline QCNET_ABI::vision
