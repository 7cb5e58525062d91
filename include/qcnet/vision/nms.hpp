// Of many boxes around the same thing the best one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <tuple>
#include <utility>
#include <vector>

#include <qcnet/vision/box.hpp>

namespace qcnet::inline QCNET_ABI::vision {

/// Greedy non-maximum suppression, class by class: from the highest score down a detection is kept unless a
/// kept one of its class overlaps it by an IoU above `most_iou`. At most `most` are kept, best first. Scores
/// must not be NaN; a box with a coordinate that is NaN is none. Equal scores are ordered by class and
/// coordinates, so the answer does not depend on the order of the input.
///
/// n detections of which k are kept take O(n log n + n k) steps: `most` bounds the second term.
inline std::vector<Detection> non_maximum_suppression(std::vector<Detection> detections, double most_iou,
                                                      std::size_t most) {
  std::erase_if(detections, [](const Detection& d) {  // which no order would have a place for
    return std::isnan(d.box.x0) || std::isnan(d.box.y0) || std::isnan(d.box.x1) || std::isnan(d.box.y1);
  });
  std::sort(detections.begin(), detections.end(), [](const Detection& a, const Detection& b) {
    const auto key = [](const Detection& d) {
      return std::tuple(-d.score, d.label, d.box.x0, d.box.y0, d.box.x1, d.box.y1);
    };
    return key(a) < key(b);
  });
  std::vector<Detection> kept;
  for (const Detection& next : detections) {
    if (kept.size() == most) break;
    const bool seen = std::any_of(kept.begin(), kept.end(), [&](const Detection& better) {
      return better.label == next.label && iou(better.box, next.box) > most_iou;
    });
    if (!seen) kept.push_back(next);
  }
  return kept;
}

}  // namespace qcnet::inline QCNET_ABI::vision
