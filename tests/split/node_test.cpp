#include "allocations.hpp"
#include "support.hpp"
#include "weights_file.hpp"

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <qcnet/bits/pack.hpp>
#include <qcnet/node.hpp>

using namespace qcnet;
using test::contains;
using test::golden_path;
using test::WeightsFile;

namespace {

Result<Node> load_node(const WeightsFile& file, Verify verify = Verify::yes) {
  return file.with([&](const io::Safetensors& weights) { return Node::load(weights, verify); });
}

vision::Image picture(const WeightsFile& golden) {
  const Tensor pixels = golden.tensor("picture");
  vision::Image image{pixels.shape()[0], pixels.shape()[1], pixels.shape()[2], {}};
  for (const float x : pixels.span()) image.pixels.push_back(static_cast<std::uint8_t>(x));
  return image;
}

bool same_bits(ConstBitplaneView a, ConstBitplaneView b) {
  return a.shape == b.shape && std::equal(a.bytes().begin(), a.bytes().end(), b.bytes().begin());
}

}  // namespace

TEST_CASE("a node sends the bits that PyTorch computes") {
  for (const char* name : {"tiny-layer2", "tiny-relu", "tiny-vit", "tiny-conv_proj", "tiny-convnext",
                           "tiny-encoder", "tiny-token-encoder"}) {
    CAPTURE(name);
    const WeightsFile golden = WeightsFile::golden(std::string(name) + ".golden");
    Node node = Node::load(golden_path(std::string(name) + ".node")).value();
    const vision::Image image = picture(golden);
    const Tensor map(node.features(image).value());
    CHECK(test::relative_difference(map, golden.tensor("map")) < 1e-5);

    const Frame frame = node.encode(image).value();
    CHECK(frame.model_hash() == node.deployment().hash);
    CHECK(frame.map_count() == 1);
    CHECK(frame.name(0) == node.deployment().cut);
    CHECK(frame.shape(0) == map.shape());
    CHECK(Frame::parse(frame.bytes()).ok());
    // Exactly the bits of its own float map; PyTorch's too, for no value here lies next to its threshold.
    CHECK(same_bits(frame.bits(0), binarize(map, node.thresholds())));
    const Tensor ones = golden.tensor("bits");
    CHECK(same_bits(frame.bits(0), binarize(ones, std::vector<float>(ones.shape().channels(), 0.5f))));

    // The same from the preprocessed input.
    Frame second = node.make_frame();
    CHECK(node.encode_into(ConstTensorView(golden.tensor("input")), second).ok());
    CHECK(same_bits(second.bits(0), frame.bits(0)));
    CHECK(frame.sequence() == 1);
    CHECK(second.sequence() == 2);
    // A picture's size travels; that of an input is not known unless it is said.
    CHECK(frame.picture().width == image.width);
    CHECK(frame.picture().height == image.height);
    CHECK(second.picture() == PictureSize{});
    CHECK(node.encode_into(ConstTensorView(golden.tensor("input")), second, {640, 480}).ok());
    CHECK(Frame::parse(second.bytes()).value().picture() == PictureSize{640, 480});
  }
}

TEST_CASE("a node may know one family alone, and then refuses the others' files") {
  const auto load = [](const char* name, models::Loader& model) {
    return Node::load(golden_path(std::string(name) + ".node"), Verify::yes, {.fast = false}, model);
  };
  CHECK(load("tiny-layer2", models::resnet).ok());
  CHECK(load("tiny-vit", models::vit).ok());
  CHECK_FALSE(load("tiny-vit", models::resnet).ok());
  CHECK_FALSE(load("tiny-layer2", models::vit).ok());
}

TEST_CASE("a node's head is computed directly, and by Winograd's algorithm if told") {
  const std::string path = golden_path("tiny-layer2.node");
  Node direct = Node::load(path).value(), fast = Node::load(path, Verify::yes, Arithmetic{}).value();
  CHECK(direct.memory().weights == direct.head().network().weight_bytes());
  CHECK(fast.memory().weights > direct.memory().weights);
  const vision::Image image = picture(WeightsFile::golden("tiny-layer2.golden"));
  const Tensor map(direct.features(image).value());
  CHECK_FALSE(test::identical(fast.features(image).value(), map));
  CHECK(test::relative_difference(fast.features(image).value(), map) < 1e-5);
  CHECK(same_bits(fast.encode(image).value().bits(0), direct.encode(image).value().bits(0)));
}

TEST_CASE("a node whose last layer cannot threshold in its epilogue sends the same bits") {
  // The cut moved behind the pooling of the 7x7 stem.
  WeightsFile file = WeightsFile::golden("tiny-relu.node");
  file.set_metadata("qcnet.cut", "maxpool").set_metadata("qcnet.feature", "4 6 20").drop({"qcnet.check"});
  Node node = load_node(file).value();
  CHECK_FALSE(node.head().emits_bits());
  const vision::Image image = picture(WeightsFile::golden("tiny-relu.golden"));
  const Tensor map(node.features(image).value());
  CHECK(map.shape() == Shape{1, 4, 6, 20});
  CHECK(same_bits(node.encode(image).value().bits(0), binarize(map, node.thresholds())));
}

TEST_CASE("a node of several bits a feature, or a component, sends the planes that PyTorch computes") {
  struct Case {
    std::string name;
    std::vector<std::size_t> planes;
  };
  const Case cases[] = {{"tiny-codes", {7, 7, 7}},         {"tiny-token-codes", {10, 10, 10, 10}},
                        {"tiny-components", {6, 4, 2}},    {"tiny-sum", {9, 5}},
                        {"tiny-patches", {12, 2}},         {"tiny-patches-convnext", {10, 2}},
                        {"tiny-token-components", {10, 5}}};
  for (const Case& of : cases) {
    const std::string& name = of.name;
    CAPTURE(name);
    const WeightsFile golden = WeightsFile::golden(name + ".golden");
    Node node = Node::load(golden_path(name + ".node")).value();
    const std::vector<std::size_t>& planes = node.deployment().planes;
    CHECK(planes == of.planes);
    const vision::Image image = picture(golden);
    const Tensor map(node.features(image).value()), ones = golden.tensor("bits");
    CHECK(test::relative_difference(map, golden.tensor("map")) < 1e-5);
    const Frame frame = node.encode(image).value();
    CHECK(frame.shape(0) == CodePlanes::planes_of(map.shape(), planes));
    CHECK(same_bits(frame.bits(0), binarize(ones, std::vector<float>(ones.shape().channels(), 0.5f))));
    CHECK(Frame::parse(frame.bytes()).ok());
    CHECK(node.memory().frame == frame.bytes().size());
  }
}

TEST_CASE("a node's frame is the same for any number of threads") {
  for (const std::string name : {"tiny-layer2", "tiny-vit", "tiny-convnext", "tiny-encoder", "tiny-codes"}) {
    CAPTURE(name);
    Node node = Node::load(golden_path(name + ".node")).value();
    const vision::Image image = picture(WeightsFile::golden(name + ".golden"));
    const Frame expected = node.encode(image).value();
    for (const int count : {1, 2, 3}) {
      test::Threads threads(count);
      CHECK(same_bits(node.encode(image).value().bits(0), expected.bits(0)));
    }
  }
}

TEST_CASE("a large picture, for which threads do share the work, gives the same frame") {
  struct Case {
    std::string name, input, feature;
  };
  const Case cases[] = {{"tiny-layer2", "256 224 3", "128 112 12"},
                        {"tiny-convnext", "320 288 3", "160 144 12"},
                        {"tiny-encoder", "160 200 3", "160 200 7"},
                        {"tiny-codes", "160 200 3", "160 200 7"}};
  for (const Case& of : cases) {
    CAPTURE(of.name);
    WeightsFile file = WeightsFile::golden(of.name + ".node");
    file.set_metadata("qcnet.input", of.input).set_metadata("qcnet.feature", of.feature);
    Node node = load_node(file.drop({"qcnet.check"})).value();
    REQUIRE(is_worth_threads(node.head().multiply_adds()));
    const Tensor input = test::random_tensor(node.head().input_shape(), 1);
    Frame expected = node.make_frame(), frame = node.make_frame();
    test::Threads one(1);
    node.encode_into(ConstTensorView(input), expected).value();
    for (const int count : {2, 3}) {
      test::Threads threads(count);
      node.encode_into(ConstTensorView(input), frame).value();
      CHECK(same_bits(frame.bits(0), expected.bits(0)));
    }
  }
}

TEST_CASE("a node numbers its frames from 1, or from where it is told to") {
  static_assert(!std::is_copy_constructible_v<Node> && std::is_move_constructible_v<Node>);
  Node node = Node::load(golden_path("tiny-layer2.node")).value();
  const vision::Image image = picture(WeightsFile::golden("tiny-layer2.golden"));
  CHECK(node.encode(image).value().sequence() == 1);
  CHECK(node.encode(image).value().sequence() == 2);
  node.number_from(1'764'000'000'000);
  CHECK(node.encode(image).value().sequence() == 1'764'000'000'000);
  CHECK(node.encode(image).value().sequence() == 1'764'000'000'001);
}

TEST_CASE("a node says what it needs") {
  const Node node = Node::load(golden_path("tiny-layer2.node")).value();
  const Node::Memory memory = node.memory();
  CHECK(memory.weights > 4 * 12 * 12 * 9);
  CHECK(memory.activations >= 4 * (16 * 14 * 3 + 2 * 16 * 14 * 6));
  CHECK(memory.frame == node.make_frame().bytes().size());
}

TEST_CASE("what is wrong with a node's file or call is said plainly") {
  const WeightsFile good = WeightsFile::golden("tiny-layer2.node");
  const auto said = [](const WeightsFile& file) {
    const auto node = load_node(file);
    return node.ok() ? "no error" : node.error().message();
  };
  CHECK(said(good) == "no error");
  CHECK(said(WeightsFile::golden("tiny-layer2-qcnet1.server")) == "is a server file, expected a node file");
  CHECK(
      contains(Node::load(golden_path("absent")).error().message(), "absent.safetensors: cannot be opened"));
  CHECK(contains(Node::load(golden_path("tiny-layer2-qcnet1.server")).error().message(),
                 "tiny-layer2-qcnet1.server.safetensors: is a server file"));
  CHECK(said(WeightsFile(good).set_metadata("qcnet.cut", "layer3")) ==
        "there is no cut point \"layer3\"; this network has: relu, layer1.0, layer1, layer2.0.add, layer2.0, "
        "layer2.1, "
        "layer2");
  CHECK(said(WeightsFile(good).set_metadata("qcnet.feature", "8 7 13")) ==
        "the head computes [1, 8, 7, 12], but metadata \"qcnet.feature\" says [1, 8, 7, 13]");
  CHECK(contains(said(WeightsFile(good)
                          .set_metadata("qcnet.input", "16 14 1")
                          .set_metadata("qcnet.mean", "0")
                          .set_metadata("qcnet.std", "1")),
                 "conv1: expected 3 input channels"));
  const std::size_t wide = sizeof(std::size_t) > 4 ? 16384 : 2;
  WeightsFile huge = good;
  huge.set_metadata("qcnet.input", "8192 8192 1")
      .set_metadata("qcnet.mean", "0")
      .set_metadata("qcnet.std", "1");
  huge.drop({"layer1", "layer2"}).set_metadata("qcnet.cut", "relu").set("conv1.weight", {wide, 1, 3, 3});
  for (const char* part : {"weight", "bias", "running_mean", "running_var"})
    huge.set(std::string("bn1.") + part, {wide});
  CHECK(contains(said(huge), "conv1: an output [1, 8192, 8192, " + std::to_string(wide) + "] is more than"));
  CHECK(said(WeightsFile(good).drop({"qcnet.thresholds"})) == "qcnet.thresholds: there is no such tensor");
  CHECK(said(WeightsFile(good).set("qcnet.thresholds", {11})) ==
        "qcnet.thresholds: expected shape [12], found [11]");
  CHECK(said(WeightsFile(good).drop({"layer1.0.conv2"})) == "layer1.0.conv2.weight: there is no such tensor");
  CHECK(contains(said(WeightsFile(good).drop({"qcnet.check.map"})),
                 "qcnet.check.map: there is no such tensor"));
  CHECK(contains(said(WeightsFile(good).set("qcnet.check.input", {1, 3, 14, 16})),
                 "qcnet.check.input: expected shape [1, 3, 16, 14]"));
  CHECK(contains(said(WeightsFile(good).set("qcnet.check.input", {1, 3, 5, 7})), "fills it by repetition"));

  // A weight that was changed after the export: found by the check input, unless nobody asks.
  const WeightsFile tampered = WeightsFile(good).poke("layer2.0.bn1.bias", 3, 5.0f);
  CHECK(contains(said(tampered), "qcnet.check.map: differs by"));
  CHECK(contains(said(tampered), "the weights are not what was exported"));
  CHECK(load_node(tampered, Verify::no).ok());

  Node node = load_node(good).value();
  Frame frame = node.make_frame();
  CHECK(node.encode_into(ConstTensorView(Tensor({1, 16, 15, 3})), frame).error().message() ==
        "expected an input [1, 16, 14, 3], found [1, 16, 15, 3]");
  Node other = Node::load(golden_path("tiny-relu.node")).value();
  Frame foreign = other.make_frame();
  CHECK(node.encode_into(ConstTensorView(Tensor({1, 16, 14, 3})), foreign).error().message() ==
        "the frame was not made by this node's make_frame(), or it was moved away");
  const MapSpec turned[] = {{"layer2", {1, 7, 8, 12}}};
  Frame of_other_shape = Frame::make(node.deployment().hash, turned).value();
  CHECK(contains(node.encode_into(ConstTensorView(Tensor({1, 16, 14, 3})), of_other_shape).error().message(),
                 "was not made by this node"));
  const Frame taken = std::move(frame);
  CHECK(contains(node.encode_into(ConstTensorView(Tensor({1, 16, 14, 3})), frame).error().message(),
                 "it was moved away"));
  frame = taken;
  const Node gone = std::move(other);
  CHECK(other.encode_into(ConstTensorView(Tensor({1, 16, 14, 3})), foreign).error().message() ==
        "the node was moved away");
  CHECK(node.encode_into(ConstTensorView(Tensor({1, 16, 14, 3})), frame, {640, 0}).error().message() ==
        "the picture of a frame is given a width or a height of 0 pixels, not both");
  CHECK_FALSE(node.encode(vision::Image{}).ok());
  CHECK_FALSE(node.features(vision::Image{2, 2, 3, {1, 2}}).ok());
  CHECK(node.encode(vision::Image{1, 300, 1, std::vector<std::uint8_t>(300)}).ok());
  CHECK(node.encode(vision::Image{1, 65535, 1, std::vector<std::uint8_t>(65535)}).ok());
  CHECK(node.encode(vision::Image{65536, 1, 1, std::vector<std::uint8_t>(65536)}).error().message() ==
        "a picture of 1 x 65536 pixels is too large: a frame can say sizes up to 65535");
  CHECK(node.encode(vision::Image{1, 65536, 1, std::vector<std::uint8_t>(65536)}).error().message() ==
        "a picture of 65536 x 1 pixels is too large: a frame can say sizes up to 65535");
}

TEST_CASE("a check input may be a piece that fills the input by repetition") {
  WeightsFile file;
  file.set("qcnet.check.input", {1, 2, 2, 1}, {1, 2, 3, 4});  // NCHW
  const auto load = [](const io::Safetensors& from) { return load_check_input(from, {1, 4, 3, 2}); };
  const Tensor input = file.with(load).value();
  for (std::size_t i = 0; i < input.span().size(); ++i)
    CHECK(input[i] == static_cast<float>(1 + i % 2 * 2 + i / 6 % 2));
  CHECK(contains(file.set("qcnet.check.input", {1, 2, 3, 1}).with(load).error().message(), "[1, 2, 4, 3]"));
  CHECK(contains(file.set("qcnet.check.input", {2, 1}).with(load).error().message(), "[1, 2, 4, 3]"));
}
