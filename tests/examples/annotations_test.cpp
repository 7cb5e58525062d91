#include "../../examples/common/annotations.hpp"

#include "files.hpp"
#include "support.hpp"

#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using examples::parse_voc;
using examples::parse_yolo;
using qcnet::test::contains;
using qcnet::vision::Box;

namespace {

std::string object(const std::string& name, const std::string& box) {
  return "<object><name>" + name + "</name><pose>Unspecified</pose><bndbox>" + box + "</bndbox></object>";
}
std::string corners(const std::string& x0, const std::string& y0, const std::string& x1,
                    const std::string& y1) {
  return "<xmin>" + x0 + "</xmin><ymin>" + y0 + "</ymin><xmax>" + x1 + "</xmax><ymax>" + y1 + "</ymax>";
}
std::string voc_problem(const std::string& objects) {
  const auto parsed = parse_voc("<annotation>" + objects + "</annotation>");
  return parsed.ok() ? "" : parsed.error().message();
}
std::string yolo_problem(const std::string& text) {
  const auto parsed = parse_yolo(text, 3, 100, 200);
  return parsed.ok() ? "" : parsed.error().message();
}

}  // namespace

TEST_CASE("A VOC annotation") {
  // As labelImg writes it, with a byte order mark, a size that is wrong and parts in any order.
  const auto objects =
      parse_voc(
          "\xEF\xBB\xBF<?xml version=\"1.0\"?>\r\n<annotation>\r\n\t<filename>other.jpg</filename>"
          "<size><width>0</width></size>" +
          object("RBC", corners("78", "336", "184", "435")) +
          object(" dog &amp; cat\n", corners(" 1.5 ", "2", "640", "\n480\n")) +
          object("RBC", corners("504", "337", "504", "337")) +
          object("RBC", "<ymax>4</ymax><xmax>3</xmax><xmin>-1</xmin><ymin>2</ymin>") +
          "<segmented>0</segmented></annotation>")
          .value();
  REQUIRE(objects.size() == 4);
  CHECK(objects[0].name == "RBC");
  CHECK(objects[0].box == Box{78, 336, 184, 435});
  CHECK(objects[1].name == "dog & cat");
  CHECK(objects[1].box == Box{1.5f, 2, 640, 480});
  CHECK(objects[2].box == Box{504, 337, 504, 337});
  CHECK(objects[3].box == Box{-1, 2, 3, 4});
  CHECK(parse_voc("<annotation/>").value().empty());
}

TEST_CASE("Malformed VOC annotations say what is wrong and where") {
  for (const char* text :
       {"", "no xml", "<annotation>", "<annotation><object></annotation>", "<annotation", "\x89PNG"})
    CHECK_MESSAGE(contains(parse_voc(text).error().message(), "not well-formed XML: "), text);
  CHECK(parse_voc("<annotation><object></annotation>").error().message() ==
        "not well-formed XML: Start-end tags mismatch at byte 22");
  CHECK(parse_voc("<html></html>").error().message() ==
        "not a VOC annotation: its outermost element is not <annotation>");
  CHECK(voc_problem("<object/>") == "object 1 has no name");
  CHECK(voc_problem("<object><name> </name></object>") == "object 1 has no name");
  CHECK(voc_problem("<object><name>RBC</name></object>") == "object 1 (RBC) has no bndbox");
  const std::string good = object("RBC", corners("1", "2", "3", "4"));
  CHECK(voc_problem(good + object("WBC", "<xmin>1</xmin>")) ==
        "object 2 (WBC) has a bndbox whose ymin is no number: \"\"");
  for (const char* number : {"", "x", "1x", "nan", "inf", "-inf", "1e99", "1,5", "0x1", "1 2"})
    CHECK(voc_problem(object("RBC", corners("1", "2", number, "4"))) ==
          "object 1 (RBC) has a bndbox whose xmax is no number: \"" + std::string(number) + "\"");
  CHECK(voc_problem(object("RBC", corners("3", "2", "1", "4"))) ==
        "object 1 (RBC) has a bndbox that ends before it begins");
  CHECK(voc_problem(object("RBC", corners("1", "4", "3", "2"))) ==
        "object 1 (RBC) has a bndbox that ends before it begins");
  CHECK(examples::read_voc("no/such.xml").error().message() == "no/such.xml: cannot be opened");
  CHECK(examples::read_voc("/").error().message() == "/: cannot be read");
  const TemporaryFile file("bad.xml", "<annotation><object/></annotation>");
  CHECK(examples::read_voc(file.path).error().message() == file.path + ": object 1 has no name");
}

TEST_CASE("No cut of a VOC annotation passes for the whole, nor does deep nesting crash") {
  const std::string text = "<annotation>" + object("RBC", corners("1", "2", "3", "4")) + "</annotation>";
  for (std::size_t n = 0; n < text.size(); ++n)
    if (parse_voc(text.substr(0, n)).ok()) FAIL_CHECK(n << " bytes");
  std::string deep = "<annotation>";
  for (int i = 0; i < 100000; ++i) deep += "<object>";
  CHECK_FALSE(parse_voc(deep).ok());
  for (int i = 0; i < 100000; ++i) deep += "</object>";
  CHECK(parse_voc(deep + "</annotation>").error().message() == "object 1 has no name");
}

TEST_CASE("A YOLO text") {
  const auto objects =
      parse_yolo("0 0.5 0.5 1 1\r\n2\t0.25  0.5 0.1 0.2 \n\n1 0 0 0.5 0.5", 3, 100, 200).value();
  REQUIRE(objects.size() == 3);
  CHECK(objects[0].label == 0);
  CHECK(objects[0].box == Box{0, 0, 200, 100});
  CHECK(objects[1].label == 2);
  CHECK(objects[1].box == Box{40, 40, 60, 60});
  CHECK(objects[2].box == Box{-50, -25, 50, 25});
  CHECK(parse_yolo("", 3, 1, 1).value().empty());
  CHECK(parse_yolo(" \n\n", 3, 1, 1).value().empty());
}

TEST_CASE("Malformed YOLO texts say in which line") {
  CHECK(yolo_problem("0 0.5 0.5 1 1\n0 0.5 0.5 1\n") ==
        "line 2: expected a class, x, y, width and height, found 4 numbers");
  CHECK(yolo_problem("0 0.5 0.5 1 1 0.9") ==
        "line 1: expected a class, x, y, width and height, found 6 numbers");
  CHECK(yolo_problem("\n\nRBC 0.5 0.5 1 1") == "line 3: no number: \"RBC\"");
  CHECK(yolo_problem("0 0.5 nan 1 1") == "line 1: no number: \"nan\"");
  for (const char* label : {"3", "-1", "0.5", "1e30"})
    CHECK(yolo_problem(std::string(label) + " 0.5 0.5 1 1") ==
          "line 1: the class is not a whole number from 0 to 2");
  for (const char* box : {"1.1 0.5 1 1", "0.5 -0.1 1 1", "0.5 0.5 120 80", "0.5 0.5 1 -1"})
    CHECK(yolo_problem(std::string("0 ") + box) == "line 1: x, y, width and height are not all from 0 to 1");
  const TemporaryFile file("bad.txt", "x");
  CHECK(examples::read_yolo(file.path, 3, 1, 1).error().message() ==
        file.path + ": line 1: no number: \"x\"");
  CHECK(examples::read_yolo("no/such.txt", 3, 1, 1).error().message() == "no/such.txt: cannot be opened");
}
