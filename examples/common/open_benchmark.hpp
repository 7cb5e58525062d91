// The dataset that a model can be measured on.
#pragma once

#include "classification.hpp"
#include "detection.hpp"

#include <memory>
#include <string>

#include <qcnet/split/deployment.hpp>

namespace examples {

/// For a detector a folder of pictures with boxes, or one `split` of it; for a classifier labelled pictures.
/// Error: a dataset that cannot be read, or is one for the other task.
inline qcnet::Result<std::unique_ptr<Benchmark>> open_benchmark(const qcnet::Deployment& about,
                                                                const std::string& path,
                                                                const std::string& split) {
  if (about.anchors) {
    QCNET_TRY(auto dataset, DetectionDataset::open(path, split));
    return std::unique_ptr<Benchmark>(std::make_unique<DetectionBenchmark>(std::move(dataset)));
  }
  if (DetectionDataset::is_one(path))
    return qcnet::Error(path + ": has boxes, but " + about.name + " is a classifier, which finds none");
  if (!split.empty()) return qcnet::Error("--split is for a detector's pictures with boxes");
  QCNET_TRY(auto dataset, Dataset::open(path));
  return std::unique_ptr<Benchmark>(std::make_unique<ClassificationBenchmark>(std::move(dataset)));
}

}  // namespace examples
