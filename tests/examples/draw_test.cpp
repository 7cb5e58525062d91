#include "../../examples/common/draw.hpp"

#include "../../examples/common/write_png.hpp"
#include "files.hpp"
#include "vision/golden.hpp"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <qcnet/vision/read_image.hpp>

#include <doctest/doctest.h>

using examples::Color;
using examples::PixelArea;
using qcnet::vision::Box;
using qcnet::vision::Detection;
using qcnet::vision::Image;

namespace {

constexpr Color red{255, 0, 0};

Image black(std::size_t height, std::size_t width, std::size_t channels = 3) {
  return {height, width, channels, std::vector<std::uint8_t>(height * width * channels)};
}

// A row of characters for each row of pixels: '#' where something was drawn.
std::vector<std::string> drawing(const Image& image) {
  std::vector<std::string> rows(image.height, std::string(image.width, '.'));
  for (std::size_t y = 0; y < image.height; ++y)
    for (std::size_t x = 0; x < image.width; ++x)
      for (std::size_t c = 0; c < image.channels; ++c)
        if (image.pixels[(y * image.width + x) * image.channels + c] != 0) rows[y][x] = '#';
  return rows;
}

std::vector<std::string> frame(std::size_t height, std::size_t width, const Box& box,
                               std::ptrdiff_t thickness = 1) {
  Image image = black(height, width);
  examples::draw_frame(image, examples::pixels_of(box, image), thickness, red);
  return drawing(image);
}

using Rows = std::vector<std::string>;

}  // namespace

TEST_CASE("A frame lies inside its box") {
  CHECK(frame(5, 7, {1, 1, 6, 4}) == Rows{".......", ".#####.", ".#...#.", ".#####.", "......."});
  CHECK(frame(5, 7, {1, 0, 6, 5}, 2) == Rows{".#####.", ".#####.", ".##.##.", ".#####.", ".#####."});
  CHECK(frame(3, 5, {1.4f, 0.6f, 3.6f, 2.4f}) == Rows{".....", ".###.", "....."});
  CHECK(frame(3, 5, {2.1f, 1.1f, 2.2f, 1.2f}) == Rows{".....", "..#..", "....."});  // never nothing
}

TEST_CASE("A frame at the edges of the picture is cut off, not lost") {
  const Rows whole{"#####", "#...#", "#...#", "#####"};
  CHECK(frame(4, 5, {0, 0, 5, 4}) == whole);
  CHECK(frame(4, 5, {-3, -9, 8, 70}) == whole);
  CHECK(frame(4, 5, {-1e30f, -1e30f, 1e30f, 1e30f}) == whole);
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(frame(4, 5, {-infinity, -infinity, infinity, infinity}) == whole);
  CHECK(frame(4, 5, {3, 2, 9, 9}) == Rows{".....", ".....", "...##", "...##"});
  CHECK(frame(4, 5, {4.9f, 3.9f, 9, 9}) == Rows{".....", ".....", ".....", "....#"});
  CHECK(frame(4, 5, {0, 0, 5, 4}, 100) == Rows(4, "#####"));
  for (const Box& nothing : {Box{5, 0, 9, 4}, Box{-4, 0, 0, 4}, Box{0, 4, 5, 9}, Box{1, 1, 1, 3},
                             Box{3, 3, 1, 1}, Box{NAN, 0, 5, 4}, Box{0, 0, 5, NAN}})
    CHECK(frame(4, 5, nothing) == Rows(4, "....."));
}

TEST_CASE("Colors, also in a gray picture") {
  Image rgb = black(2, 2), gray = black(2, 2, 1);
  for (Image* image : {&rgb, &gray}) examples::fill(*image, {1, 0, 2, 1}, {10, 200, 30});
  CHECK(rgb.pixels == std::vector<std::uint8_t>{0, 0, 0, 10, 200, 30, 0, 0, 0, 0, 0, 0});
  CHECK(gray.pixels == std::vector<std::uint8_t>{0, 124, 0, 0});
  CHECK(examples::class_color(0) != examples::class_color(1));
  CHECK(examples::class_color(3) == examples::class_color(3 + 7));
}

TEST_CASE("Text") {
  const auto written = [](const std::string& text, std::ptrdiff_t scale) {
    const examples::Text line(text, scale);
    Image image = black(static_cast<std::size_t>(line.height()), static_cast<std::size_t>(line.width()));
    line.draw(image, 0, 0, red);
    return drawing(image);
  };
  const Rows letters = written("Hi", 1);
  CHECK(letters == Rows{"#..#.....", "#..#..#..", "#..#.....", "####..#..", "#..#..#..", "#..#..#..",
                        "#..#..#..", ".........", "........."});
  const Rows large = written("Hi", 3);
  REQUIRE(large.size() == 27);
  for (std::size_t y = 0; y < large.size(); ++y)
    for (std::size_t x = 0; x < large[y].size(); ++x)
      if (large[y][x] != letters[y / 3][x / 3]) FAIL_CHECK("pixel " << x << ", " << y);

  CHECK(examples::Text("", 1).width() == 0);
  CHECK(written("\xC3\xA9\n\x7F", 1) == written("???", 1));  // é, a line break and DEL
  CHECK(examples::Text(std::string(1000000, 'x'), 1).width() ==
        examples::Text(std::string(200, 'x'), 1).width());
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  CHECK(examples::Text(all, 1).width() > 0);
}

TEST_CASE("Labels stay in the picture") {
  const std::vector<std::string> classes{"cell"};
  const auto drawn = [&](const Box& box) {
    Image image = black(100, 120);
    examples::draw_detections(image, std::vector<Detection>{{0, 0.875f, box}}, classes);
    return drawing(image);
  };
  const auto label_at = [](const Rows& rows, std::size_t x,
                           std::size_t y) {  // a filled corner of 4 x 1 pixels
    return rows[y].substr(x, 4) == "####" && rows[y + 1][x + 1] == '#' && rows[y + 10].substr(x, 2) == "##";
  };
  CHECK(label_at(drawn({20, 40, 60, 80}), 20, 29));  // above
  CHECK(label_at(drawn({20, 5, 60, 80}), 20, 5));    // no room above: within
  CHECK(label_at(drawn({-9, -9, 200, 200}), 0, 0));
  const Rows right = drawn({110, 40, 118, 80});  // no room to the right: further left
  CHECK(label_at(right, 120 - (right[30].size() - right[30].find('#')), 29));
  CHECK(right[30].find('#') < 100);
  CHECK(right[30].back() == '#');
  CHECK(drawn({150, 0, 170, 50}) == Rows(100, std::string(120, '.')));  // outside, without a label
}

TEST_CASE("The best detections are on top") {
  Image image = black(60, 60);
  const Box box{10, 20, 50, 50};
  examples::draw_detections(image, std::vector<Detection>{{1, 0.9f, box}, {0, 0.3f, box}}, {"a", "b"});
  const Color best = examples::class_color(1);
  CHECK(std::equal(best.begin(), best.end(), image.pixels.begin() + (49 * 60 + 30) * 3));
}

TEST_CASE("Any boxes in any picture") {
  std::mt19937 engine(4);
  std::uniform_real_distribution<float> place(-2, 3);
  for (const auto& [height, width] :
       {std::pair<std::size_t, std::size_t>{1, 1}, {1, 10000}, {10000, 1}, {3, 2}, {13, 17}, {600, 700}}) {
    Image image = black(height, width), untouched = image;
    examples::draw_detections(image, std::vector<Detection>{}, {});
    CHECK(image.pixels == untouched.pixels);
    std::vector<Detection> thousand(1000);
    for (Detection& d : thousand) {
      const auto w = static_cast<float>(width), h = static_cast<float>(height);
      d = {engine() % 9, 0.5f, {place(engine) * w, place(engine) * h, place(engine) * w, place(engine) * h}};
    }
    thousand.push_back({0, 1, {0, 0, 1, 1}});
    examples::draw_detections(image, thousand, {"one"});
    CHECK(image.pixels.size() == untouched.pixels.size());
    CHECK(image.pixels != untouched.pixels);
  }
}

TEST_CASE("A PNG holds what was written") {
  const TemporaryFolder folder;
  for (const std::size_t channels : {1u, 3u})
    for (const auto& [height, width] :
         {std::pair<std::size_t, std::size_t>{1, 1}, {1, 10000}, {10000, 1}, {37, 45}}) {
      const Image image = noise(height, width, channels);
      const std::string path = folder.path + "/picture.png";
      examples::write_png(path, image).value();
      const Image back = qcnet::vision::read_image(path, channels).value();
      CHECK(back.height == height);
      CHECK(back.width == width);
      CHECK(back.pixels == image.pixels);
    }
  CHECK(examples::write_png(folder.path, noise(1, 1, 1)).error().message() == folder.path + ": is a folder");
  CHECK(examples::write_png(folder.path + "/no/such.png", noise(1, 1, 1)).error().message() ==
        folder.path + "/no/such.png: cannot be created; may this folder be written?");
  CHECK(examples::write_png("x.png", Image{}).error().message() ==
        "x.png: the image [0, 0, 0] has no pixels");
  CHECK(examples::write_png("/dev/full", noise(200, 200, 3)).error().message() ==
        "/dev/full: cannot be written; is the disk full?");
}
