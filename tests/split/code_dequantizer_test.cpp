#include "support.hpp"
#include "weights_file.hpp"

#include <string>

#include <qcnet/bits/reference.hpp>
#include <qcnet/node.hpp>
#include <qcnet/server.hpp>

using namespace qcnet;
using test::contains;
using test::golden_path;
using test::WeightsFile;

// That node and server compute what PyTorch computes is tested in node_test.cpp and server_test.cpp.

TEST_CASE("what a node of several bits sends comes back as the nearest levels") {
  for (const std::string name : {"tiny-codes-3-bit", "tiny-token-codes-4-bit"}) {
    CAPTURE(name);
    const std::string pair = name.substr(0, name.size() - 6);
    Node node = Node::load(golden_path(pair + ".node")).value();
    Server server = Server::load(golden_path(name + ".server")).value();
    const Tensor input = WeightsFile::golden(pair + ".golden").tensor("input");
    Frame frame = node.make_frame();
    node.encode_into(ConstTensorView(input), frame).value();
    server.decode(Frame::parse(frame.bytes()).value()).value();
    const ConstTensorView map = node.head().output();

    const Tensor levels = WeightsFile::golden(pair + ".node").tensor("qcnet.levels");
    const std::size_t count = levels.span().size() / 2;
    const std::vector<std::size_t>& planes = server.deployment().planes;
    const Tensor expected =
        bits::reference::decode(frame.bits(0), bits::reference::all_received(frame.shape(0)), map.shape,
                                planes, levels.span().first(count), levels.span().subspan(count));
    CHECK(test::relative_difference(server.features(), expected) < 1e-6);
    for (std::size_t i = 0; i < map.span().size(); ++i) {
      const float low = levels[i % count], high = levels[count + i % count];
      const float half = (high - low) / static_cast<float>((1u << planes.size()) - 1) / 2;
      if (map.data[i] < low || map.data[i] > high) continue;  // it came back as the last level
      CHECK(std::abs(server.features().data[i] - map.data[i]) <= half * 1.001f + 1e-6f);
    }
  }
}

TEST_CASE("a node of codes has no thresholds") {
  CHECK(Node::load(golden_path("tiny-codes.node")).value().thresholds().empty());
  CHECK(Node::load(golden_path("tiny-layer2.node")).value().thresholds().size() == 12);
}

TEST_CASE("what is wrong with files of several bits is one sentence") {
  const auto server_said = [](const WeightsFile& file) {
    const auto server = file.with([](const io::Safetensors& weights) { return Server::load(weights, {}); });
    return server.ok() ? "no error" : server.error().message();
  };
  const auto node_said = [](const WeightsFile& file) {
    const auto node = file.with([](const io::Safetensors& weights) { return Node::load(weights); });
    return node.ok() ? "no error" : node.error().message();
  };
  const WeightsFile server = WeightsFile::golden("tiny-codes-3-bit.server");
  const WeightsFile node = WeightsFile::golden("tiny-codes.node");
  CHECK(server_said(server) == "no error");
  CHECK(node_said(node) == "no error");
  for (const char* bits : {"0", "9", "-1", "two", "", "1 2"}) {
    const std::string expected =
        std::string("metadata \"qcnet.bits\" must be a number from 1 to 8, found \"") + bits + "\"";
    CHECK(server_said(WeightsFile(server).set_metadata("qcnet.bits", bits)) == expected);
    CHECK(node_said(WeightsFile(node).set_metadata("qcnet.bits", bits)) == expected);
  }
  CHECK(server_said(WeightsFile(server).set("qcnet.compensator.scale", {7})) ==
        "a QCNet of codes needs a linear dequantizer, but there is no tensor qcnet.dequantizer.weight");
  CHECK(node_said(WeightsFile(node).drop({"qcnet.levels"})) == "qcnet.levels: there is no such tensor");
  CHECK(node_said(WeightsFile(node).set("qcnet.levels", {2, 6})) ==
        "qcnet.levels: expected shape [2, 7], found [2, 6]");
  CHECK(node_said(WeightsFile(node).poke("qcnet.levels", 2, 2e38f).poke("qcnet.levels", 7 + 2, 3e38f)) ==
        "no error");
  CHECK(node_said(WeightsFile(node).poke("qcnet.levels", 2, -3e38f).poke("qcnet.levels", 7 + 2, 3e38f)) ==
        "qcnet.levels: the lowest and the highest of feature 2 are further apart than a float can say");
  CHECK(server_said(WeightsFile(server).set_metadata("qcnet.bits", "2")) ==
        "qcnet.check.map: expected shape [1, 14, 8, 10], found [1, 21, 8, 10]");

  // A frame of another number of bits, should it ever bear the right hash.
  Server three = Server::load(golden_path("tiny-codes-3-bit.server")).value();
  const MapSpec two[] = {{"layer1", {1, 8, 10, 14}}};
  Frame frame = Frame::make(three.deployment().hash, two).value();
  frame.seal(1);
  CHECK(three.decode(frame).error().message() ==
        "the frame's map is [1, 8, 10, 14], expected [1, 8, 10, 21]");
}
