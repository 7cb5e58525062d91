// A model that finds things and their boxes, measured by average precision.
#pragma once

#include "answer.hpp"
#include "benchmark.hpp"
#include "bootstrap.hpp"
#include "classes.hpp"
#include "detection_dataset.hpp"
#include "json.hpp"
#include "measure.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/split/detector.hpp>

namespace examples {

class DetectionBenchmark final : public Benchmark {
 public:
  explicit DetectionBenchmark(DetectionDataset dataset) : dataset_(std::move(dataset)) {}

  std::string metric() const override { return "mAP@0.5"; }
  std::string interval_title() const override { return "95 % interval"; }
  std::size_t size() const override { return dataset_.size(); }
  qcnet::Result<Picture> get(std::size_t i) const override {
    QCNET_TRY(DetectionSample sample, dataset_.get(i));
    return Picture{std::move(sample.image), std::move(sample.name)};
  }
  qcnet::Result<std::unique_ptr<Score>> score(const qcnet::Deployment& about,
                                              const qcnet::Executor& network) const override {
    QCNET_TRY(auto detector, qcnet::Detector::make(about, network));
    const auto& names = dataset_.class_names();
    if (names.empty())
      return qcnet::Error("there is no box in the whole dataset, so nothing can be measured");
    // Without names there is only the order to go by, and for that the number must be right.
    if (about.classes.empty() && names.size() != detector.classes())
      return qcnet::Error("the model tells " + std::to_string(detector.classes()) +
                          " classes apart, the dataset has " + std::to_string(names.size()));
    QCNET_TRY(auto numbers, match_classes(names, about.classes, detector.classes()));
    return std::unique_ptr<Score>(
        std::make_unique<Precision>(dataset_, about.classes, std::move(detector), std::move(numbers)));
  }

 private:
  class Precision final : public Score {
   public:
    Precision(const DetectionDataset& dataset, std::vector<std::string> names, qcnet::Detector detector,
              std::vector<std::size_t> numbers)
        : dataset_(dataset),
          names_(std::move(names)),
          detector_(std::move(detector)),
          numbers_(std::move(numbers)),
          precision_(detector_.classes()) {}

    qcnet::Result<void> add(const qcnet::Executor& network, std::size_t i, qcnet::PictureSize size) override {
      QCNET_TRY(auto found,
                detector_(network, size.height, size.width, qcnet::vision::DetectionOptions::to_measure()));
      QCNET_TRY(auto annotation, dataset_.annotation(i, size.height, size.width));
      for (auto& truth : annotation.truths) truth.label = numbers_[truth.label];
      QCNET_CHECK(precision_.add(found, annotation.truths));
      answers_.push_back(std::move(found));
      truths_.push_back(std::move(annotation.truths));
      bounds_.reset();
      return {};
    }
    double percent() const override { return 100 * mean(precision_.scores()).at50; }
    std::string interval() const override {
      const auto [low, high] = bounds();
      return fixed(low, 2) + " to " + fixed(high, 2);
    }
    std::string json() const override {
      const auto scores = precision_.scores();
      const auto [low, high] = bounds();
      std::string out = "\"mAP@0.5\": " + fixed(100 * mean(scores).at50, 4) +
                        ", \"mAP@0.5:0.95\": " + fixed(100 * mean(scores).mean, 4) + ", \"interval\": [" +
                        fixed(low, 4) + ", " + fixed(high, 4) + "], \"classes\": {";
      for (std::size_t k = 0; k < scores.classes.size(); ++k)
        out += (k == 0 ? "" : ", ") + json_quoted(class_name(names_, k)) + ": " +
               (scores.classes[k] ? fixed(100 * scores.classes[k]->at50, 4) : "null");
      return out + "}";
    }
    std::string report() const override {
      return "mAP@0.5 " + fixed(percent(), 2) + " % over " + std::to_string(precision_.pictures()) +
             " pictures";
    }
    std::string answer(std::size_t n) const override {
      std::string out;
      for (const auto& [label, score, box] : answers_[n])
        out += (out.empty() ? "" : " ") + std::to_string(label) + "," + fixed(double{score}, 6) + edges(box);
      return out;
    }
    std::string truth(std::size_t n) const override {
      std::string out;
      for (const auto& [label, box] : truths_[n])
        out += (out.empty() ? "" : " ") + std::to_string(label) + edges(box);
      return out;
    }

   private:
    static std::string edges(const qcnet::vision::Box& box) {
      std::string out;
      for (const float edge : {box.x0, box.y0, box.x1, box.y1}) out += "," + fixed(double{edge}, 2);
      return out;
    }
    /// 0 where no picture has anything in it, as the training scripts count.
    static qcnet::vision::AveragePrecision mean(const qcnet::vision::MeanAveragePrecision::Scores& scores) {
      return scores.mean.value_or(qcnet::vision::AveragePrecision{0, 0});
    }
    std::pair<double, double> bounds() const {
      if (!bounds_)  // seconds of work where there are many pictures
        bounds_ = bootstrap_interval(precision_.pictures(), [&](const std::vector<std::size_t>& pictures) {
          return 100 * mean(precision_.scores(pictures)).at50;
        });
      return *bounds_;
    }

    const DetectionDataset& dataset_;
    std::vector<std::string> names_;
    qcnet::Detector detector_;
    std::vector<std::size_t> numbers_;  // of the dataset's classes in the model
    qcnet::vision::MeanAveragePrecision precision_;
    mutable std::optional<std::pair<double, double>> bounds_;
    std::vector<std::vector<qcnet::vision::Detection>> answers_;
    std::vector<std::vector<qcnet::vision::GroundTruth>> truths_;
  };

  DetectionDataset dataset_;
};

}  // namespace examples
