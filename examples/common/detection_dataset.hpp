// Pictures with boxes around the things in them, one at a time.
#pragma once

#include "annotations.hpp"
#include "picture_files.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/vision/read_image.hpp>

namespace examples {

/// What is in a picture. Labels count from 0 in the order of `DetectionDataset::class_names()`.
struct Annotation {
  std::vector<qcnet::vision::GroundTruth> truths;  ///< clipped to the picture, in pixels
  std::size_t dropped = 0;                         ///< boxes without area in the picture, which are left out
};

/// The picture too.
struct DetectionSample : Annotation {
  qcnet::vision::Image image;
  std::string name;  ///< the picture's file
};

/// A folder in one of two layouts, and of it one split or everything:
///
///   Pascal VOC   Annotations/<name>.xml, JPEGImages/<name>.jpg (or .png, .bmp), ImageSets/Main/<split>.txt
///   with a
///                name on each line; classes are all names in Annotations, in alphabetical order
///   YOLO         images/<split>/<name>.jpg, labels/<split>/<name>.txt (without a split images/ and labels/
///                themselves); classes.txt with a class on each line
class DetectionDataset {
 public:
  /// Whether the folder is laid out as either of them.
  static bool is_one(const std::filesystem::path& root) {
    std::error_code error;
    return std::filesystem::is_directory(root / "Annotations", error) ||
           std::filesystem::is_directory(root / "labels", error);
  }

  /// An empty `split` stands for all pictures. Error: a folder of neither layout, a split without pictures,
  /// an annotation that cannot be read or whose picture is missing.
  static qcnet::Result<DetectionDataset> open(const std::string& path, const std::string& split = "") {
    const std::filesystem::path root(path);
    std::error_code error;
    DetectionDataset dataset;
    QCNET_CHECK(check_unpacked(path));
    if (!is_one(root))
      return qcnet::Error(path + ": neither a VOC folder, with Annotations, nor a YOLO folder, with labels");
    if (std::filesystem::is_directory(root / "Annotations", error)) {
      QCNET_CHECK(dataset.open_voc(root, split));
    } else {
      QCNET_CHECK(dataset.open_yolo(root, split));
    }
    if (dataset.items_.empty())
      return qcnet::Error(path + ": there are no pictures in it" +
                          (split.empty() ? "; if they are in splits, name one: --split test" : ""));
    return dataset;
  }

  std::size_t size() const { return items_.size(); }
  const std::vector<std::string>& class_names() const { return class_names_; }

  /// Picture `i`, below `size()`; an Error names the file that cannot be read.
  qcnet::Result<DetectionSample> get(std::size_t i) const {
    DetectionSample sample;
    sample.name = items_[i].picture;
    QCNET_TRY(sample.image, qcnet::vision::read_image(sample.name));
    QCNET_TRY(static_cast<Annotation&>(sample), annotation(i, sample.image.height, sample.image.width));
    return sample;
  }

  /// What is in picture `i`, by whoever knows its size: the picture is not read.
  qcnet::Result<Annotation> annotation(std::size_t i, std::size_t height, std::size_t width) const {
    const Item& item = items_[i];
    auto truths = item.truths;
    if (!item.labels.empty()) {
      QCNET_TRY(truths, read_yolo(item.labels, class_names_.size(), height, width));
    }
    Annotation annotation;
    for (auto& [label, box] : truths) {
      box = qcnet::vision::clip(box, height, width);
      if (qcnet::vision::area(box) > 0)
        annotation.truths.push_back({label, box});
      else
        ++annotation.dropped;
    }
    return annotation;
  }

 private:
  struct Item {
    std::string picture;
    std::vector<qcnet::vision::GroundTruth> truths;  // of a VOC folder
    std::string labels;                              // the file of a YOLO folder
  };

  qcnet::Result<void> open_voc(const std::filesystem::path& root, const std::string& split) {
    std::map<std::string, std::vector<VocObject>> annotations;
    std::set<std::string> names;
    QCNET_TRY(const auto files, sorted_entries(root / "Annotations"));
    for (const auto& file : files) {
      if (file.extension() != ".xml") continue;
      QCNET_TRY(auto objects, read_voc(file.string()));
      for (const VocObject& object : objects) names.insert(object.name);
      annotations.emplace(file.stem().string(), std::move(objects));
    }
    class_names_.assign(names.begin(), names.end());

    std::map<std::string, std::string> pictures;
    QCNET_TRY(const auto images, sorted_entries(root / "JPEGImages"));
    for (const auto& file : images)
      if (is_picture(file)) pictures.emplace(file.stem().string(), file.string());

    std::vector<std::string> chosen;
    if (split.empty()) {
      for (const auto& [name, objects] : annotations) chosen.push_back(name);
    } else {
      QCNET_TRY(chosen, read_first_words((root / "ImageSets" / "Main" / (split + ".txt")).string()));
    }
    for (const std::string& name : chosen) {
      const auto annotation = annotations.find(name);
      const auto picture = pictures.find(name);
      if (annotation == annotations.end())
        return qcnet::Error((root / "Annotations").string() + ": there is no " + name + ".xml");
      if (picture == pictures.end())
        return qcnet::Error((root / "JPEGImages").string() + ": there is no picture " + name);
      Item& item = items_.emplace_back(Item{picture->second, {}, {}});
      for (const auto& [object, box] : annotation->second)
        item.truths.push_back(
            {static_cast<std::size_t>(std::distance(names.begin(), names.find(object))), box});
    }
    return {};
  }

  qcnet::Result<void> open_yolo(const std::filesystem::path& root, const std::string& split) {
    QCNET_TRY(class_names_, read_lines((root / "classes.txt").string()));
    if (class_names_.empty()) return qcnet::Error((root / "classes.txt").string() + ": names no class");
    QCNET_TRY(const auto files, sorted_entries(root / "images" / split));
    for (const auto& file : files) {
      if (!is_picture(file)) continue;
      const auto labels = root / "labels" / split / file.stem().concat(".txt");
      std::error_code error;
      if (!std::filesystem::exists(labels, error))
        return qcnet::Error(labels.string() +
                            ": there is no such file; a picture of nothing needs an empty one");
      items_.push_back({file.string(), {}, labels.string()});
    }
    return {};
  }

  // Lines without the spaces around them, those that are empty left out.
  static qcnet::Result<std::vector<std::string>> read_lines(const std::string& path) {
    QCNET_TRY(const std::string text, detail::read_text(path));
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
      if (const auto content = detail::trimmed(line); !content.empty()) lines.emplace_back(content);
    return lines;
  }

  // VOC's lists of one class have a second column.
  static qcnet::Result<std::vector<std::string>> read_first_words(const std::string& path) {
    QCNET_TRY(auto lines, read_lines(path));
    for (std::string& line : lines) line.resize(std::min(line.find_first_of(" \t"), line.size()));
    return lines;
  }

  std::vector<std::string> class_names_;
  std::vector<Item> items_;
};

}  // namespace examples
