#include "vision/golden.hpp"

#include <cmath>
#include <vector>

#include <qcnet/vision/mean_average_precision.hpp>

#include <doctest/doctest.h>

using qcnet::vision::AveragePrecision;
using qcnet::vision::Detection;
using qcnet::vision::GroundTruth;
using qcnet::vision::MeanAveragePrecision;

namespace {

std::vector<Detection> read_detections(GoldenFile& golden) {
  std::vector<Detection> detections(golden.size());
  for (Detection& d : detections) {
    const auto row = golden.read<float>(6);
    d = {static_cast<std::size_t>(row[0]), row[1], {row[2], row[3], row[4], row[5]}};
  }
  return detections;
}

std::vector<GroundTruth> read_truths(GoldenFile& golden) {
  std::vector<GroundTruth> truths(golden.size());
  for (GroundTruth& t : truths) {
    const auto row = golden.read<float>(5);
    t = {static_cast<std::size_t>(row[0]), {row[1], row[2], row[3], row[4]}};
  }
  return truths;
}

void check_equal(const std::optional<AveragePrecision>& found, const std::vector<double>& expected) {
  CHECK(found.has_value() == (expected[0] >= 0));
  if (!found) return;
  CHECK(std::abs(found->at50 - expected[0]) <= 1e-12);
  CHECK(std::abs(found->mean - expected[1]) <= 1e-12);
}

}  // namespace

TEST_CASE("Average precisions are COCO's") {
  GoldenFile golden("average_precision.bin");
  int cases = 0;
  for (; !golden.at_end(); ++cases) {
    CAPTURE(cases);
    const std::size_t classes = golden.size(), pictures = golden.size();
    MeanAveragePrecision precision(classes);
    for (std::size_t i = 0; i < pictures; ++i) {
      const auto detections = read_detections(golden);
      precision.add(detections, read_truths(golden)).value();
    }
    CHECK(precision.pictures() == pictures);
    const auto scores = precision.scores();
    REQUIRE(scores.classes.size() == classes);
    for (std::size_t k = 0; k < classes; ++k) check_equal(scores.classes[k], golden.read<double>(2));
    check_equal(scores.mean, golden.read<double>(2));
  }
  CHECK(cases == 12);
}

TEST_CASE("Without ground truth there is no precision, without detections it is zero") {
  const std::vector<Detection> found{{0, 0.9f, {0, 0, 4, 4}}, {2, 0.9f, {0, 0, 4, 4}}};
  const std::vector<GroundTruth> truth{{0, {0, 0, 4, 4}}, {1, {0, 0, 4, 4}}};
  MeanAveragePrecision precision(3);
  CHECK_FALSE(precision.scores().mean);  // no pictures
  precision.add(found, {}).value();
  CHECK_FALSE(precision.scores().mean);  // nothing but false alarms
  precision.add(found, truth).value();
  const auto scores = precision.scores();
  // The false alarm in the first picture has the score of the right answer in the second and comes before it.
  CHECK(scores.classes[0]->at50 == doctest::Approx(0.5));
  CHECK(scores.classes[1]->at50 == 0);  // never detected
  CHECK_FALSE(scores.classes[2]);       // never there: its false alarms do not count
  CHECK(scores.mean->at50 == doctest::Approx(0.25));
  CHECK(scores.mean->mean == doctest::Approx(0.25));
  CHECK(MeanAveragePrecision(0).scores().classes.empty());
  CHECK_FALSE(MeanAveragePrecision(0).scores().mean);
}

TEST_CASE("A choice of pictures is as if no others had been added") {
  GoldenFile golden("average_precision.bin");
  const std::size_t classes = golden.size(), pictures = golden.size();
  MeanAveragePrecision all(classes), chosen(classes);
  std::vector<std::size_t> choice;
  for (std::size_t i = 0; i < pictures; ++i) {
    const auto detections = read_detections(golden);
    const auto truths = read_truths(golden);
    all.add(detections, truths).value();
    for (std::size_t repeat = 0; repeat < i % 3; ++repeat) {  // none, once, twice
      chosen.add(detections, truths).value();
      choice.push_back(i);
    }
  }
  const auto a = all.scores(choice), b = chosen.scores(), whole = all.scores();
  CHECK(a.mean->mean == b.mean->mean);
  CHECK(a.mean->at50 == b.mean->at50);
  CHECK(a.mean->at50 != whole.mean->at50);
  CHECK_FALSE(all.scores({}).mean);
  choice.push_back(pictures);
  CHECK_THROWS_WITH(all.scores(choice), doctest::Contains("they are numbered from 0"));
}

TEST_CASE("A thousand boxes in one picture") {
  std::vector<Detection> found;
  std::vector<GroundTruth> truth;
  for (int i = 0; i < 1000; ++i) {
    const auto x = static_cast<float>(i) * 10;
    found.push_back({0, static_cast<float>(1000 - i) / 1000, {x, 0, x + 10, 10}});
    truth.push_back({0, {x, 0, x + 10, 10}});
  }
  MeanAveragePrecision precision(1);
  precision.add(found, truth).value();
  // The first hundred count: a recall of 0.1 without a mistake, which 11 of the 101 recalls do not exceed.
  CHECK(precision.scores().mean->mean == doctest::Approx(11.0 / 101));
}

TEST_CASE("Labels without a class and scores without a value are refused") {
  MeanAveragePrecision precision(2);
  const std::vector<Detection> label{{2, 0.5f, {}}}, nan{{0, NAN, {}}};
  const std::vector<GroundTruth> truth{{7, {}}};
  CHECK(precision.add(label, {}).error().message() ==
        "average precision: there is no class 2, only 2 classes are known, counted from 0");
  CHECK(precision.add({}, truth).error().message() ==
        "average precision: there is no class 7, only 2 classes are known, counted from 0");
  CHECK(precision.add(nan, {}).error().message() == "average precision: a detection's score is NaN");
  CHECK(precision.pictures() == 0);
}
