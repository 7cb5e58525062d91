// Pictures to run a model on, of which nobody needs to know what is in them.
#pragma once

#include "dataset.hpp"
#include "detection_dataset.hpp"

#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

namespace examples {

/// The pictures of a dataset, or files as they were named.
class Pictures {
 public:
  struct Picture {
    qcnet::vision::Image image;
    std::string name;  ///< its file, if it has one
  };

  static qcnet::Result<Pictures> open(const std::vector<std::string>& paths, const std::string& split) {
    Pictures pictures;
    std::error_code error;
    for (const std::string& path : paths) QCNET_CHECK(check_unpacked(path));
    const bool boxes = paths.size() == 1 && DetectionDataset::is_one(paths[0]);
    if (!split.empty() && !boxes) return qcnet::Error("--split is for a folder of pictures with boxes");
    if (boxes) {
      QCNET_TRY(pictures.source_, DetectionDataset::open(paths[0], split));
    } else if (paths.size() == 1 && (std::filesystem::is_directory(paths[0], error) ||
                                     paths[0].ends_with("-ubyte") || paths[0].ends_with("-ubyte.gz"))) {
      QCNET_TRY(pictures.source_, Dataset::open(paths[0]));
    } else {
      pictures.source_ = Files{paths};
    }
    return pictures;
  }

  std::size_t size() const {
    return std::visit([](const auto& source) { return source.size(); }, source_);
  }
  /// Picture `i`, below `size()`; an Error names the file that cannot be read.
  qcnet::Result<Picture> get(std::size_t i) const {
    return std::visit(
        [i](const auto& source) -> qcnet::Result<Picture> {
          QCNET_TRY(auto sample, source.get(i));
          return Picture{std::move(sample.image), std::move(sample.name)};
        },
        source_);
  }

 private:
  struct Files {
    std::vector<std::string> paths;
    std::size_t size() const { return paths.size(); }
    qcnet::Result<Sample> get(std::size_t i) const {
      QCNET_TRY(auto image, qcnet::vision::read_image(paths[i]));
      return Sample{std::move(image), 0, paths[i]};
    }
  };
  std::variant<Files, Dataset, DetectionDataset> source_;
};

}  // namespace examples
