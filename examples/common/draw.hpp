// Boxes and their labels in a picture.
#pragma once

#include "answer.hpp"
#include "easy_font.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include <qcnet/vision/box.hpp>
#include <qcnet/vision/image.hpp>

namespace examples {

using Color = std::array<std::uint8_t, 3>;

/// Pixels from (x0, y0) up to, not including, (x1, y1). They may lie outside of a picture.
struct PixelArea {
  std::ptrdiff_t x0, y0, x1, y1;
};

/// Fills what of the area lies in the picture; a gray one gets the color's luma.
inline void fill(qcnet::vision::Image& image, const PixelArea& area, const Color& color) {
  const auto width = static_cast<std::ptrdiff_t>(image.width);
  const auto height = static_cast<std::ptrdiff_t>(image.height);
  for (auto y = std::max<std::ptrdiff_t>(area.y0, 0); y < std::min(area.y1, height); ++y)
    for (auto x = std::max<std::ptrdiff_t>(area.x0, 0); x < std::min(area.x1, width); ++x)
      qcnet::vision::convert_pixels_into(
          color.data(), 3, 1, image.channels,
          image.pixels.data() + static_cast<std::size_t>(y * width + x) * image.channels);
}

/// The pixels that a box covers, at least one if any of it is in the picture; none else.
inline PixelArea pixels_of(const qcnet::vision::Box& box, const qcnet::vision::Image& image) {
  const auto inside = qcnet::vision::clip(box, image.height, image.width);
  if (qcnet::vision::area(inside) == 0) return {0, 0, 0, 0};
  const auto from = [](float edge, std::size_t size) {
    return std::min(std::lround(edge), static_cast<long>(size) - 1);
  };
  const PixelArea area{from(inside.x0, image.width), from(inside.y0, image.height), std::lround(inside.x1),
                       std::lround(inside.y1)};
  return {area.x0, area.y0, std::max(area.x1, area.x0 + 1), std::max(area.y1, area.y0 + 1)};
}

/// A frame of `thickness` pixels inside the area.
inline void draw_frame(qcnet::vision::Image& image, const PixelArea& area, std::ptrdiff_t thickness,
                       const Color& color) {
  const auto& [x0, y0, x1, y1] = area;
  fill(image, {x0, y0, x1, std::min(y0 + thickness, y1)}, color);
  fill(image, {x0, std::max(y1 - thickness, y0), x1, y1}, color);
  fill(image, {x0, y0, std::min(x0 + thickness, x1), y1}, color);
  fill(image, {std::max(x1 - thickness, x0), y0, x1, y1}, color);
}

/// A line of text as rectangles, of which each unit becomes `scale` pixels. What the font lacks, all but
/// printable ASCII, is a question mark for each character of UTF-8; what is too long for a label is cut off.
class Text {
 public:
  Text(const std::string& utf8, std::ptrdiff_t scale) : scale_(scale) {
    std::string ascii;
    for (const char c : utf8) {
      if (ascii.size() == longest) break;
      if ((static_cast<unsigned char>(c) & 0xC0) == 0x80) continue;  // a character's second byte or later
      ascii += c >= ' ' && c <= '~' ? c : '?';
    }
    constexpr std::size_t quads_of_a_letter = 16, floats_of_a_quad = 16;
    quads_.resize(ascii.size() * quads_of_a_letter * floats_of_a_quad);
    const int count = stb_easy_font_print(0, 0, ascii.data(), nullptr, quads_.data(),
                                          static_cast<int>(quads_.size() * sizeof(float)));
    quads_.resize(static_cast<std::size_t>(count) * floats_of_a_quad);
    width_ = stb_easy_font_width(ascii.data()) * scale;
  }

  std::ptrdiff_t width() const { return width_; }
  /// From the top of the tallest letter to the lowest descender.
  std::ptrdiff_t height() const { return 9 * scale_; }

  void draw(qcnet::vision::Image& image, std::ptrdiff_t x, std::ptrdiff_t y, const Color& color) const {
    for (std::size_t i = 0; i < quads_.size(); i += 16) {  // four corners of x, y, z and a color
      const auto at = [&](std::size_t k) { return static_cast<std::ptrdiff_t>(quads_[i + k]) * scale_; };
      fill(image, {x + at(0), y + at(1), x + at(8), y + at(9)}, color);
    }
  }

 private:
  static constexpr std::size_t longest = 200;
  std::ptrdiff_t scale_, width_;
  std::vector<float> quads_;
};

/// The same for the same class in every picture; colors that people with color blindness tell apart (Okabe
/// and Ito, 2008).
inline Color class_color(std::size_t label) {
  constexpr Color colors[] = {{230, 159, 0}, {86, 180, 233}, {0, 158, 115},  {240, 228, 66},
                              {0, 114, 178}, {213, 94, 0},   {204, 121, 167}};
  return colors[label % std::size(colors)];
}

/// A label on the top edge of an area: above it or, where the picture ends, within it.
inline void draw_label(qcnet::vision::Image& image, const PixelArea& area, const std::string& label,
                       std::ptrdiff_t scale, const Color& color) {
  const Text text(label, scale);
  const std::ptrdiff_t width = text.width() + 3 * scale, height = text.height() + 2 * scale;
  const std::ptrdiff_t last = static_cast<std::ptrdiff_t>(image.width) - width;
  const std::ptrdiff_t x = std::max<std::ptrdiff_t>(std::min(area.x0, last), 0);
  const std::ptrdiff_t y = area.y0 >= height ? area.y0 - height : area.y0;
  fill(image, {x, y, x + width, y + height}, color);
  const bool bright = qcnet::vision::luma(color.data()) > 120;
  text.draw(image, x + 2 * scale, y + scale, bright ? Color{0, 0, 0} : Color{255, 255, 255});
}

/// Draws each detection as a frame, then their labels, class and score, the best ones on top.
inline void draw_detections(qcnet::vision::Image& image, std::span<const qcnet::vision::Detection> detections,
                            const std::vector<std::string>& classes) {
  std::vector<qcnet::vision::Detection> sorted(detections.begin(), detections.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.score < b.score; });
  const auto shorter = static_cast<double>(std::min(image.height, image.width));
  const std::ptrdiff_t scale = std::max(std::lround(shorter / 500), 1l);
  for (const auto& [label, score, box] : sorted)
    draw_frame(image, pixels_of(box, image), scale + 1, class_color(label));
  for (const auto& [label, score, box] : sorted) {
    const PixelArea area = pixels_of(box, image);
    if (area.x0 == area.x1) continue;
    char percent[16];
    std::snprintf(percent, sizeof percent, " %.0f%%", 100 * static_cast<double>(score));
    draw_label(image, area, class_name(classes, label) + percent, scale, class_color(label));
  }
}

}  // namespace examples
