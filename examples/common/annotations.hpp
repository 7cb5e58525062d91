// Boxes that a person drew around things: Pascal VOC's XML and YOLO's text files.
#pragma once

#include <charconv>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qcnet/core/result.hpp>
#include <qcnet/io/safetensors.hpp>
#include <qcnet/vision/mean_average_precision.hpp>

#include <pugixml.hpp>

namespace examples {

/// An object of a VOC file: the name of its class, and a box in pixels of the picture.
struct VocObject {
  std::string name;
  qcnet::vision::Box box;
};

namespace detail {

inline std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// A finite number and nothing else.
inline std::optional<float> parse_number(std::string_view text) {
  float number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = status == std::errc{} && end == text.data() + text.size() && std::isfinite(number);
  return whole ? std::optional(number) : std::nullopt;
}

inline qcnet::Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return qcnet::Error(path + ": cannot be opened");
  std::string text;
  char part[1 << 14];
  do {
    file.read(part, sizeof part);
    text.append(part, static_cast<std::size_t>(file.gcount()));
  } while (file);
  if (file.bad()) return qcnet::Error(path + ": cannot be read");
  return text;
}

inline qcnet::Result<VocObject> parse_voc_object(const pugi::xml_node& object) {
  using qcnet::Error;
  VocObject found{std::string(trimmed(object.child_value("name"))), {}};
  if (found.name.empty()) return Error("has no name");
  const auto where = [&] { return "(" + qcnet::io::detail::printable(found.name) + ") "; };
  const pugi::xml_node box = object.child("bndbox");
  if (!box) return Error(where() + "has no bndbox");
  for (const auto& [key, coordinate] : {std::pair("xmin", &found.box.x0),
                                        {"ymin", &found.box.y0},
                                        {"xmax", &found.box.x1},
                                        {"ymax", &found.box.y1}}) {
    const std::string_view text = trimmed(box.child_value(key));
    const auto number = parse_number(text);
    if (!number)
      return Error(where() + "has a bndbox whose " + key + " is no number: \"" +
                   qcnet::io::detail::printable(text) + "\"");
    *coordinate = *number;
  }
  if (found.box.x0 > found.box.x1 || found.box.y0 > found.box.y1)
    return Error(where() + "has a bndbox that ends before it begins");
  return found;
}

}  // namespace detail

/// The objects of a VOC annotation. Coordinates are taken as they are, which is how labelImg writes them:
/// those of the box's edges. Objects without width or height are kept, and what the file says about its
/// picture's name and size is not looked at: tools get that wrong. Error: XML that is not well-formed or no
/// VOC annotation; the number of the object, counted from 1, that has no name or no box.
inline qcnet::Result<std::vector<VocObject>> parse_voc(std::string_view xml) {
  pugi::xml_document document;
  const auto parsed = document.load_buffer(xml.data(), xml.size());
  if (!parsed)
    return qcnet::Error(std::string("not well-formed XML: ") + parsed.description() + " at byte " +
                        std::to_string(parsed.offset));
  const pugi::xml_node root = document.child("annotation");
  if (!root) return qcnet::Error("not a VOC annotation: its outermost element is not <annotation>");
  std::vector<VocObject> objects;
  for (const pugi::xml_node& object : root.children("object")) {
    auto found = detail::parse_voc_object(object);
    if (!found)
      return qcnet::Error("object " + std::to_string(objects.size() + 1) + " " + found.error().message());
    objects.push_back(*std::move(found));
  }
  return objects;
}

/// `parse_voc` of a file; the Error begins with `path`.
inline qcnet::Result<std::vector<VocObject>> read_voc(const std::string& path) {
  QCNET_TRY(const std::string text, detail::read_text(path));
  auto objects = parse_voc(text);
  if (!objects) return objects.error().in(path);
  return objects;
}

/// A YOLO text: on each line the number of a class, then centre x, centre y, width and height as parts of the
/// picture's, from 0 to 1. Boxes come in pixels of a picture of that size; they may reach over its edges. A
/// text without lines has no objects. Error: the number of the line that is anything else.
inline qcnet::Result<std::vector<qcnet::vision::GroundTruth>> parse_yolo(std::string_view text,
                                                                         std::size_t classes,
                                                                         std::size_t height,
                                                                         std::size_t width) {
  std::vector<qcnet::vision::GroundTruth> objects;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = detail::trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    const auto bad = [&](const std::string& what) {
      return qcnet::Error("line " + std::to_string(number) + ": " + what);
    };
    std::vector<float> values;
    while (!line.empty()) {
      const std::size_t length = std::min(line.find_first_of(" \t"), line.size());
      const auto value = detail::parse_number(line.substr(0, length));
      if (!value) return bad("no number: \"" + qcnet::io::detail::printable(line.substr(0, length)) + "\"");
      values.push_back(*value);
      line = detail::trimmed(line.substr(length));
    }
    if (values.size() != 5)
      return bad("expected a class, x, y, width and height, found " + std::to_string(values.size()) +
                 " numbers");
    if (values[0] != std::floor(values[0]) || values[0] < 0 || values[0] >= static_cast<float>(classes))
      return bad("the class is not a whole number from 0 to " + std::to_string(classes - 1));
    for (std::size_t i = 1; i < 5; ++i)
      if (values[i] < 0 || values[i] > 1) return bad("x, y, width and height are not all from 0 to 1");
    const auto w = static_cast<float>(width), h = static_cast<float>(height);
    const float x = values[1] * w, y = values[2] * h, dx = values[3] * w / 2, dy = values[4] * h / 2;
    objects.push_back({static_cast<std::size_t>(values[0]), {x - dx, y - dy, x + dx, y + dy}});
  }
  return objects;
}

/// `parse_yolo` of a file; the Error begins with `path`.
inline qcnet::Result<std::vector<qcnet::vision::GroundTruth>> read_yolo(const std::string& path,
                                                                        std::size_t classes,
                                                                        std::size_t height,
                                                                        std::size_t width) {
  QCNET_TRY(const std::string text, detail::read_text(path));
  auto objects = parse_yolo(text, classes, height, width);
  if (!objects) return objects.error().in(path);
  return objects;
}

}  // namespace examples
