// How good detections are: COCO's average precision (Lin et al. 2014;
// https://cocodataset.org/#detection-eval).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <qcnet/core/result.hpp>
#include <qcnet/vision/box.hpp>

namespace qcnet::inline QCNET_ABI::vision {

/// Something that is in a picture.
struct GroundTruth {
  std::size_t label = 0;  ///< the number of its class
  Box box;
};

/// Precision, averaged over 101 recalls from 0 to 1.
struct AveragePrecision {
  double at50;  ///< a detection is right if its IoU with a ground truth is at least 0.5
  double mean;  ///< over the IoUs 0.5, 0.55, ..., 0.95
};

/// Collects pictures, then answers as pycocotools does for all areas and 100 detections: in each picture the
/// 100 best detections of a class are matched, best first, each with the free ground truth of that class that
/// it overlaps most; each ground truth is matched once.
class MeanAveragePrecision {
 public:
  static constexpr std::size_t most_detections = 100;  ///< of a class in a picture

  explicit MeanAveragePrecision(std::size_t classes) : classes_(classes) {}

  /// Adds a picture. Error: a label that is no class, or a score that is NaN.
  Result<void> add(std::span<const Detection> detections, std::span<const GroundTruth> truths) {
    for (const Detection& d : detections) {
      QCNET_CHECK(check_label(d.label));
      if (std::isnan(d.score)) return Error("average precision: a detection's score is NaN");
    }
    for (const GroundTruth& t : truths) QCNET_CHECK(check_label(t.label));
    Picture& picture = pictures_.emplace_back();
    picture.classes.resize(classes_);
    for (std::size_t k = 0; k < classes_; ++k) picture.classes[k] = match(detections, truths, k);
    return {};
  }

  std::size_t pictures() const { return pictures_.size(); }

  struct Scores {
    /// Nothing for a class that is in none of the pictures, whatever was detected.
    std::vector<std::optional<AveragePrecision>> classes;
    /// Mean over the classes that have one: mAP@0.5 and mAP@0.5:0.95; nothing if none has.
    std::optional<AveragePrecision> mean;
  };

  /// Over all pictures.
  Scores scores() const {
    std::vector<std::size_t> all(pictures_.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    return scores(all);
  }

  /// Over these of the pictures, numbered from 0 in the order in which they were added; one that is named
  /// twice counts twice, so that bootstrap samples can be drawn. Raises where there is no such picture.
  Scores scores(std::span<const std::size_t> pictures) const {
    for (const std::size_t picture : pictures)
      if (picture >= pictures_.size())
        raise(Error("mAP: there is no picture " + std::to_string(picture) +
                    ", they are numbered from 0 and " + std::to_string(pictures_.size()) + " were added"));
    Scores scores;
    double at50 = 0, mean = 0, count = 0;
    for (std::size_t k = 0; k < classes_; ++k) {
      const auto& ap = scores.classes.emplace_back(average_precision(pictures, k));
      if (!ap) continue;
      at50 += ap->at50;
      mean += ap->mean;
      ++count;
    }
    if (count > 0) scores.mean = AveragePrecision{at50 / count, mean / count};
    return scores;
  }

 private:
  // numpy.linspace(0.5, 0.95, 10) and numpy.linspace(0, 1, 101) to the last bit; constexpr, so that no
  // compiler fuses multiplication and addition. An IoU or a recall may lie exactly on one.
  static constexpr std::size_t iou_count = 10, recall_count = 101;
  static constexpr auto ious = [] {
    std::array<double, iou_count> values{};
    constexpr double step = (0.95 - 0.5) / (iou_count - 1);
    for (std::size_t i = 0; i < iou_count; ++i) values[i] = static_cast<double>(i) * step + 0.5;
    values.back() = 0.95;
    return values;
  }();
  static constexpr auto recalls = [] {
    std::array<double, recall_count> values{};
    constexpr double step = 1.0 / (recall_count - 1);
    for (std::size_t i = 0; i < recall_count; ++i) values[i] = static_cast<double>(i) * step;
    values.back() = 1.0;
    return values;
  }();

  // Of one class in one picture.
  struct Match {
    float score;
    std::uint16_t right;  // bit t: it found something at IoU threshold t
  };
  struct Matches {
    std::vector<Match> detections;  // best first
    std::size_t truths = 0;
  };
  struct Picture {
    std::vector<Matches> classes;
  };

  Result<void> check_label(std::size_t label) const {
    if (label < classes_) return {};
    return Error("average precision: there is no class " + std::to_string(label) + ", only " +
                 std::to_string(classes_) + " classes are known, counted from 0");
  }

  static Matches match(std::span<const Detection> detections, std::span<const GroundTruth> truths,
                       std::size_t label) {
    std::vector<Detection> found;
    std::vector<Box> wanted;
    for (const Detection& d : detections)
      if (d.label == label) found.push_back(d);
    for (const GroundTruth& t : truths)
      if (t.label == label) wanted.push_back(t.box);
    std::stable_sort(found.begin(), found.end(),
                     [](const Detection& a, const Detection& b) { return a.score > b.score; });
    if (found.size() > most_detections) found.resize(most_detections);

    Matches matches{{}, wanted.size()};
    std::vector<std::uint16_t> taken(wanted.size());  // bit t: found at threshold t
    std::vector<double> overlaps(wanted.size());
    for (const Detection& d : found) {
      for (std::size_t j = 0; j < wanted.size(); ++j) overlaps[j] = iou(d.box, wanted[j]);
      Match& match = matches.detections.emplace_back(Match{d.score, 0});
      for (std::size_t t = 0; t < iou_count; ++t) {
        const auto bit = static_cast<std::uint16_t>(1u << t);
        std::size_t best = wanted.size();
        for (std::size_t j = 0; j < wanted.size(); ++j)  // of equal ones the last, as pycocotools
          if ((taken[j] & bit) == 0 && overlaps[j] >= (best == wanted.size() ? ious[t] : overlaps[best]))
            best = j;
        if (best == wanted.size()) continue;
        taken[best] |= bit;
        match.right |= bit;
      }
    }
    return matches;
  }

  std::optional<AveragePrecision> average_precision(std::span<const std::size_t> pictures,
                                                    std::size_t label) const {
    std::vector<Match> all;
    std::size_t truths = 0;
    for (const std::size_t i : pictures) {
      const Matches& matches = pictures_[i].classes[label];
      all.insert(all.end(), matches.detections.begin(), matches.detections.end());
      truths += matches.truths;
    }
    if (truths == 0) return std::nullopt;
    std::stable_sort(all.begin(), all.end(),
                     [](const Match& a, const Match& b) { return a.score > b.score; });
    std::array<double, iou_count> precisions{};
    for (std::size_t t = 0; t < iou_count; ++t) precisions[t] = mean_precision(all, t, truths);
    return AveragePrecision{precisions[0],
                            std::accumulate(precisions.begin(), precisions.end(), 0.0) / iou_count};
  }

  // The precision at a recall is the best one at that recall or above; 0 at recalls never reached.
  static double mean_precision(const std::vector<Match>& sorted, std::size_t threshold, std::size_t truths) {
    std::vector<double> recall, precision;
    std::size_t right = 0;
    for (const Match& match : sorted) {
      right += (match.right >> threshold) & 1u;
      recall.push_back(static_cast<double>(right) / static_cast<double>(truths));
      precision.push_back(static_cast<double>(right) / static_cast<double>(recall.size()));
    }
    for (std::size_t i = precision.size(); i-- > 1;)
      precision[i - 1] = std::max(precision[i - 1], precision[i]);
    double sum = 0;
    for (const double wanted : recalls) {
      const auto reached = std::lower_bound(recall.begin(), recall.end(), wanted);
      if (reached == recall.end()) break;
      sum += precision[static_cast<std::size_t>(reached - recall.begin())];
    }
    return sum / recall_count;
  }

  std::size_t classes_;
  std::vector<Picture> pictures_;
};

}  // namespace qcnet::inline QCNET_ABI::vision
