#include "support.hpp"
#include "weights_file.hpp"

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <qcnet/bits/reference.hpp>
#include <qcnet/node.hpp>
#include <qcnet/server.hpp>

using namespace qcnet;
using test::contains;
using test::golden_path;
using test::WeightsFile;

namespace {

Result<Server> load_server(const WeightsFile& file, Server::Options options = {}) {
  return file.with([&](const io::Safetensors& weights) { return Server::load(weights, options); });
}

/// The frame of a golden deployment's picture.
Frame frame_of(const std::string& name) {
  Node node = Node::load(golden_path(name + ".node")).value();
  Frame frame = node.make_frame();
  node.encode_into(ConstTensorView(WeightsFile::golden(name + ".golden").tensor("input")), frame).value();
  return frame;
}

struct Pair {
  std::string name, method, kind;
};
const std::vector<Pair> pairs = {{"tiny-layer2", "lloyd-max", "dequantizer"},
                                 {"tiny-layer2", "qcnet0", "convolutional QCNet"},
                                 {"tiny-layer2", "qcnet1", "convolutional QCNet"},
                                 {"tiny-layer2", "qcnet2", "convolutional QCNet"},
                                 {"tiny-relu", "qcnet", "convolutional QCNet"},
                                 {"tiny-vit", "lloyd-max", "dequantizer"},
                                 {"tiny-vit", "qcnet1", "attention QCNet"},
                                 {"tiny-vit", "qcnet2", "attention QCNet"},
                                 {"tiny-conv_proj", "qcnet", "convolutional QCNet"},
                                 {"tiny-convnext", "lloyd-max", "dequantizer"},
                                 {"tiny-convnext", "qcnet", "convolutional QCNet"},
                                 {"tiny-encoder", "autoencoder", "convolutional QCNet"},
                                 {"tiny-codes", "3-bit", "dequantizer of codes"},
                                 {"tiny-token-codes", "4-bit", "dequantizer of codes"},
                                 {"tiny-token-encoder", "autoencoder", "attention QCNet"},
                                 {"tiny-components", "klt", "linear dequantizer"},
                                 {"tiny-components", "klt-qcnet", "convolutional QCNet"},
                                 {"tiny-sum", "klt", "linear dequantizer"},
                                 {"tiny-sum", "klt-qcnet", "convolutional QCNet"},
                                 {"tiny-patches", "klt", "linear dequantizer"},
                                 {"tiny-patches", "klt-qcnet", "convolutional QCNet"},
                                 {"tiny-patches-convnext", "klt", "linear dequantizer"},
                                 {"tiny-token-components", "klt", "linear dequantizer"},
                                 {"tiny-token-components", "klt-qcnet", "attention QCNet"}};

}  // namespace

TEST_CASE("node and server together answer what PyTorch answers") {
  for (const Pair& pair : pairs) {
    CAPTURE(pair.name);
    CAPTURE(pair.method);
    const WeightsFile golden = WeightsFile::golden(pair.name + ".golden");
    const Frame sent = frame_of(pair.name);
    Server server = Server::load(golden_path(pair.name + "-" + pair.method + ".server")).value();
    CHECK(server.compensator().kind() == pair.kind);
    CHECK(server.deployment().method == pair.method);
    const Frame received = Frame::parse(sent.bytes()).value();
    const Tensor logits(server.decode(received).value());
    CHECK(test::relative_difference(server.features(), golden.tensor(pair.method + ".map")) < 1e-5);
    CHECK(test::relative_difference(logits, golden.tensor(pair.method + ".logits")) < 1e-5);
    CHECK(logits.shape() == Shape{1, server.deployment().classes.size()});

    Server direct =
        Server::load(golden_path(pair.name + "-" + pair.method + ".server"), {.arithmetic = {.fast = false}})
            .value();
    CHECK(test::relative_difference(direct.decode(received).value(), golden.tensor(pair.method + ".logits")) <
          1e-5);
  }
}

TEST_CASE("a server told not to compensate dequantizes with the same levels") {
  const Frame frame = frame_of("tiny-layer2");
  Server plain = load_server(WeightsFile::golden("tiny-layer2-qcnet1.server"), {.compensate = false}).value();
  CHECK(plain.compensator().kind() == "dequantizer");
  plain.decode(frame).value();
  CHECK(test::relative_difference(plain.features(),
                                  WeightsFile::golden("tiny-layer2.golden").tensor("lloyd-max.map")) < 1e-6);
}

TEST_CASE("a frame that was moved away is an error, and a server is no copy of another") {
  static_assert(!std::is_copy_constructible_v<Server> && std::is_move_constructible_v<Server>);
  Frame frame = frame_of(pairs[0].name);
  Server server = Server::load(golden_path(pairs[0].name + "-" + pairs[0].method + ".server")).value();
  Packetizer packetizer = Packetizer::make(frame, 60).value();
  const Frame taken = std::move(frame);
  CHECK(server.decode(frame).error().message() == "the frame was moved away, nothing is in it");
  CHECK_FALSE(server.decode(PartialFrame{frame, taken}).ok());
  CHECK(Packetizer::make(frame, 60).error().message() == "the frame was moved away, nothing is in it");
  CHECK_THROWS(packetizer.cut(frame, 0));
  CHECK(server.decode(taken).ok());

  PacketAssembler assembler = server.make_assembler().value();
  const std::span<const std::byte> packet = packetizer.cut(taken, 0);
  PacketAssembler moved = std::move(assembler);
  CHECK(assembler.add(packet).error().message() == "the packet assembler was moved away");
  CHECK(moved.add(packet).ok());
  const Packetizer other = std::move(packetizer);
  CHECK_THROWS(packetizer.cut(taken, 0));
}

TEST_CASE("a server parses the frames of its node alone") {
  const Server server = Server::load(golden_path("tiny-layer2-qcnet1.server")).value();
  const Frame own = frame_of("tiny-layer2");
  CHECK(server.parse(own.bytes()).value().sequence() == own.sequence());
  CHECK(contains(server.parse(frame_of("tiny-relu").bytes()).error().message(), "from another model"));
  const MapSpec larger[] = {{"layer2", {1, 800, 700, 12}}};  // coded in few bytes, as nothing is set
  Frame bomb = Frame::make(own.model_hash(), larger, Coding::context).value();
  bomb.seal(1);
  CHECK(contains(server.parse(bomb.bytes()).error().message(),
                 "at most " + std::to_string(own.bytes().size()) + " are allowed"));
}

TEST_CASE("node and server compute in bfloat16 if they are asked to") {
  if (!has_bf16) return;
  const Arithmetic rounded{.fast = false, .bf16 = true};
  Node exact_node = Node::load(golden_path("tiny-vit.node")).value();
  Node node = Node::load(golden_path("tiny-vit.node"), Verify::yes, rounded).value();
  CHECK(node.head().network().weight_bytes() < exact_node.head().network().weight_bytes());
  const Frame frame = frame_of("tiny-vit");
  const std::string path = golden_path("tiny-vit-qcnet2.server");
  Server exact = Server::load(path, {.arithmetic = {.fast = false}}).value();
  Server server = Server::load(path, {.arithmetic = rounded}).value();
  const Tensor logits(exact.decode(frame).value()), map(exact.features());
  const double difference = test::relative_difference(server.decode(frame).value(), logits);
  CHECK(difference > 1e-6);
  CHECK(difference < 5e-2);
  CHECK_FALSE(test::identical(server.features(), map));
  const WeightsFile tampered = WeightsFile::golden("tiny-vit-qcnet2.server").poke("heads.head.bias", 0, 3.0f);
  CHECK(contains(load_server(tampered, {.arithmetic = rounded}).error().message(), "differs by"));
}

TEST_CASE("the same frame decodes to the same logits for any number of threads") {
  for (const Pair& pair : pairs) {
    const Frame frame = frame_of(pair.name);
    Server server = Server::load(golden_path(pair.name + "-" + pair.method + ".server")).value();
    test::Threads one(1);
    const Tensor expected(server.decode(frame).value());
    for (const int count : {1, 2, 3}) {
      test::Threads threads(count);
      CHECK(test::identical(server.decode(frame).value(), expected));
    }
  }
}

TEST_CASE("a large frame, where threads do share the work, decodes to the same logits") {
  // The tiny weights over a map that is large enough to wake threads: [1, 128, 112, 12].
  WeightsFile file = WeightsFile::golden("tiny-layer2-qcnet2.server");
  file.set_metadata("qcnet.feature", "128 112 12")
      .set_metadata("qcnet.input", "256 224 3")
      .drop({"qcnet.check"});
  Server server = load_server(file).value();
  const MapSpec map[] = {{"layer2", {1, 128, 112, 12}}};
  Frame frame = Frame::make(server.deployment().hash, map).value();
  binarize_into(test::random_tensor(map[0].shape, 1), std::vector<float>(12, 0.3f), frame.bits(0));
  frame.seal(1);
  test::Threads one(1);
  const Tensor expected(server.decode(frame).value());
  const Tensor features(server.features());
  for (const int count : {2, 3}) {
    test::Threads threads(count);
    CHECK(test::identical(server.decode(frame).value(), expected));
    CHECK(test::identical(server.features(), features));
  }
}

TEST_CASE("a frame of which all packets arrived is decoded as ever, bit for bit") {
  for (const Pair& pair : pairs) {
    CAPTURE(pair.name);
    CAPTURE(pair.method);
    const Frame sent = frame_of(pair.name);
    Server server = Server::load(golden_path(pair.name + "-" + pair.method + ".server")).value();
    const Tensor expected(server.decode(sent).value());
    const Tensor features(server.features());
    PacketAssembler assembler = server.make_assembler().value();
    Packetizer packetizer = Packetizer::make(sent, 40).value();
    for (std::size_t i = packetizer.count(); i-- > 0;) assembler.add(packetizer.cut(sent, i)).value();
    PartialFrame partial = assembler.finish();
    CHECK(test::identical(server.decode(partial).value(), expected));
    CHECK(test::identical(server.features(), features));

    // Of one missing feature; what it should be is tested with the compensators.
    std::uint8_t& byte = *partial.received.bits(0).pixel(1);
    byte = static_cast<std::uint8_t>(byte & ~4u);
    server.decode(partial).value();
    CHECK_FALSE(test::identical(server.features(), features));
    CHECK(test::relative_difference(server.features(), features) < 1);
    if (pair.method == "lloyd-max") {
      const Quantizer levels =
          WeightsFile::golden(pair.name + "-" + pair.method + ".server")
              .with([&](const io::Safetensors& file) { return load_lloyd_max(file, features.shape()); })
              .value();
      const Tensor middle =
          bits::reference::expand(partial.frame.bits(0), partial.received.bits(0), levels.low, levels.high);
      CHECK(test::identical(server.features(), middle));
    }
  }
}

TEST_CASE("what arrived of a frame of other maps is refused") {
  Server server = Server::load(golden_path("tiny-layer2-qcnet1.server")).value();
  const Frame ours = frame_of("tiny-layer2"), theirs = frame_of("tiny-relu");
  CHECK(server.decode(PartialFrame{ours, ours}).ok());
  CHECK(contains(server.decode(PartialFrame{theirs, ours}).error().message(), "another model"));
  CHECK(contains(server.decode(PartialFrame{ours, theirs}).error().message(), "another model"));
  CHECK(contains(server.detect(PartialFrame{ours, ours}).error().message(), "is a classifier"));
}

TEST_CASE("frames of another model, cut or size are refused") {
  Server server = Server::load(golden_path("tiny-layer2-qcnet1.server")).value();
  const std::uint64_t hash = server.deployment().hash;
  const auto said = [&](std::uint64_t from, const std::vector<MapSpec>& maps) {
    Frame frame = Frame::make(from, maps).value();
    frame.seal(1);
    const auto logits = server.decode(frame);
    return logits.ok() ? "no error" : logits.error().message();
  };
  const Shape shape{1, 8, 7, 12};
  CHECK(said(hash, {{"layer2", shape}}) == "no error");
  CHECK(contains(said(hash + 1, {{"layer2", shape}}), "the frame comes from another model: its hash is "));
  CHECK(said(hash, {{"layer1", shape}}) ==
        "the frame is cut at \"layer1\", this server continues from \"layer2\"");
  CHECK_FALSE(said(hash, {{"layer2", shape}, {"layer3", shape}}) == "no error");
  for (const Shape& other : {Shape{1, 7, 8, 12}, Shape{1, 8, 7, 13}, Shape{2, 8, 7, 12}, Shape{8, 7, 12}})
    CHECK(said(hash, {{"layer2", other}}) ==
          "the frame's map is " + other.to_string() + ", expected [1, 8, 7, 12]");
  CHECK(contains(server.decode(frame_of("tiny-relu")).error().message(), "another model"));
}

TEST_CASE("a server of the caller's own model family is loaded by its function") {
  for (const std::string node : {"tiny-layer2", "tiny-patches"}) {
    CAPTURE(node);
    const std::string server = node + (node == "tiny-layer2" ? "-qcnet1.server" : "-klt-qcnet.server");
    const auto mine = WeightsFile::golden(server).set_metadata("qcnet.architecture", "mine");
    CHECK(contains(load_server(mine).error().message(), "architecture \"mine\" is not known to this build"));
    Server own = load_server(mine, {.family = models::resnet}).value();
    Server known = Server::load(golden_path(server)).value();
    const Frame frame = frame_of(node);
    CHECK(test::identical(own.decode(frame).value(), known.decode(frame).value()));
  }
}

TEST_CASE("what is wrong with a server's file is said plainly") {
  const WeightsFile good = WeightsFile::golden("tiny-layer2-qcnet1.server");
  const auto said = [](const WeightsFile& file) {
    const auto server = load_server(file);
    return server.ok() ? "no error" : server.error().message();
  };
  CHECK(said(good) == "no error");
  CHECK(said(WeightsFile::golden("tiny-layer2.node")) == "is a node file, expected a server file");
  CHECK(contains(Server::load(golden_path("tiny-layer2.node")).error().message(),
                 "tiny-layer2.node.safetensors: is a node file, expected a server file"));
  CHECK(contains(said(WeightsFile(good).set_metadata("qcnet.feature", "8 7 13")),
                 "layer3.0.downsample.0: expected 12 input channels, found [1, 8, 7, 13]"));
  CHECK(said(WeightsFile(good).drop({"qcnet.levels"})) == "qcnet.levels: there is no such tensor");
  CHECK(said(WeightsFile(good).set("qcnet.levels", {2, 8})) ==
        "qcnet.levels: expected shape [2, 12], found [2, 8]");
  CHECK(said(WeightsFile(good).drop({"layer3.0.bn2.weight"})) ==
        "layer3.0.bn2.weight: there is no such tensor");
  CHECK(said(WeightsFile(good).drop({"fc"})) == "fc.weight: there is no such tensor");
  CHECK(said(WeightsFile(good).drop({"qcnet.check.map"})) == "qcnet.check.map: there is no such tensor");
  // Half the inputs are no two groups.
  CHECK(contains(said(WeightsFile(good).set("layer3.0.conv2.weight", {16, 8, 3, 3})),
                 "layer3.0.conv2.weight: expected shape [16, 16, 3, 3], found [16, 8, 3, 3]"));
  CHECK(said(WeightsFile(good).set_metadata("qcnet.classes", "round\nsquare")) ==
        "metadata \"qcnet.classes\" names 2 classes, but the network tells 7 apart");
  // A QCNet without its first layer is not a dequantizer.
  CHECK(contains(said(WeightsFile(good).drop({"qcnet.compensator.input"})),
                 "qcnet.compensator.input.conv.weight: there is no such tensor"));
  // With any of its tensors the file must hold all of it.
  const WeightsFile plain = WeightsFile::golden("tiny-layer2-lloyd-max.server");
  CHECK(said(plain) == "no error");
  for (const char* part : {"scale", "output.bias", "norm.weight", "blocks.0.up.bias"})
    CHECK(said(WeightsFile(plain).set(std::string("qcnet.compensator.") + part, {1})) ==
          "qcnet.compensator.input.conv.weight: there is no such tensor");
  CHECK(contains(said(WeightsFile(plain).set("qcnet.compensator.positions", {1})),
                 "qcnet.compensator.positions: this QCNet is for tokens"));
  for (const char* name : {"fc.bias", "layer3.0.bn1.bias", "qcnet.compensator.scale", "qcnet.levels"}) {
    const WeightsFile tampered = WeightsFile(good).poke(name, 2, 9.0f);
    CHECK(contains(said(tampered), "qcnet.check.output: differs by"));
    CHECK(load_server(tampered, {.verify = Verify::no}).ok());
  }
}
