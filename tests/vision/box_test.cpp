#include <cmath>

#include <qcnet/vision/box.hpp>

#include <doctest/doctest.h>

using qcnet::vision::area;
using qcnet::vision::Box;
using qcnet::vision::clip;
using qcnet::vision::iou;

TEST_CASE("Intersection over union") {
  const Box box{10, 20, 30, 60};
  CHECK(area(box) == 800);
  CHECK(iou(box, box) == 1);
  CHECK(iou(box, {10, 20, 20, 60}) == 0.5);
  CHECK(iou({0, 0, 2, 2}, {1, 1, 3, 3}) == 1.0 / 7);
  CHECK(iou(box, {30, 20, 50, 60}) == 0);  // they only touch
  CHECK(iou(box, {100, 100, 101, 101}) == 0);
}

TEST_CASE("A box without inside has no area and overlaps nothing") {
  const Box box{0, 0, 4, 4};
  for (const Box& empty : {Box{2, 2, 2, 3}, Box{2, 2, 3, 2}, Box{3, 3, 1, 1}, Box{3, 0, 1, 4},
                           Box{NAN, 0, 4, 4}, Box{0, 0, NAN, 4}, Box{0, NAN, 4, 4}, Box{0, 0, 4, NAN}}) {
    CHECK(area(empty) == 0);
    CHECK(iou(empty, box) == 0);
    CHECK(iou(box, empty) == 0);
    CHECK(iou(empty, empty) == 0);
  }
}

TEST_CASE("Clipping leaves what lies in the picture") {
  CHECK(clip({1, 2, 3, 4}, 10, 20) == Box{1, 2, 3, 4});
  CHECK(clip({-5, -5, 50, 50}, 10, 20) == Box{0, 0, 20, 10});
  CHECK(area(clip({-5, 0, 0, 10}, 10, 20)) == 0);
  CHECK(area(clip({20, 0, 25, 10}, 10, 20)) == 0);
  for (const Box& nan : {Box{NAN, 0, 4, 4}, Box{0, NAN, 4, 4}, Box{0, 0, NAN, 4}, Box{0, 0, 4, NAN}})
    CHECK(area(clip(nan, 10, 20)) == 0);
  CHECK(clip({-1e30f, -1e30f, 1e30f, 1e30f}, 1, 10000) == Box{0, 0, 10000, 1});
}
