#include "support.hpp"
#include "weights_file.hpp"

#include <string>
#include <utility>
#include <vector>

#include <qcnet/split/deployment.hpp>

using namespace qcnet;
using test::contains;
using test::WeightsFile;

namespace {

Result<Deployment> read(const WeightsFile& file, std::string_view role) {
  return file.with([&](const io::Safetensors& weights) { return Deployment::read(weights, role); });
}

}  // namespace

TEST_CASE("a deployment file describes itself") {
  const Deployment node = read(WeightsFile::golden("tiny-layer2.node"), "node").value();
  CHECK(node.name == "tiny-layer2");
  CHECK(node.role == "node");
  CHECK(node.cut == "layer2");
  CHECK(node.method.empty());
  CHECK(node.feature == Shape{1, 8, 7, 12});
  CHECK(node.activation == kernels::Activation::relu);
  CHECK(node.preprocess.output_shape() == Shape{1, 16, 14, 3});
  CHECK(node.preprocess.resize == 16);
  CHECK(node.preprocess.mean == std::vector<float>{0.48f, 0.45f, 0.4f});
  CHECK(node.classes.size() == 7);
  CHECK(node.classes.front() == "one");
  const Deployment server = read(WeightsFile::golden("tiny-layer2-qcnet1.server"), "server").value();
  CHECK(server.method == "qcnet1");
  CHECK(server.hash == node.hash);
  CHECK(server.hash != 0);
  CHECK(read(WeightsFile::golden("tiny-relu.node"), "node").value().hash != node.hash);

  // A whole model has no cut.
  WeightsFile whole = WeightsFile::golden("tiny-layer2.node");
  for (const char* key : {"qcnet.cut", "qcnet.hash", "qcnet.feature", "qcnet.activation"})
    whole.metadata.erase(key);
  const Deployment model = read(whole.set_metadata("qcnet.role", "model"), "model").value();
  CHECK(model.cut.empty());
  CHECK_THROWS(model.frame_maps());
}

TEST_CASE("maps that cross beside the cut's own have keys with their names behind") {
  WeightsFile file = WeightsFile::golden("tiny-layer2.node");
  const Deployment one = read(file, "node").value();
  REQUIRE(one.maps().size() == 1);
  CHECK(one.maps()[0].name == "layer2");
  CHECK(one.maps()[0].suffix.empty());
  CHECK(one.maps()[0].shape == Shape{1, 8, 7, 12});

  file.set_metadata("qcnet.beside", "b a.1");
  const auto said = [&] { return read(file, "node").error().message(); };
  CHECK(contains(said(), "\"qcnet.feature.b\" is missing"));
  file.set_metadata("qcnet.feature.b", "2 3 4").set_metadata("qcnet.feature.a.1", "5 6");
  CHECK(contains(said(), "\"qcnet.activation.b\" is missing"));
  file.set_metadata("qcnet.activation.b", "identity").set_metadata("qcnet.activation.a.1", "relu");
  const std::vector<CutMap> maps = read(file, "node").value().maps();
  REQUIRE(maps.size() == 3);
  CHECK(maps[0].activation == kernels::Activation::relu);
  CHECK(maps[1].name == "b");
  CHECK(maps[1].shape == Shape{1, 2, 3, 4});
  CHECK(maps[1].activation == kernels::Activation::none);
  CHECK(maps[2].suffix == ".a.1");
  CHECK(maps[2].shape == Shape{1, 5, 6});
  CHECK(maps[2].activation == kernels::Activation::relu);
  const std::vector<std::string> bad_names = {
      " ", "b  a.1", " b", "b,a.1", "b\n", "\x1b[2J", "b " + std::string(65, 'a')};
  for (const std::string& bad : bad_names) {
    file.set_metadata("qcnet.beside", bad);
    CHECK(contains(said(),
                   "metadata \"qcnet.beside\" must be names separated by single spaces, each of 1 to 64"));
  }
  std::string many = "a";
  for (std::size_t i = 0; i < Frame::max_maps; ++i) many += " a";
  file.set_metadata("qcnet.beside", many);
  CHECK(said() == "metadata \"qcnet.beside\" names more maps than a frame carries, 255");
}

TEST_CASE("a wrong role or version is an error that says which") {
  const WeightsFile good = WeightsFile::golden("tiny-layer2.node");
  CHECK(read(good, "server").error().message() == "is a node file, expected a server file");
  CHECK(read(WeightsFile(good).set_metadata("qcnet.format", "2"), "node").error().message() ==
        "deployment format 2 is not supported, this build reads format 1");
  CHECK(read(WeightsFile::golden("resnet_basic"), "node").error().message() ==
        "metadata \"qcnet.format\" is missing; is this a file made by qcnet's export?");
  CHECK(read(WeightsFile().set_metadata("qcnet.role", "entropy"), "node").error().message() ==
        "holds entropy models, expected a node file");
}

TEST_CASE("what a hostile file says about itself reaches the terminal without its control characters") {
  const WeightsFile node = WeightsFile::golden("tiny-layer2.node");
  CHECK(read(WeightsFile(node).set_metadata("qcnet.role", "\x1b[2J"), "node").error().message() ==
        "is a ?[2J file, expected a node file");
  WeightsFile file = WeightsFile::golden("tiny-layer2-qcnet1.server");
  file.set_metadata("qcnet.name", "a\x1b]0;b\x07")
      .set_metadata("qcnet.method", "\x1b[2J")
      .set_metadata("qcnet.classes", "Gro\xC3\x9F\n\x1b[31mtree\t\n\xE7\x8C\xAB");
  const Deployment about = read(file, "server").value();
  CHECK(about.name == "a?]0;b?");
  CHECK(about.method == "?[2J");
  CHECK(about.classes == std::vector<std::string>{"Gro\xC3\x9F", "?[31mtree?", "\xE7\x8C\xAB"});
}

TEST_CASE("a hash is sixteen digits") {
  CHECK(hash_text(0) == "0000000000000000");
  CHECK(hash_text(0xfedcba9876543210) == "fedcba9876543210");
  const WeightsFile file = WeightsFile::golden("tiny-layer2.node");
  CHECK(hash_text(read(file, "node").value().hash) == file.metadata.at("qcnet.hash"));
}

TEST_CASE("malformed metadata is an error that names the key") {
  const WeightsFile good = WeightsFile::golden("tiny-layer2.node");
  for (const char* key : {"qcnet.role", "qcnet.name", "qcnet.input", "qcnet.resize", "qcnet.mean",
                          "qcnet.std", "qcnet.cut", "qcnet.hash", "qcnet.feature", "qcnet.activation"}) {
    CAPTURE(key);
    WeightsFile file = good;
    file.metadata.erase(key);
    CHECK(read(file, "node").error().message() ==
          "metadata \"" + std::string(key) + "\" is missing; is this a file made by qcnet's export?");
  }
  const auto broken = [&](const char* key, const char* value) {
    CAPTURE(key);
    CAPTURE(value);
    const auto result = read(WeightsFile(good).set_metadata(key, value), "node");
    REQUIRE_FALSE(result.ok());
    CHECK(contains(result.error().message(), key));
  };
  for (const char* value : {"", " ", "16 14", "16 14 3 1", "16,14,3", "16  14 3", "-16 14 3", "16 14 x",
                            "1e1 14 3", "99999999999999999999 14 3", "0x10 14 3", "16 14 0", "0 14 3"})
    broken("qcnet.input", value);
  broken("qcnet.mean", "0.5 0.5");  // the input has three channels
  for (const char* value : {"", "0 7 12", "8", "0 7", "8 7 12 1", "8192 8192 12", "8 7 0", "8.5 7 12"})
    broken("qcnet.feature", value);
  for (const char* value : {"", "0.5", "0.5 0.5 nan", "0.5 0.5 inf", "0.5 0.5 1e99", "0.5 0.5 0.5x"})
    broken("qcnet.mean", value);
  for (const char* value : {"1 1 -nan", "1 1 inf", "1 1"}) broken("qcnet.std", value);
  for (const char* value :
       {"", "0123", "0123456789abcdeg", "0x23456789abcdef", "0123456789abcdef0", "-123456789abcdef"})
    broken("qcnet.hash", value);
  for (const char* value : {"", "ReLU", "gelu"}) broken("qcnet.activation", value);
  for (const char* value : {"", "2", "true", "1 "}) broken("qcnet.letterbox", value);

  // What is not allowed is said together with what is.
  const auto said = [&](const char* key, const std::string& value) {
    return read(WeightsFile(good).set_metadata(key, value), "node").error().message();
  };
  CHECK(
      said("qcnet.input", "16384 16384 3") ==
      "metadata \"qcnet.input\" must be height, width and channels above zero of a map of at most 134217728 "
      "values, found \"16384 16384 3\"");
  CHECK(
      said("qcnet.feature", "0 7") ==
      "metadata \"qcnet.feature\" must be height, width and channels, or count and channels of tokens, above "
      "zero of a map of at most 134217728 values, found \"0 7\"");
  CHECK(said("qcnet.resize", "1 2") == "metadata \"qcnet.resize\" must be 1 whole number, found \"1 2\"");
  CHECK(said("qcnet.mean", "1 nan 1") ==
        "metadata \"qcnet.mean\" must be 3 finite numbers separated by single spaces, found \"1 nan 1\"");
  CHECK(said("qcnet.hash", "12") == "metadata \"qcnet.hash\" must be 16 hexadecimal digits, found \"12\"");
  CHECK(said("qcnet.activation", "leaky") ==
        "metadata \"qcnet.activation\" must be relu or identity, found \"leaky\"");
  CHECK(said("qcnet.letterbox", "2") == "metadata \"qcnet.letterbox\" must be 0 or 1, found \"2\"");
  CHECK(contains(said("qcnet.std", "1 1 0"), "a standard deviation is not positive"));
  CHECK(contains(said("qcnet.resize", "99999"), "preprocessing: "));
  CHECK(said("qcnet.letterbox", "1") == "preprocessing: a letterbox takes no resize, found 16");
}

TEST_CASE("a cut's name is one that a frame can carry") {
  const std::string longest(64, 'c');
  for (const auto& [golden, role] :
       {std::pair{"tiny-layer2.node", "node"}, {"tiny-layer2-qcnet1.server", "server"}}) {
    WeightsFile file = WeightsFile::golden(golden);
    CHECK(read(file.set_metadata("qcnet.cut", longest), role).value().cut == longest);
    for (const std::string& bad : std::vector<std::string>{"", "a b", "\xC3\x9F", longest + "c"})
      CHECK(read(file.set_metadata("qcnet.cut", bad), role).error().message() ==
            "metadata \"qcnet.cut\" must be a name of 1 to 64 letters, digits, '_', '.' and '-', found \"" +
                bad + "\"");
  }
}

TEST_CASE("planes of bits are of the first channels, none of more than the one before") {
  WeightsFile file = WeightsFile::golden("tiny-layer2.node");
  const auto planes = [&] { return read(file, "node").value().planes; };
  using Counts = std::vector<std::size_t>;
  CHECK(planes() == Counts{12});
  CHECK_FALSE(read(file, "node").value().codes);
  for (const auto& [text, counts] : {std::pair<const char*, Counts>{"12", {12}},
                                     {"1", {1}},
                                     {"7 5 5 1", {7, 5, 5, 1}},
                                     {"8 7 6 5 4 3 2 1", {8, 7, 6, 5, 4, 3, 2, 1}}}) {
    const Deployment about = read(file.set_metadata("qcnet.planes", text), "node").value();
    CHECK(about.planes == counts);
    CHECK(about.codes);
    std::size_t bits = 0;
    for (const std::size_t count : counts) bits += count;
    CHECK(about.sent(about.maps()[0]) == Shape{1, 8, 7, bits});
    CHECK(about.frame_maps()[0].shape == Shape{1, 8, 7, bits});
  }

  const auto said = [&](const char* text) {
    return read(file.set_metadata("qcnet.planes", text), "node").error().message();
  };
  for (const char* bad : {"", "5 7", "7 0", "0", "13", "13 2", "9 8 7 6 5 4 3 2 1", " ", "7 five", "7  5",
                          "7,5", "-1", "7.5", "99999999999999999999"})
    CHECK(said(bad) ==
          std::string("metadata \"qcnet.planes\" must be 1 to 8 numbers of channels, from 12 down "
                      "to 1, none above the one before, found \"") +
              bad + "\"");
  file.set_metadata("qcnet.bits", "1");
  CHECK(said("7 5") == "metadata \"qcnet.planes\" and \"qcnet.bits\" exclude each other");
  file.metadata.erase("qcnet.bits");
  file.set_metadata("qcnet.beside", "b");
  CHECK(said("7 5") == "metadata \"qcnet.planes\" and \"qcnet.beside\" exclude each other");
  file.metadata.erase("qcnet.planes");
  file.set_metadata("qcnet.feature.b", "2 3 4").set_metadata("qcnet.activation.b", "relu");
  CHECK(read(file.set_metadata("qcnet.bits", "2"), "node").value().maps()[1].planes == Counts{4, 4});
  CHECK(planes() == Counts{12, 12});
}

TEST_CASE("patches of pixels cross alone, and a server knows how many channels they have") {
  WeightsFile node = WeightsFile::golden("tiny-layer2.node");
  WeightsFile server = WeightsFile::golden("tiny-layer2-qcnet1.server");
  CHECK(read(node, "node").value().patch == 1);
  CHECK(read(node.set_metadata("qcnet.patch", "2"), "node").value().patch == 2);
  CHECK(read(server.set_metadata("qcnet.patch", "2"), "server").value().patch == 2);
  const auto said = [](const WeightsFile& file, const char* role) {
    return read(file, role).error().message();
  };
  for (const char* bad : {"0", "9", "two", ""})
    for (const auto& [file, role] : {std::pair{&node, "node"}, {&server, "server"}})
      CHECK(said(WeightsFile(*file).set_metadata("qcnet.patch", bad), role) ==
            std::string("metadata \"qcnet.patch\" must be a number from 1 to 8, found \"") + bad + "\"");

  // Components of patches may be as many as a node likes, but not what they are made to again.
  node.set_metadata("qcnet.feature", "8 7 11");
  server.set_metadata("qcnet.feature", "8 7 11");
  CHECK(read(node, "node").ok());
  CHECK(said(server, "server") ==
        "metadata \"qcnet.feature\" says 11 channels, which patches of 2 x 2 pixels (\"qcnet.patch\") cannot "
        "have");
  node.set_metadata("qcnet.feature", "56 12");
  CHECK(said(node, "node") ==
        "metadata \"qcnet.feature\" says tokens, of which there are no patches of 2 x 2 pixels "
        "(\"qcnet.patch\")");
  node.set_metadata("qcnet.feature", "8 7 12").set_metadata("qcnet.beside", "b");
  node.set_metadata("qcnet.feature.b", "2 3 4").set_metadata("qcnet.activation.b", "relu");
  CHECK(said(node, "node") == "metadata \"qcnet.patch\" and \"qcnet.beside\" exclude each other");
  CHECK(read(node.set_metadata("qcnet.patch", "1"), "node").ok());
}

TEST_CASE("a detector's file asks for a letterbox") {
  WeightsFile file = WeightsFile::golden("tiny-layer2.node");
  CHECK_FALSE(read(file, "node").value().preprocess.letterbox);
  CHECK_FALSE(read(file.set_metadata("qcnet.letterbox", "0"), "node").value().preprocess.letterbox);
  file.set_metadata("qcnet.letterbox", "1").set_metadata("qcnet.resize", "0");
  CHECK(read(file, "node").value().preprocess.letterbox);
}

TEST_CASE("a map whose features have more bits than memory holds is refused") {
  WeightsFile file = WeightsFile::golden("tiny-layer2.node");
  file.set_metadata("qcnet.feature", "8192 8192 2");
  CHECK(read(file, "node").ok());
  file.set_metadata("qcnet.bits", "2");
  CHECK(contains(read(file, "node").error().message(), "4 bits for each pixel of a map [1, 8192, 8192, 2]"));
}
