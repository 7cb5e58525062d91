#include "allocations.hpp"
#include "vision/golden.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <qcnet/vision/preprocess.hpp>

#include <doctest/doctest.h>

using qcnet::Shape;
using qcnet::Tensor;
using qcnet::vision::Image;
using qcnet::vision::ImageView;
using qcnet::vision::Preprocess;

static const std::vector<float> mean = {0.485f, 0.456f, 0.406f}, deviation = {0.229f, 0.224f, 0.225f};

TEST_CASE("Resize, crop and normalization equal torchvision's") {
  GoldenFile golden("preprocess.bin");
  Preprocess::Scratch scratch;
  int cases = 0;
  for (; !golden.at_end(); ++cases) {
    const std::size_t in_h = golden.size(), in_w = golden.size(), in_channels = golden.size();
    const std::size_t resize = golden.size(), height = golden.size(), width = golden.size();
    const auto channels = static_cast<std::ptrdiff_t>(golden.size());
    CAPTURE(in_h);
    CAPTURE(in_w);
    const Preprocess preprocess{resize,
                                height,
                                width,
                                {mean.begin(), mean.begin() + channels},
                                {deviation.begin(), deviation.begin() + channels}};
    const Image image = noise(in_h, in_w, in_channels);
    const Tensor input = preprocess(image).value();
    REQUIRE(input.shape() == preprocess.output_shape());
    const auto expected = golden.read<float>(input.shape().elements());
    float largest = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
      largest = std::max(largest, std::abs(input[i] - expected[i]));
    CHECK(largest <= 1e-6f);

    Tensor again(preprocess.output_shape());
    CHECK(preprocess.apply_into(image, again, scratch).ok());
    CHECK(std::equal(input.span().begin(), input.span().end(), again.span().begin()));
  }
  CHECK(cases == 10);
}

TEST_CASE("A second picture of the same size allocates nothing") {
  const Preprocess preprocess{36, 32, 28, {0.5f}, {0.25f}};
  const Image first = noise(50, 60, 3), second = noise(50, 60, 3);
  Preprocess::Scratch scratch;
  Tensor out(preprocess.output_shape());
  CHECK(preprocess.apply_into(first, out, scratch).ok());
  const std::size_t before = allocations();
  const bool ok = preprocess.apply_into(second, out, scratch).ok();
  CHECK(allocations() == before);
  CHECK(ok);
}

TEST_CASE("Without a resize the centre is taken as it is") {
  const Image image = noise(6, 8, 1);
  const Tensor input = Preprocess{0, 4, 4, {0}, {1}}(image).value();
  for (std::size_t y = 0; y < 4; ++y)
    for (std::size_t x = 0; x < 4; ++x)
      CHECK(input[y * 4 + x] == static_cast<float>(image.pixels[(y + 1) * 8 + x + 2]) / 255.0f);
}

TEST_CASE("A buffer whose rows are apart is the picture without the gaps") {
  for (const std::size_t in : {std::size_t{1}, std::size_t{3}})
    for (const std::size_t out : {std::size_t{1}, std::size_t{3}})
      for (const std::size_t gap : {std::size_t{1}, std::size_t{7}, std::size_t{64}})
        for (const auto& [resize, letterbox] : {std::pair{std::size_t{0}, false}, {12, false}, {0, true}}) {
          const Image image = noise(11, 17, in);
          const std::size_t row = 17 * in, stride = row + gap;
          std::vector<std::uint8_t> buffer(10 * stride + row, 99);
          for (std::size_t y = 0; y < 11; ++y)
            std::copy_n(image.pixels.data() + y * row, row, buffer.data() + y * stride);
          const std::vector<float> means(mean.begin(), mean.begin() + static_cast<std::ptrdiff_t>(out));
          const Preprocess preprocess{resize, 9, 13, means, std::vector<float>(out, 0.25f), letterbox};
          const Tensor expected = preprocess(image).value();
          const Tensor found = preprocess(ImageView{11, 17, in, buffer, stride}).value();
          CHECK(std::ranges::equal(found.span(), expected.span()));
        }
}

TEST_CASE("Settings and images that make no sense are refused") {
  const Image image = noise(6, 8, 3);
  const auto message = [&](const Preprocess& preprocess) { return preprocess(image).error().message(); };
  CHECK(message({0, 0, 8, mean, deviation}) ==
        "preprocessing: crop 0 x 8 must be from 1, resize 0 from 0 to 16384 pixels");
  CHECK(message({8, 8, 1u << 20, mean, deviation}).find("crop 8 x 1048576 must be") != std::string::npos);
  CHECK(Preprocess{16384, 8, 8, {0}, {1}}(Image{1, 1 << 18, 1, std::vector<std::uint8_t>(1 << 18)})
            .error()
            .message() == "preprocessing: a picture of 1 x 262144 is too long for a shorter side of 16384");
  CHECK(message({8, 8, 8, {0, 0}, {1, 1}}) ==
        "preprocessing: expected 1 or 3 means and as many standard deviations, found 2 and 2");
  CHECK(message({8, 8, 8, {0}, {1, 1, 1}}).find("found 1 and 3") != std::string::npos);
  CHECK(message({8, 8, 8, {0}, {0}}) == "preprocessing: a standard deviation is not positive");
  CHECK(message({8, 8, 8, {0}, {NAN}}) == "preprocessing: a standard deviation is not positive");
  using Scale = std::pair<float, float>;  // mean and deviation
  for (const Scale& scale : {Scale{NAN, 1.0f},
                             {INFINITY, 1.0f},
                             {0.0f, INFINITY},
                             {1e38f, 1e-3f},
                             {0.0f, 1e-40f},
                             {-3.5f, 1.2e-38f}})
    CHECK(message({8, 8, 8, {scale.first}, {scale.second}}) ==
          "preprocessing: with this mean and standard deviation pixels would be no numbers");

  const Preprocess preprocess{8, 8, 8, mean, deviation};
  CHECK(preprocess(Image{}).error().message() == "the image [0, 0, 0] has no pixels");
  Tensor wrong(Shape{1, 8, 8, 1});
  Preprocess::Scratch scratch;
  CHECK(preprocess.apply_into(image, wrong, scratch).error().message() ==
        "preprocessing: expected an output of [1, 8, 8, 3], found [1, 8, 8, 1]");
}
