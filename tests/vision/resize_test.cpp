#include "vision/golden.hpp"

#include <qcnet/vision/resize.hpp>

#include <doctest/doctest.h>

using qcnet::vision::Image;
using qcnet::vision::Resizer;

TEST_CASE("Resize equals PIL bit for bit") {
  GoldenFile golden("resize.bin");
  Resizer resizer;  // one for all: nothing of an earlier size may remain
  int cases = 0;
  for (; !golden.at_end(); ++cases) {
    const std::size_t in_h = golden.size(), in_w = golden.size(), channels = golden.size();
    const std::size_t out_h = golden.size(), out_w = golden.size();
    CAPTURE(in_h);
    CAPTURE(in_w);
    CAPTURE(out_h);
    CAPTURE(out_w);
    const Image& image = resizer(noise(in_h, in_w, channels), out_h, out_w);
    CHECK(image.height == out_h);
    CHECK(image.width == out_w);
    CHECK(image.channels == channels);
    CHECK(image.pixels == golden.read<std::uint8_t>(out_h * out_w * channels));
  }
  CHECK(cases == 20);
}

TEST_CASE("A window is the same part of the whole") {
  const Image image = noise(61, 83, 3);
  Resizer resizer;
  for (const std::size_t size : {19u, 61u, 140u}) {
    const Image whole = resizer(image, size, size + 7);
    const Image part = resizer(image, {61, size, 5, 11}, {83, size + 7, 3, 13});
    for (std::size_t y = 0; y < 11; ++y)
      for (std::size_t i = 0; i < 13 * 3; ++i)
        if (part.pixels[y * 39 + i] != whole.pixels[((y + 5) * (size + 7) + 3) * 3 + i])
          FAIL_CHECK("size " << size << ", row " << y << ", byte " << i);
  }
}

TEST_CASE("Only the window of an enormous enlargement is computed") {
  const Image line = noise(1, 20000, 1);
  const Image part = Resizer()(line, {1, 16384, 8000, 4}, {20000, 327680000, 163840000, 4});
  CHECK(part.pixels.size() == 16);
}
