// Boxes around things in a picture.
#pragma once

#include <algorithm>
#include <cstddef>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI::vision {

/// A rectangle in pixels: x to the right, y down, (0, 0) the picture's top left corner. Coordinates are those
/// of edges, so the box of a whole picture is {0, 0, width, height}.
struct Box {
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0;

  bool operator==(const Box&) const = default;
};

/// Something that a detector found.
struct Detection {
  std::size_t label = 0;  ///< the number of its class
  float score = 0;        ///< from 0 to 1
  Box box;

  bool operator==(const Detection&) const = default;
};

/// Square pixels; 0 if the box has no inside, or if a coordinate is NaN.
inline double area(const Box& box) {
  const bool empty = !(box.x1 > box.x0) || !(box.y1 > box.y0);
  return empty ? 0 : (double{box.x1} - double{box.x0}) * (double{box.y1} - double{box.y0});
}

inline Box intersection(const Box& a, const Box& b) {
  return {std::max(a.x0, b.x0), std::max(a.y0, b.y0), std::min(a.x1, b.x1), std::min(a.y1, b.y1)};
}

/// Intersection over union, from 0 to 1; 0 if a box has no area.
inline double iou(const Box& a, const Box& b) {
  const double area_a = area(a), area_b = area(b);
  if (area_a == 0 || area_b == 0) return 0;
  const double common = area(intersection(a, b));
  return common / (area_a + area_b - common);
}

/// The part of the box that lies in a picture; without area if none does or a coordinate is NaN.
inline Box clip(const Box& box, std::size_t height, std::size_t width) {
  return intersection(box, {0, 0, static_cast<float>(width), static_cast<float>(height)});
}

}  // namespace qcnet::inline QCNET_ABI::vision
