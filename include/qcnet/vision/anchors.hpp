// The shapes that a YOLO network's boxes start from.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <qcnet/io/numbers.hpp>
#include <qcnet/io/safetensors.hpp>

namespace qcnet::inline QCNET_ABI::vision {

/// For each raw detection map, in the order of the network's outputs, the anchors of the boxes of a cell.
struct Anchors {
  /// Pixels of the network's input.
  struct Size {
    float width, height;
  };
  std::vector<std::vector<Size>> maps;

  static constexpr std::size_t map_count = 2;  ///< YOLOv3-Tiny's: strides 32 and 16

  /// Those of a file's metadata `qcnet.anchors` and `qcnet.masks`. Error: a file without them; another
  /// model's would give boxes of the wrong sizes.
  static Result<Anchors> read(const io::Safetensors& file) {
    const auto sizes = file.metadata("qcnet.anchors"), masks = file.metadata("qcnet.masks");
    if (!sizes || !masks)
      return Error("metadata \"" + std::string(sizes ? "qcnet.masks" : "qcnet.anchors") +
                   "\" is missing, without which a detector's maps are no boxes");
    return parse(*sizes, *masks);
  }

  /// From "w h w h ..." and, for one map after the other, the numbers of its anchors, as many for each.
  /// Error: sizes that are not positive, numbers of anchors that are not there, or malformed text.
  static Result<Anchors> parse(std::string_view sizes, std::string_view masks) {
    const auto numbers = io::parse_numbers<float>(sizes);
    if (!numbers || numbers->empty() || numbers->size() % 2 != 0)
      return Error("metadata \"qcnet.anchors\": expected pairs of width and height, found " + quoted(sizes));
    for (const float number : *numbers)
      if (!(number > 0) || number > largest)
        return Error("metadata \"qcnet.anchors\": a size is not between 0 and " + std::to_string(largest) +
                     " pixels: " + quoted(sizes));
    const auto chosen = io::parse_numbers<std::size_t>(masks);
    if (!chosen || chosen->empty() || chosen->size() % map_count != 0)
      return Error("metadata \"qcnet.masks\": expected as many anchors for each of " +
                   std::to_string(map_count) + " maps, found " + quoted(masks));
    Anchors anchors{std::vector<std::vector<Size>>(map_count)};
    for (std::size_t i = 0; i < chosen->size(); ++i) {
      const std::size_t mask = (*chosen)[i];
      if (mask >= numbers->size() / 2)
        return Error("metadata \"qcnet.masks\": there is no anchor " + std::to_string(mask) + ", only " +
                     std::to_string(numbers->size() / 2) + " anchors are known, counted from 0");
      anchors.maps[i * map_count / chosen->size()].push_back(
          {(*numbers)[2 * mask], (*numbers)[2 * mask + 1]});
    }
    return anchors;
  }

  /// Of the published yolov3-tiny.weights for COCO at 416 x 416. Its cfg files say masks 0, 1, 2 for the
  /// second map, which halves its precision: it was trained with 1, 2, 3.
  static Anchors published() {
    return parse("10 14 23 27 37 58 81 82 135 169 344 319", "3 4 5 1 2 3").value();
  }

 private:
  static constexpr int largest = 1 << 20;
  static std::string quoted(std::string_view text) {
    return std::string(1, '"').append(io::detail::printable(text)).append(1, '"');
  }
};

}  // namespace qcnet::inline QCNET_ABI::vision
