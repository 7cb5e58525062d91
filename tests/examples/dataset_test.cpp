#include "../../examples/common/dataset.hpp"

#include "files.hpp"

#include <filesystem>
#include <string>

#include <doctest/doctest.h>

using examples::Dataset;

namespace {

std::string idx(std::initializer_list<unsigned> words, const std::string& data) {
  std::string bytes;
  for (const unsigned word : words)
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>((word >> shift) & 0xFF);
  return bytes + data;
}

std::string problem(const std::string& path) {
  const auto dataset = Dataset::open(path);
  return dataset.ok() ? "" : dataset.error().message();
}

}  // namespace

TEST_CASE("An idx pair") {
  const TemporaryFolder folder;
  const std::string pixels = "abcdefghijkl";
  const std::string images = folder.write("t-images-idx3-ubyte", idx({0x803, 2, 3, 2}, pixels));
  const std::string labels = folder.write("t-labels-idx1-ubyte", idx({0x801, 2}, {4, 1}));
  const Dataset dataset = Dataset::open(images).value();
  CHECK(dataset.size() == 2);
  CHECK(dataset.class_names() == std::vector<std::string>{"0", "1", "2", "3", "4"});
  const auto sample = dataset.get(1).value();
  CHECK(sample.label == 1);
  CHECK(sample.name == images + "[1]");
  CHECK(sample.image.height == 3);
  CHECK(sample.image.width == 2);
  CHECK(sample.image.channels == 1);
  CHECK(std::string(sample.image.pixels.begin(), sample.image.pixels.end()) == "ghijkl");
  CHECK(dataset.get(2).error().message() == images + ": picture 2 of 2");

  folder.write("t-labels-idx1-ubyte", idx({0x801, 3}, {4, 1, 2}));
  CHECK(problem(images) == images + ": has 2 pictures, but " + labels + " has 3 labels");
  folder.write("t-labels-idx1-ubyte", idx({0x801, 2}, {4}));
  CHECK(problem(images) == labels + ": its header [2] asks for 2 bytes, found 1");
  folder.write("t-labels-idx1-ubyte", "\x1F\x8B compressed");
  CHECK(problem(images) == labels + ": not an uncompressed idx file of 1 dimensions of bytes");
  std::filesystem::remove(labels);
  CHECK(problem(images) == labels + ": cannot be opened");
  folder.write("t-images-idx3-ubyte", idx({0x803, 2, 3, 2}, pixels + "m"));
  CHECK(problem(images).ends_with("its header [2, 3, 2] asks for 12 bytes, found 13"));
  folder.write("t-images-idx3-ubyte", idx({0x803, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, pixels));
  CHECK_FALSE(problem(images).empty());
  folder.write("t-images-idx3-ubyte", idx({0x801, 12}, pixels));
  CHECK(problem(images).ends_with("not an uncompressed idx file of 3 dimensions of bytes"));
  folder.write("t-images-idx3-ubyte", idx({0x803, 0, 3, 2}, ""));
  folder.write("t-labels-idx1-ubyte", idx({0x801, 0}, ""));
  CHECK(problem(images) == images + ": has no pictures");
  CHECK(problem(folder.write("images.gz", "")).find("gunzip") != std::string::npos);
}

TEST_CASE("A folder of classes") {
  const TemporaryFolder folder;
  const std::string pictures = QCNET_TEST_DATA "/corpus/image/good/";
  folder.write("dog/2.PNG", read_file(pictures + "1x1.png"));
  folder.write("dog/10.jpg", read_file(pictures + "420.jpg"));
  folder.write("dog/notes.txt", "not a picture");
  const std::string bad = folder.write("cat/b.bmp", "BM");
  folder.write("cat/a.bmp", read_file(pictures + "rgb.bmp"));
  folder.write("stray.png", "not in a class");
  std::filesystem::create_directories(folder.path + "/eel");
  const Dataset dataset = Dataset::open(folder.path).value();
  CHECK(dataset.class_names() == std::vector<std::string>{"cat", "dog", "eel"});
  REQUIRE(dataset.size() == 4);
  CHECK(dataset.get(0)->name == folder.path + "/cat/a.bmp");
  CHECK(dataset.get(0)->label == 0);
  CHECK(dataset.get(0)->image.width == 45);
  CHECK(dataset.get(1).error().message().starts_with(bad + ": "));
  CHECK(dataset.get(2)->name == folder.path + "/dog/10.jpg");
  CHECK(dataset.get(3)->label == 1);
  CHECK(dataset.get(3)->image.pixels == std::vector<std::uint8_t>{200, 100, 50});
}

TEST_CASE("Paths without pictures") {
  const TemporaryFolder folder;
  CHECK(problem(folder.path) ==
        folder.path + ": no pictures found, expected <class>/<picture>.jpg, .png or .bmp");
  CHECK(problem("no/such/path") == "no/such/path: no such file or folder");
}
