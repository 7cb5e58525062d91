#include "support.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <qcnet/vision/boxes.hpp>

#include <doctest/doctest.h>

using namespace qcnet;
using qcnet::vision::Anchors;
using qcnet::vision::Box;
using qcnet::vision::Detection;
using qcnet::vision::Letterbox;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<Detection> decode(const Tensor& map, const std::vector<Anchors::Size>& anchors,
                              const Letterbox& letterbox, float threshold) {
  std::vector<Detection> found;
  vision::decode_boxes_into(map, anchors, letterbox, threshold, found).value();
  return found;
}

// The formulas in double, without any care for overflow.
struct Expected {
  std::size_t label;
  double score;
  std::array<double, 4> box;
};
std::vector<Expected> expected_boxes(const Tensor& map, const std::vector<Anchors::Size>& anchors,
                                     const Letterbox& l, double threshold) {
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const auto real = [](std::size_t n) { return static_cast<double>(n); };
  const Shape& shape = map.shape();
  const std::size_t fields = shape[3] / anchors.size();
  const double stride = real(l.input_height) / real(shape[1]);
  std::vector<Expected> boxes;
  for (std::size_t row = 0; row < shape[1]; ++row)
    for (std::size_t column = 0; column < shape[2]; ++column)
      for (std::size_t a = 0; a < anchors.size(); ++a) {
        const float* t = map.view().pixel(row * shape[2] + column) + a * fields;
        const double x = (sigmoid(t[0]) + real(column)) * stride, y = (sigmoid(t[1]) + real(row)) * stride;
        const double w = double{anchors[a].width} * std::exp(double{t[2]});
        const double h = double{anchors[a].height} * std::exp(double{t[3]});
        const double sx = real(l.picture_width) / real(l.width), sy = real(l.picture_height) / real(l.height);
        const double x0 = std::max(0.0, (x - w / 2 - real(l.left)) * sx);
        const double y0 = std::max(0.0, (y - h / 2 - real(l.top)) * sy);
        const double x1 = std::min(real(l.picture_width), (x + w / 2 - real(l.left)) * sx);
        const double y1 = std::min(real(l.picture_height), (y + h / 2 - real(l.top)) * sy);
        for (std::size_t k = 5; k < fields; ++k)
          if (const double score = sigmoid(t[4]) * sigmoid(t[k]); score > threshold && x1 > x0 && y1 > y0)
            boxes.push_back({k - 5, score, {x0, y0, x1, y1}});
      }
  return boxes;
}

// One cell, one anchor of 16 x 16 in an input and a picture of 32 x 32, one class.
std::vector<Detection> decode_one(float x, float y, float w, float h, float objectness = 9, float score = 9,
                                  float threshold = 0.5f) {
  Tensor map(Shape{1, 1, 1, 6});
  const float values[] = {x, y, w, h, objectness, score};
  std::copy_n(values, 6, map.data());
  return decode(map, {{16, 16}}, Letterbox::fit(32, 32, 32, 32), threshold);
}

}  // namespace

TEST_CASE("Boxes of random maps are those of YOLOv3's formulas") {
  const std::vector<Anchors::Size> anchors{{10, 14}, {23, 27.5f}, {81, 40}};
  for (const std::size_t classes : test::Sizes{1, 3, 80})
    for (const std::size_t count : test::Sizes{1, 2, 3})
      for (const std::size_t stride : test::Sizes{16, 32})
        for (const std::size_t height : test::Sizes{1, 97, 480, 10000}) {
          CAPTURE(classes);
          CAPTURE(count);
          CAPTURE(stride);
          CAPTURE(height);
          const std::vector<Anchors::Size> some(anchors.begin(),
                                                anchors.begin() + static_cast<std::ptrdiff_t>(count));
          const Letterbox letterbox = Letterbox::fit(height, 640, 96, 160);
          const Tensor map =
              test::random_tensor(Shape{1, 96 / stride, 160 / stride, count * (5 + classes)}, 5);
          const auto found = decode(map, some, letterbox, 0.25f);
          const auto expected = expected_boxes(map, some, letterbox, 0.25);
          REQUIRE(found.size() == expected.size());
          CHECK(!found.empty());
          const double scale = static_cast<double>(std::max<std::size_t>(height, 640));
          for (std::size_t i = 0; i < found.size(); ++i) {
            const auto& [x0, y0, x1, y1] = found[i].box;
            const auto& box = expected[i].box;
            const double difference =
                std::max({std::abs(double{x0} - box[0]), std::abs(double{y0} - box[1]),
                          std::abs(double{x1} - box[2]), std::abs(double{y1} - box[3])});
            if (found[i].label != expected[i].label) FAIL_CHECK("label of " << i);
            if (std::abs(double{found[i].score} - expected[i].score) > 1e-6) FAIL_CHECK("score of " << i);
            if (!(difference <= 2e-6 * scale)) FAIL_CHECK("box of " << i << ": " << difference);
          }
        }
}

TEST_CASE("A cell's centre and an anchor's size") {
  const auto found = decode_one(0, 0, 0, 0);
  REQUIRE(found.size() == 1);
  CHECK(found[0].box == Box{8, 8, 24, 24});
  CHECK(found[0].label == 0);
  CHECK(found[0].score == doctest::Approx(std::pow(1 / (1 + std::exp(-9.0)), 2)));
}

TEST_CASE("Huge logits give the box that they mean") {
  const Box all{0, 0, 32, 32};
  for (const float huge : {61.0f, 100.0f, 1e30f, infinity}) {
    CHECK(decode_one(0, 0, huge, huge).at(0).box == all);
    CHECK(decode_one(huge, huge, 0, 0).at(0).box == Box{24, 24, 32, 32});  // the cell's far corner
    CHECK(decode_one(-huge, -huge, 0, 0).at(0).box == Box{0, 0, 8, 8});    // its near corner
    CHECK(decode_one(0, 0, 0, 0, huge, huge).at(0).score == 1.0f);
    CHECK(decode_one(0, 0, 0, 0, -huge, huge).empty());
    CHECK(decode_one(0, 0, 0, 0, huge, -huge, 0.0f).size() == (huge > 100 ? 0 : 1));  // e^-100 is no 0 yet
  }
  for (const float huge : {200.0f, 1e30f, infinity})  // a box of no width
    CHECK(decode_one(0, 0, -huge, 0).empty());
  const auto line = Letterbox::fit(1, 10000, 32, 32);
  Tensor map(Shape{1, 1, 1, 6});
  for (float& x : map.span()) x = infinity;
  CHECK(decode(map, {{1 << 20, 1 << 20}}, line, 0.5f).at(0).box == Box{0, 0, 10000, 1});
}

TEST_CASE("NaN is dropped wherever it stands") {
  for (std::size_t i = 0; i < 6; ++i) {
    float t[6] = {0, 0, 0, 0, 9, 9};
    t[i] = std::numeric_limits<float>::quiet_NaN();
    CHECK(decode_one(t[0], t[1], t[2], t[3], t[4], t[5], 0.0f).empty());
  }
}

TEST_CASE("No logits give a box that is infinite or outside the picture") {
  const float values[] = {0, -0.0f, 1e-40f, 30, -30, 89, -89, 1e38f, -1e38f, infinity, -infinity, NAN};
  std::mt19937 engine(11);
  const Letterbox letterbox = Letterbox::fit(3, 10000, 64, 64);
  std::size_t seen = 0;
  for (int repeat = 0; repeat < 300; ++repeat) {
    Tensor map(Shape{1, 4, 4, 3 * 7});
    for (float& x : map.span()) x = values[engine() % std::size(values)];
    for (const auto& [label, score, box] : decode(map, {{1e6f, 1}, {5, 7}, {1, 1e6f}}, letterbox, 0.0f)) {
      ++seen;
      if (!(score > 0 && score <= 1)) FAIL_CHECK("score " << score);
      if (!(box.x0 >= 0 && box.x0 < box.x1 && box.x1 <= 10000 && box.y0 >= 0 && box.y0 < box.y1 &&
            box.y1 <= 3))
        FAIL_CHECK("box " << box.x0 << ' ' << box.y0 << ' ' << box.x1 << ' ' << box.y1);
    }
  }
  CHECK(seen > 1000);
}

TEST_CASE("Maps that do not fit are refused") {
  const Letterbox letterbox = Letterbox::fit(10, 10, 64, 96);
  std::vector<Detection> found;
  const auto problem = [&](const Shape& shape, std::size_t anchors) {
    const Tensor map(shape);
    const std::vector<Anchors::Size> sizes(anchors, {1, 1});
    const auto done = vision::decode_boxes_into(map, sizes, letterbox, 0.5f, found);
    return done.ok() ? std::string() : done.error().message();
  };
  CHECK(problem({1, 2, 3, 18}, 3).empty());
  for (const Shape& shape : {Shape{2, 2, 3, 18}, Shape{0, 2, 3, 18}, Shape{1, 2, 3}, Shape{1, 3, 2, 18},
                             Shape{1, 2, 2, 18}, Shape{1, 5, 3, 18}, Shape{1, 0, 3, 18}})
    CHECK(problem(shape, 3) ==
          "the detection map " + shape.to_string() + " is no grid of squares over one picture of 64 x 96");
  CHECK(problem({1, 2, 3, 19}, 3) ==
        "the detection map [1, 2, 3, 19] does not have 5 channels and its classes for 3 anchors");
  CHECK_FALSE(problem({1, 2, 3, 15}, 3).empty());  // no class
  CHECK_FALSE(problem({1, 2, 3, 18}, 0).empty());
  const Tensor map(Shape{1, 2, 3, 18});
  const ConstTensorView one[] = {map};
  CHECK(vision::detections(one, Anchors::published(), letterbox).error().message() ==
        "found 1 detection maps, there are anchors for 2");
}

TEST_CASE("More detections than memory should be asked for are refused") {
  const std::size_t classes = vision::most_candidates + 1;
  Tensor map(Shape{1, 1, 1, 5 + classes});
  std::vector<Detection> found;
  const auto decoded = [&](float threshold) {
    return vision::decode_boxes_into(map, std::vector<Anchors::Size>{{8, 8}}, Letterbox::fit(32, 32, 32, 32),
                                     threshold, found);
  };
  CHECK(decoded(0.3f).ok());
  CHECK(found.empty());
  CHECK(decoded(0.2f).error().message() ==
        "more than 4194304 detections have a score above 0.200000; ask for a higher one");
  CHECK(found.size() == vision::most_candidates);
}

TEST_CASE("Both maps together") {
  // The two heads see the same thing; only the better one answers.
  Tensor coarse(Shape{1, 1, 2, 3 * 7}), fine(Shape{1, 2, 4, 3 * 7});
  for (Tensor* map : {&coarse, &fine})
    for (float& x : map->span()) x = -20;
  const auto set = [](Tensor& map, std::size_t cell, std::size_t anchor, std::vector<float> values) {
    std::copy(values.begin(), values.end(), map.data() + cell * 21 + anchor * 7);
  };
  const float w = std::log(16.0f / 81), h = std::log(16.0f / 82);
  set(coarse, 1, 0, {0, 0, w, h, 3, -20, 4});   // 40 to 56, 8 to 24
  set(fine, 3, 2, {-20, 20, w, h, 5, -20, 4});  // the same box, from the corner of a neighbour
  set(fine, 0, 2, {0, 0, w, h, 4, 4, 4});       // elsewhere, of both classes
  const ConstTensorView maps[] = {coarse, fine};
  const Anchors anchors = Anchors::parse("81 82", "0 0 0 0 0 0").value();
  const auto found = vision::detections(maps, anchors, Letterbox::fit(64, 128, 32, 64)).value();
  REQUIRE(found.size() == 3);
  CHECK(found[0].label == 1);
  CHECK(found[0].box.x0 == doctest::Approx(80));
  CHECK(found[0].box.y0 == doctest::Approx(16));
  CHECK(found[0].box.x1 == doctest::Approx(112));
  CHECK(found[0].box.y1 == doctest::Approx(48));
  CHECK(found[1].label == 0);
  CHECK(found[2].label == 1);
  CHECK(found[1].box == found[2].box);
  CHECK(found[1].box.x0 == 0);
  CHECK(found[1].box.x1 == doctest::Approx(32));
  CHECK(vision::detections(maps, anchors, Letterbox::fit(64, 128, 32, 64), {.most = 1}).value().size() == 1);
  CHECK(vision::detections(maps, anchors, Letterbox::fit(64, 128, 32, 64), {.score = 0.99f}).value().empty());
}
