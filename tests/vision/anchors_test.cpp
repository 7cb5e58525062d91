#include "support.hpp"
#include "weights_file.hpp"

#include <string>

#include <qcnet/vision/anchors.hpp>

#include <doctest/doctest.h>

using namespace qcnet;
using qcnet::vision::Anchors;
using test::contains;
using test::WeightsFile;

namespace {

Result<Anchors> read(const WeightsFile& file) {
  return file.with(Anchors::read);
}

std::string problem(const char* sizes, const char* masks) {
  const auto anchors = Anchors::parse(sizes, masks);
  return anchors.ok() ? "" : anchors.error().message();
}

}  // namespace

TEST_CASE("Anchors are read from a file's metadata") {
  const Anchors anchors = read(WeightsFile()
                                   .set_metadata("qcnet.anchors", "10.5 14 23 27 37 58 81 82")
                                   .set_metadata("qcnet.masks", "2 3 0 1"))
                              .value();
  REQUIRE(anchors.maps.size() == 2);
  REQUIRE(anchors.maps[0].size() == 2);
  REQUIRE(anchors.maps[1].size() == 2);
  CHECK(anchors.maps[0][0].width == 37);
  CHECK(anchors.maps[0][0].height == 58);
  CHECK(anchors.maps[0][1].width == 81);
  CHECK(anchors.maps[1][0].width == 10.5f);
  CHECK(anchors.maps[1][1].height == 27);
}

TEST_CASE("The published anchors") {
  const Anchors anchors = Anchors::published();
  REQUIRE(anchors.maps.size() == 2);
  REQUIRE(anchors.maps[1].size() == 3);
  CHECK(anchors.maps[0][2].width == 344);
  CHECK(anchors.maps[1][0].width == 23);  // mask 1, not the cfg file's 0
  CHECK(anchors.maps[1][2].height == 82);
}

TEST_CASE("A file without anchors is refused") {
  for (const auto& file : {WeightsFile(), WeightsFile().set_metadata("qcnet.masks", "0 0")})
    CHECK(read(file).error().message() ==
          "metadata \"qcnet.anchors\" is missing, without which a detector's maps are no boxes");
  CHECK(contains(read(WeightsFile().set_metadata("qcnet.anchors", "1 1")).error().message(),
                 "\"qcnet.masks\" is missing"));
}

TEST_CASE("Anchors that make no sense are refused") {
  CHECK(problem("10 14", "0 0").empty());
  for (const char* sizes : {"", "10", "10 14 23", "10,14", "10 x", "nan 1", "10  14"})
    CHECK(problem(sizes, "0 0") ==
          "metadata \"qcnet.anchors\": expected pairs of width and height, found \"" + std::string(sizes) +
              "\"");
  for (const char* sizes : {"0 1", "1 -1", "1 1e30"})
    CHECK(contains(problem(sizes, "0 0"), "\"qcnet.anchors\": a size is not between 0 and 1048576 pixels"));
  for (const char* masks : {"", "0", "0 0 0", "-1 0", "0.5 0", "a b"})
    CHECK(problem("10 14", masks) ==
          "metadata \"qcnet.masks\": expected as many anchors for each of 2 maps, found \"" +
              std::string(masks) + "\"");
  CHECK(problem("10 14", "0 1") ==
        "metadata \"qcnet.masks\": there is no anchor 1, only 1 anchors are known, counted from 0");
  CHECK(contains(problem("\x1b[2J", "0 0"), "\"?[2J\""));
}
