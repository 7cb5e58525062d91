// A model that names what is in a picture, measured by how often it is right.
#pragma once

#include "answer.hpp"
#include "benchmark.hpp"
#include "classes.hpp"
#include "dataset.hpp"
#include "measure.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace examples {

class ClassificationBenchmark final : public Benchmark {
 public:
  explicit ClassificationBenchmark(Dataset dataset) : dataset_(std::move(dataset)) {}

  std::string metric() const override { return "accuracy"; }
  std::size_t size() const override { return dataset_.size(); }
  qcnet::Result<Picture> get(std::size_t i) const override {
    QCNET_TRY(Sample sample, dataset_.get(i));
    return Picture{std::move(sample.image), std::move(sample.name)};
  }
  qcnet::Result<std::unique_ptr<Score>> score(const qcnet::Deployment& about,
                                              const qcnet::Executor& network) const override {
    QCNET_TRY(auto numbers,
              match_classes(dataset_.class_names(), about.classes, network.output_shape().channels()));
    return std::unique_ptr<Score>(std::make_unique<Accuracy>(dataset_, std::move(numbers)));
  }

 private:
  class Accuracy final : public Score {
   public:
    Accuracy(const Dataset& dataset, std::vector<std::size_t> numbers)
        : dataset_(dataset), numbers_(std::move(numbers)) {}

    qcnet::Result<void> add(const qcnet::Executor& network, std::size_t i, qcnet::PictureSize) override {
      QCNET_TRY(const auto answers, best(network.output(), 1));
      answers_.push_back(answers[0].index);
      truths_.push_back(numbers_[dataset_.label(i)]);
      right_ += answers_.back() == truths_.back() ? 1u : 0u;
      return {};
    }
    double percent() const override {
      return answers_.empty() ? 0
                              : 100.0 * static_cast<double>(right_) / static_cast<double>(answers_.size());
    }
    std::string json() const override { return "\"accuracy\": " + fixed(percent(), 4); }
    std::string report() const override {
      return std::to_string(right_) + " of " + std::to_string(answers_.size()) + " right: accuracy " +
             fixed(percent(), 2) + " %";
    }
    std::string answer(std::size_t n) const override { return std::to_string(answers_[n]); }
    std::string truth(std::size_t n) const override { return std::to_string(truths_[n]); }

   private:
    const Dataset& dataset_;
    std::vector<std::size_t> numbers_;  // of the dataset's classes in the model
    std::vector<std::size_t> answers_, truths_;
    std::size_t right_ = 0;
  };

  Dataset dataset_;
};

}  // namespace examples
