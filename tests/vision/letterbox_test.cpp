#include "support.hpp"
#include "vision/golden.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <qcnet/vision/letterbox.hpp>
#include <qcnet/vision/preprocess.hpp>

#include <doctest/doctest.h>

using namespace qcnet;
using qcnet::vision::Box;
using qcnet::vision::Image;
using qcnet::vision::Letterbox;
using qcnet::vision::Preprocess;

TEST_CASE("A letterboxed picture equals PIL's ImageOps.pad") {
  GoldenFile golden("letterbox.bin");
  Preprocess::Scratch scratch;
  int cases = 0;
  for (; !golden.at_end(); ++cases) {
    const std::size_t in_h = golden.size(), in_w = golden.size(), in_channels = golden.size();
    const std::size_t height = golden.size(), width = golden.size(), channels = golden.size();
    CAPTURE(in_h);
    CAPTURE(in_w);
    const Preprocess preprocess{0,   height, width, std::vector(channels, 0.0f), std::vector(channels, 1.0f),
                                true};
    Tensor input(preprocess.output_shape());
    preprocess.apply_into(noise(in_h, in_w, in_channels), input, scratch).value();
    const auto expected = golden.read<std::uint8_t>(input.shape().elements());
    float largest = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
      largest = std::max(largest, std::abs(input[i] - static_cast<float>(expected[i]) / 255.0f));
    CHECK(largest <= 1e-6f);
  }
  CHECK(cases == 26);
}

TEST_CASE("Grey is normalized like the picture") {
  const Image image{1, 2, 1, {0, 255}};
  const Tensor input = Preprocess{0, 2, 2, {0.5f}, {0.25f}, true}(image).value();
  // Two rows, one of them the picture: ImageOps.pad rounds half a row of padding to none.
  const float grey = (128.0f / 255.0f - 0.5f) / 0.25f;
  CHECK(input[0] == -2.0f);
  CHECK(input[1] == 2.0f);
  CHECK(input[2] == doctest::Approx(grey));
  CHECK(input[3] == doctest::Approx(grey));
  CHECK(std::abs(grey * 0.25f) <= 1.0f / 255.0f);  // as near to 0.5 as 8 bits come
}

TEST_CASE("A letterbox takes no resize") {
  const Preprocess preprocess{416, 416, 416, {0}, {1}, true};
  CHECK(preprocess(noise(3, 3, 1)).error().message() ==
        "preprocessing: a letterbox takes no resize, found 416");
}

TEST_CASE("The picture lies in the middle and keeps its shape") {
  const Letterbox wide = Letterbox::fit(480, 640, 416, 416);
  CHECK(wide.height == 312);
  CHECK(wide.width == 416);
  CHECK(wide.top == 52);
  CHECK(wide.left == 0);
  const Letterbox line = Letterbox::fit(1, 10000, 416, 416);
  CHECK(line.height == 1);
  CHECK(line.width == 416);
  const Letterbox dot = Letterbox::fit(1, 1, 416, 608);
  CHECK(dot.height == 416);
  CHECK(dot.width == 416);
  CHECK(dot.left == 96);
}

TEST_CASE("Boxes come back to the picture") {
  CHECK(Letterbox::fit(480, 640, 416, 416).to_picture({0, 52, 416, 364}) == Box{0, 0, 640, 480});
  std::mt19937 engine(7);
  for (const std::size_t height : test::Sizes{1, 3, 97, 480, 10000})
    for (const std::size_t width : test::Sizes{1, 2, 101, 640, 10000}) {
      CAPTURE(height);
      CAPTURE(width);
      const Letterbox letterbox = Letterbox::fit(height, width, 416, 608);
      const Box whole = letterbox.to_input({0, 0, static_cast<float>(width), static_cast<float>(height)});
      CHECK(whole.x0 == static_cast<float>(letterbox.left));
      CHECK(whole.y0 == static_cast<float>(letterbox.top));
      CHECK(whole.x1 == doctest::Approx(static_cast<double>(letterbox.left + letterbox.width)).epsilon(1e-6));
      CHECK(whole.y1 == doctest::Approx(static_cast<double>(letterbox.top + letterbox.height)).epsilon(1e-6));
      std::uniform_real_distribution<float> x(0, static_cast<float>(width)), y(0, static_cast<float>(height));
      const Box box{x(engine), y(engine), x(engine), y(engine)};
      const Box back = letterbox.to_picture(letterbox.to_input(box));
      // A float of the input's 608 columns is known to 6e-5 of a pixel, which the scale enlarges.
      const auto most = static_cast<float>(std::max(width, height)) * 1e-6f;
      CHECK(std::abs(back.x0 - box.x0) <= most);
      CHECK(std::abs(back.y0 - box.y0) <= most);
      CHECK(std::abs(back.x1 - box.x1) <= most);
      CHECK(std::abs(back.y1 - box.y1) <= most);
    }
}

TEST_CASE("Where something is in the input, there it is in the picture") {
  // A white square on black is found again where the mapping says.
  Image image{300, 500, 1, std::vector<std::uint8_t>(300 * 500)};
  for (std::size_t y = 100; y < 200; ++y)
    for (std::size_t x = 250; x < 350; ++x) image.pixels[y * 500 + x] = 255;
  const Tensor input = Preprocess{0, 96, 64, {0}, {1}, true}(image).value();
  const Box box = Letterbox::fit(300, 500, 96, 64).to_input({250, 100, 350, 200});
  for (std::size_t y = 0; y < 96; ++y)
    for (std::size_t x = 0; x < 64; ++x) {
      const auto cx = static_cast<float>(x) + 0.5f, cy = static_cast<float>(y) + 0.5f;
      const bool inside = cx > box.x0 + 1 && cx < box.x1 - 1 && cy > box.y0 + 1 && cy < box.y1 - 1;
      const bool outside = cx < box.x0 - 1 || cx > box.x1 + 1 || cy < box.y0 - 1 || cy > box.y1 + 1;
      if (inside && input[y * 64 + x] < 0.99f) FAIL_CHECK("pixel " << x << ", " << y << " is not white");
      if (outside && input[y * 64 + x] > 0.51f) FAIL_CHECK("pixel " << x << ", " << y << " is white");
    }
}
