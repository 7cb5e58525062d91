// Labelled pictures, one at a time: what the example programs are measured on.
#pragma once

#include "picture_files.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <qcnet/core/result.hpp>
#include <qcnet/vision/read_image.hpp>

namespace examples {

/// A labelled picture. `label` counts from 0 in the order of `Dataset::class_names()`.
struct Sample {
  qcnet::vision::Image image;
  std::size_t label;
  std::string name;  ///< the file, or "<idx file>[<number>]"
};

/// Either an idx pair (MNIST, Fashion-MNIST; uncompressed), or a folder of `<class>/<picture>` with JPEG, PNG
/// and BMP pictures. Classes and pictures of a folder are in alphabetical order, as torchvision's ImageFolder
/// has them; a picture is read when it is asked for.
class Dataset {
 public:
  /// `path` is a folder, or the images of an idx pair: "<...>images-idx3-ubyte", whose labels lie beside it
  /// in
  /// "<...>labels-idx1-ubyte".
  static qcnet::Result<Dataset> open(const std::string& path) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) return open_folder(path);
    QCNET_CHECK(check_unpacked(path));
    if (!std::filesystem::exists(path, error)) return qcnet::Error(path + ": no such file or folder");
    return open_idx(path);
  }

  std::size_t size() const { return labels_.size(); }
  const std::vector<std::string>& class_names() const { return class_names_; }
  /// Of picture `i`, below `size()`, without reading it.
  std::size_t label(std::size_t i) const { return labels_[i]; }

  /// Picture `i`; an Error names the file that cannot be read.
  qcnet::Result<Sample> get(std::size_t i) const {
    if (i >= size())
      return qcnet::Error(path_ + ": picture " + std::to_string(i) + " of " + std::to_string(size()));
    if (!files_.empty()) {
      QCNET_TRY(auto image, qcnet::vision::read_image(files_[i]));
      return Sample{std::move(image), labels_[i], files_[i]};
    }
    const auto first = idx_pixels_.begin() + static_cast<std::ptrdiff_t>(i * idx_height_ * idx_width_);
    const auto last = first + static_cast<std::ptrdiff_t>(idx_height_ * idx_width_);
    qcnet::vision::Image image{idx_height_, idx_width_, 1, {first, last}};
    return Sample{std::move(image), labels_[i], path_ + "[" + std::to_string(i) + "]"};
  }

 private:
  static qcnet::Result<Dataset> open_folder(const std::string& path) {
    Dataset dataset;
    dataset.path_ = path;
    QCNET_TRY(const auto folders, sorted_entries(path));
    for (const auto& folder : folders) {
      std::error_code error;
      if (!std::filesystem::is_directory(folder, error)) continue;
      QCNET_TRY(const auto files, sorted_entries(folder));
      for (const auto& file : files) {
        if (!is_picture(file)) continue;
        dataset.files_.push_back(file.string());
        dataset.labels_.push_back(dataset.class_names_.size());
      }
      dataset.class_names_.push_back(folder.filename().string());
    }
    if (dataset.files_.empty())
      return qcnet::Error(path + ": no pictures found, expected <class>/<picture>.jpg, .png or .bmp");
    return dataset;
  }

  // The idx format (http://yann.lecun.com/exdb/mnist): a big-endian word 0x0000 <type> <rank>, the sizes, the
  // bytes; type 8 is uint8.
  static qcnet::Result<Dataset> open_idx(const std::string& path) {
    constexpr std::string_view images_part = "images-idx3-ubyte", labels_part = "labels-idx1-ubyte";
    if (!path.ends_with(images_part))
      return qcnet::Error(path + ": expected a folder or a file named ..." + std::string(images_part) +
                          " (gunzip a .gz first)");
    const std::string labels_path =
        path.substr(0, path.size() - images_part.size()) + std::string(labels_part);
    Dataset dataset;
    dataset.path_ = path;
    std::size_t sizes[3], labels[1];
    QCNET_TRY(dataset.idx_pixels_, read_idx(path, sizes));
    QCNET_TRY(const auto label_bytes, read_idx(labels_path, labels));
    if (sizes[0] != labels[0])
      return qcnet::Error(path + ": has " + std::to_string(sizes[0]) + " pictures, but " + labels_path +
                          " has " + std::to_string(labels[0]) + " labels");
    if (dataset.idx_pixels_.empty()) return qcnet::Error(path + ": has no pictures");
    dataset.idx_height_ = sizes[1];
    dataset.idx_width_ = sizes[2];
    dataset.labels_.assign(label_bytes.begin(), label_bytes.end());
    const std::size_t last = *std::max_element(dataset.labels_.begin(), dataset.labels_.end());
    for (std::size_t i = 0; i <= last; ++i) dataset.class_names_.push_back(std::to_string(i));
    return dataset;
  }

  template <std::size_t Rank>
  static qcnet::Result<std::vector<std::uint8_t>> read_idx(const std::string& path,
                                                           std::size_t (&sizes)[Rank]) {
    std::ifstream file(path, std::ios::binary);
    std::error_code error;
    if (!file || std::filesystem::is_directory(path, error)) return qcnet::Error(path + ": cannot be opened");
    std::vector<std::uint8_t> bytes(std::istreambuf_iterator<char>(file), {});
    constexpr std::size_t header = 4 + 4 * Rank;
    const auto word = [&](std::size_t at) {
      return std::size_t{bytes[at]} << 24 | std::size_t{bytes[at + 1]} << 16 |
             std::size_t{bytes[at + 2]} << 8 | std::size_t{bytes[at + 3]};
    };
    if (bytes.size() < header || word(0) != (0x0800 | Rank))
      return qcnet::Error(path + ": not an uncompressed idx file of " + std::to_string(Rank) +
                          " dimensions of bytes");
    for (std::size_t i = 0; i < Rank; ++i) sizes[i] = word(4 + 4 * i);
    QCNET_TRY(const auto shape, qcnet::Shape::make(std::span<const std::size_t>(sizes)));
    if (bytes.size() - header != shape.elements())
      return qcnet::Error(path + ": its header " + shape.to_string() + " asks for " +
                          std::to_string(shape.elements()) + " bytes, found " +
                          std::to_string(bytes.size() - header));
    bytes.erase(bytes.begin(), bytes.begin() + header);
    return bytes;
  }

  std::string path_;
  std::vector<std::string> class_names_;
  std::vector<std::size_t> labels_;
  std::vector<std::string> files_;  // of a folder; else the pixels of an idx file
  std::vector<std::uint8_t> idx_pixels_;
  std::size_t idx_height_ = 0, idx_width_ = 0;
};

}  // namespace examples
