// Boxes as lines of text, and what of them is asked for.
#pragma once

#include "answer.hpp"
#include "measure.hpp"
#include "program.hpp"

#include <string>
#include <vector>

#include <qcnet/vision/boxes.hpp>

#include <CLI/CLI.hpp>

namespace examples {

inline void add_detection_options(CLI::App& app, qcnet::vision::DetectionOptions& options) {
  app.add_option("--score", options.score, "Boxes with a score above this")
      ->check(from_zero_to_one())
      ->capture_default_str();
  app.add_option("--iou", options.iou, "Of boxes of a class that overlap by more than this only the best")
      ->check(from_zero_to_one())
      ->capture_default_str();
  app.add_option("--most", options.most, "At most so many boxes in a picture, the best")
      ->check(above_zero())
      ->capture_default_str();
}

/// Columns, between tabs: class, score, left and upper edge, width and height in pixels of the picture.
inline std::string box_columns(const qcnet::vision::Detection& found,
                               const std::vector<std::string>& classes) {
  const auto& [label, score, box] = found;
  std::string line = class_name(classes, label) + '\t' + fixed(double{score}, 4);
  for (const float number : {box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0})
    line += '\t' + fixed(double{number}, 1);
  return line;
}

/// What stands in their place for a picture without boxes.
inline constexpr const char* no_boxes = "nothing found";

}  // namespace examples
