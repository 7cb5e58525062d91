#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <qcnet/vision/nms.hpp>

#include <doctest/doctest.h>

using qcnet::vision::Box;
using qcnet::vision::Detection;
using qcnet::vision::iou;
using qcnet::vision::non_maximum_suppression;

namespace {

std::vector<Detection> random_detections(std::size_t count, std::size_t classes, std::uint32_t seed) {
  std::mt19937 engine(seed);
  std::uniform_real_distribution<float> place(0, 200), side(10, 60);
  std::vector<Detection> detections(count);
  for (Detection& d : detections) {
    const float x = place(engine), y = place(engine);
    d = {engine() % classes,
         static_cast<float>(engine() % 50) / 50,
         {x, y, x + side(engine), y + side(engine)}};
  }
  return detections;
}

// Straight from the definition: again and again the best that is left goes out, with all that it suppresses.
std::vector<Detection> reference(std::vector<Detection> left, double most_iou) {
  std::vector<Detection> kept;
  while (!left.empty()) {
    const Detection best = *std::max_element(left.begin(), left.end(), [](const auto& a, const auto& b) {
      if (a.score != b.score) return a.score < b.score;
      if (a.label != b.label) return a.label > b.label;
      return a.box.x0 > b.box.x0;
    });
    kept.push_back(best);
    std::erase_if(left, [&](const Detection& d) {
      return d == best || (d.label == best.label && iou(d.box, best.box) > most_iou);
    });
  }
  return kept;
}

}  // namespace

TEST_CASE("Of boxes that overlap the best is kept, class by class") {
  const Box box{0, 0, 10, 10}, half{0, 0, 10, 5}, away{50, 50, 60, 60};
  const std::vector<Detection> kept = non_maximum_suppression(
      {{0, 0.6f, half}, {0, 0.9f, box}, {1, 0.7f, box}, {0, 0.8f, away}, {1, 0.5f, box}}, 0.45, 100);
  CHECK(kept == std::vector<Detection>{{0, 0.9f, box}, {0, 0.8f, away}, {1, 0.7f, box}});
  // An IoU of just the threshold is not above it.
  CHECK(non_maximum_suppression({{0, 0.9f, box}, {0, 0.8f, half}}, 0.5, 100).size() == 2);
}

TEST_CASE("Nothing, one and the most") {
  CHECK(non_maximum_suppression({}, 0.5, 100).empty());
  const std::vector<Detection> one{{3, 0.5f, {0, 0, 1, 1}}};
  CHECK(non_maximum_suppression(one, 0.5, 100) == one);
  CHECK(non_maximum_suppression(one, 0.5, 0).empty());
  const auto all = non_maximum_suppression(random_detections(500, 3, 1), 0.45, SIZE_MAX);
  const auto some = non_maximum_suppression(random_detections(500, 3, 1), 0.45, 20);
  REQUIRE(all.size() > 20);
  CHECK(std::vector(all.begin(), all.begin() + 20) == some);
}

TEST_CASE("The definition, word for word, whatever the order of the input") {
  for (const std::size_t count : {2u, 7u, 100u, 1000u})
    for (const std::size_t classes : {1u, 5u}) {
      CAPTURE(count);
      auto detections = random_detections(count, classes, static_cast<std::uint32_t>(count + classes));
      const auto expected = reference(detections, 0.45);
      CHECK(non_maximum_suppression(detections, 0.45, SIZE_MAX) == expected);
      std::shuffle(detections.begin(), detections.end(), std::mt19937(3));
      CHECK(non_maximum_suppression(detections, 0.45, SIZE_MAX) == expected);
    }
}

TEST_CASE("A hundred thousand boxes") {
  const auto kept = non_maximum_suppression(random_detections(100000, 80, 9), 0.45, 300);
  REQUIRE(kept.size() == 300);
  for (std::size_t i = 0; i < kept.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      if (kept[i].score > kept[j].score) FAIL_CHECK("not sorted");
      if (kept[i].label == kept[j].label && iou(kept[i].box, kept[j].box) > 0.45)
        FAIL_CHECK("an overlap is left");
    }
}

TEST_CASE("A box with a coordinate that is NaN is none, however many there are") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<Detection> detections;
  for (std::size_t i = 0; i < 100; ++i) {  // without care an order with cycles: each is before the next
    detections.push_back({0, 0.5f, {nan, 1, 9, 9}});
    detections.push_back({0, 0.5f, {1, 0, 9, 9}});
    detections.push_back({0, 0.5f, {0, 2, 9, nan}});
  }
  CHECK(non_maximum_suppression(detections, 0.5, 10) == std::vector<Detection>{{0, 0.5f, {1, 0, 9, 9}}});
}
