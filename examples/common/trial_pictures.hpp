// Pictures to measure times with.
#pragma once

#include "pictures.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <qcnet/vision/preprocess.hpp>

namespace examples {

/// At most `limit` pictures, spread over those at `paths`; if there are none, a made-up one of the size that
/// the model takes.
class TrialPictures {
 public:
  static qcnet::Result<TrialPictures> open(const std::vector<std::string>& paths, const std::string& split,
                                           std::size_t limit, const qcnet::vision::Preprocess& preprocess) {
    TrialPictures trial;
    if (paths.empty()) {
      qcnet::vision::Image& noise = trial.made_up_;
      noise = {preprocess.height, preprocess.width, preprocess.mean.size(), {}};
      std::mt19937 engine(1);
      noise.pixels.resize(noise.height * noise.width * noise.channels);
      for (auto& pixel : noise.pixels) pixel = static_cast<std::uint8_t>(engine());
      trial.count_ = 1;
    } else {
      QCNET_TRY(trial.pictures_, Pictures::open(paths, split));
      trial.count_ = std::min(limit, trial.pictures_->size());
    }
    return trial;
  }

  bool made_up() const { return !pictures_; }
  std::size_t count() const { return count_; }
  qcnet::Result<Pictures::Picture> get(std::size_t i) const {
    if (made_up()) return Pictures::Picture{made_up_, {}};
    return pictures_->get(i * pictures_->size() / count_);
  }

  /// Calls `run(i, picture)` for all pictures, over and over until medians of its times say something: a busy
  /// machine must not be caught in a single bad moment.
  template <class Run>
  qcnet::Result<void> repeat(const Run& run) const {
    constexpr std::size_t least_runs = 7;
    constexpr auto least_time = std::chrono::milliseconds(500);
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0;; ++i) {
      if (i >= std::max(count_, least_runs) && std::chrono::steady_clock::now() - start > least_time)
        return {};
      QCNET_TRY(const auto picture, get(i % count_));
      const qcnet::Result<void> ran = run(i, picture);
      if (!ran) return picture.name.empty() ? ran : ran.error().in(picture.name);
    }
  }

 private:
  std::optional<Pictures> pictures_;
  qcnet::vision::Image made_up_;
  std::size_t count_ = 0;
};

}  // namespace examples
