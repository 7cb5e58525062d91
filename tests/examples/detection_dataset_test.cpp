#include "../../examples/common/detection_dataset.hpp"

#include "files.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

using examples::DetectionDataset;
using qcnet::vision::Box;

namespace {

const std::string picture = read_file(QCNET_TEST_DATA "/corpus/image/good/rgb.png");  // 45 x 37

std::string voc(const std::string& name, const std::vector<std::string>& c) {
  return "<annotation><filename>wrong.jpg</filename><size><width>1</width><height>1</height></"
         "size><object><name>" +
         name + "</name><bndbox><xmin>" + c[0] + "</xmin><ymin>" + c[1] + "</ymin><xmax>" + c[2] +
         "</xmax><ymax>" + c[3] + "</ymax></bndbox></object></annotation>";
}

std::string detection_problem(const std::string& path, const std::string& split = "") {
  const auto dataset = DetectionDataset::open(path, split);
  return dataset.ok() ? "" : dataset.error().message();
}

}  // namespace

TEST_CASE("A VOC folder") {
  const TemporaryFolder folder;
  folder.write("Annotations/a.xml", voc("WBC", {"1", "2", "30", "32"}));
  folder.write("Annotations/b.xml", voc("RBC", {"10", "10", "100", "100"}));
  folder.write("Annotations/c.xml", voc("Platelets", {"5", "6", "5", "6"}));
  folder.write("Annotations/d.xml", "<annotation/>");
  for (const char* name : {"a.png", "b.PNG", "c.png", "d.png", "without.png"})
    folder.write(std::string("JPEGImages/") + name, picture);
  folder.write("ImageSets/Main/test.txt", "c\r\nb  1\n\n");
  folder.write("ImageSets/Main/empty.txt", "\n");
  const std::vector<std::string> names{"Platelets", "RBC", "WBC"};

  const DetectionDataset all = DetectionDataset::open(folder.path).value();
  CHECK(all.class_names() == names);
  REQUIRE(all.size() == 4);
  const auto a = all.get(0).value();
  CHECK(a.name == folder.path + "/JPEGImages/a.png");
  CHECK(a.image.width == 45);
  REQUIRE(a.truths.size() == 1);
  CHECK(a.truths[0].label == 2);
  CHECK(a.truths[0].box == Box{1, 2, 30, 32});
  CHECK(a.dropped == 0);
  CHECK(all.get(3)->truths.empty());
  CHECK(all.get(3)->dropped == 0);

  // A split keeps its order and the classes of the whole.
  const DetectionDataset test = DetectionDataset::open(folder.path, "test").value();
  CHECK(test.class_names() == names);
  REQUIRE(test.size() == 2);
  CHECK(test.get(0)->truths.empty());  // a box without area
  CHECK(test.get(0)->dropped == 1);
  CHECK(test.get(1)->truths[0].box == Box{10, 10, 45, 37});  // clipped

  CHECK(detection_problem(folder.path, "empty") == folder.path + ": there are no pictures in it");
  CHECK(detection_problem(folder.path, "dev") == folder.path + "/ImageSets/Main/dev.txt: cannot be opened");
  folder.write("ImageSets/Main/bad.txt", "e");
  CHECK(detection_problem(folder.path, "bad") == folder.path + "/Annotations: there is no e.xml");
  folder.write("Annotations/e.xml", "<annotation/>");
  CHECK(detection_problem(folder.path, "bad") == folder.path + "/JPEGImages: there is no picture e");
  const std::string broken = folder.write("Annotations/f.xml", "<annotation>");
  CHECK(detection_problem(folder.path, "test").starts_with(broken + ": not well-formed XML: "));
  std::filesystem::remove_all(folder.path + "/JPEGImages");
  std::filesystem::remove(broken);
  CHECK(detection_problem(folder.path).starts_with(folder.path + "/JPEGImages: cannot be listed: "));
}

TEST_CASE("A YOLO folder") {
  const TemporaryFolder folder;
  folder.write("classes.txt", "cat\r\nsea lion\n");
  folder.write("images/val/a.png", picture);
  folder.write("images/val/b.png", picture);
  folder.write("images/val/notes.md", "");
  const std::string labels = folder.write("labels/val/a.txt", "1 0.5 0.5 1 1\n0 0.5 0.5 0 0.5\n");
  CHECK(detection_problem(folder.path, "val") ==
        folder.path + "/labels/val/b.txt: there is no such file; a picture of nothing needs an empty one");
  folder.write("labels/val/b.txt", "");

  const DetectionDataset dataset = DetectionDataset::open(folder.path, "val").value();
  CHECK(dataset.class_names() == std::vector<std::string>{"cat", "sea lion"});
  REQUIRE(dataset.size() == 2);
  const auto a = dataset.get(0).value();
  REQUIRE(a.truths.size() == 1);
  CHECK(a.truths[0].label == 1);
  CHECK(a.truths[0].box == Box{0, 0, 45, 37});
  CHECK(a.dropped == 1);
  CHECK(dataset.get(1)->truths.empty());
  // A server knows the picture's size from the frame and has no picture to read.
  std::filesystem::remove(folder.path + "/images/val/a.png");
  CHECK_FALSE(dataset.get(0).ok());
  CHECK(dataset.annotation(0, 370, 90)->truths.at(0).box == Box{0, 0, 90, 370});
  folder.write("images/val/a.png", picture);
  CHECK(DetectionDataset::is_one(folder.path));

  folder.write("labels/val/a.txt", "2 0.5 0.5 1 1");
  CHECK(dataset.get(0).error().message() == labels + ": line 1: the class is not a whole number from 0 to 1");
  CHECK(detection_problem(folder.path) ==
        folder.path + ": there are no pictures in it; if they are in splits, name one: --split test");
  CHECK(detection_problem(folder.path, "dev").starts_with(folder.path + "/images/dev: cannot be listed: "));
  folder.write("classes.txt", "\n");
  CHECK(detection_problem(folder.path, "val") == folder.path + "/classes.txt: names no class");
}

TEST_CASE("Folders without boxes") {
  const TemporaryFolder folder;
  CHECK_FALSE(DetectionDataset::is_one(folder.path));
  CHECK(detection_problem(folder.path) ==
        folder.path + ": neither a VOC folder, with Annotations, nor a YOLO folder, with labels");
  CHECK(detection_problem("no/such/folder").starts_with("no/such/folder: neither a VOC folder"));
}
