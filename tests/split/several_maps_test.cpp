// Cuts that more than one map crosses, and tails with more than one output: a tiny YOLOv3-Tiny.
#include "allocations.hpp"
#include "models/golden_model.hpp"

#include <cmath>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <qcnet/node.hpp>
#include <qcnet/server.hpp>

using namespace qcnet;
using namespace qcnet::test;

namespace {

std::string numbers(const Shape& map) {
  return std::to_string(map[1]) + " " + std::to_string(map[2]) + " " + std::to_string(map[3]);
}

/// A deployment of the golden weights, and the same model by hand.
struct SeveralMaps {
  std::string cut;
  Network head, tail;
  Tensor input;
  std::vector<Shape> maps;
  WeightsFile node_file, server_file;
  std::vector<std::vector<float>> thresholds, low, high;

  explicit SeveralMaps(std::size_t layer) : cut("layers." + std::to_string(layer)) {
    const WeightsFile whole = WeightsFile::golden("yolov3_tiny");
    std::tie(head, tail) = golden::build(whole).value().partition_at(cut).value();
    input = whole.tensor("golden.input");
    node_file = golden::yolov3_tiny_part(whole, "node", cut);
    server_file = golden::yolov3_tiny_part(whole, "server", cut);
    for (WeightsFile* file : {&node_file, &server_file}) {
      file->set_metadata("qcnet.format", "1").set_metadata("qcnet.name", "tiny-yolo");
      file->set_metadata("qcnet.input", "96 64 3").set_metadata("qcnet.resize", "0");
      file->set_metadata("qcnet.mean", "0 0 0").set_metadata("qcnet.std", "1 1 1");
      file->set_metadata("qcnet.letterbox", "1");
      file->set_metadata("qcnet.hash", "00000000000000aa");
      if (layer > 8) file->set_metadata("qcnet.beside", "layers.8");
    }
    const std::vector<Tensor> computed = run(head, {input});
    for (std::size_t i = 0; i < computed.size(); ++i) add_map(computed[i].shape(), i == 0 ? "" : ".layers.8");
  }

  void add_map(const Shape& map, const std::string& suffix) {
    const std::size_t channels = map.channels();
    const auto seed = static_cast<std::uint32_t>(maps.size());
    maps.push_back(map);
    thresholds.push_back(random_values(channels, 10 + seed));
    low.push_back(random_values(channels, 20 + seed));
    high.push_back(random_values(channels, 30 + seed));
    for (float& t : thresholds.back()) t = 0.5f * std::fabs(t);
    for (WeightsFile* file : {&node_file, &server_file})
      file->set_metadata("qcnet.feature" + suffix, numbers(map))
          .set_metadata("qcnet.activation" + suffix, "identity");
    node_file.set("qcnet.thresholds" + suffix, {channels}, thresholds.back());
    std::vector<float> levels = low.back();
    levels.insert(levels.end(), high.back().begin(), high.back().end());
    server_file.set("qcnet.levels" + suffix, {2, channels}, levels);
  }

  static std::vector<Tensor> run(const Network& network, const std::vector<Tensor>& inputs) {
    return network.run(std::vector<ConstTensorView>(inputs.begin(), inputs.end())).value();
  }
  /// The bits of each map by hand, and what the tail makes of them.
  std::vector<Bitplane> bits() const {
    const std::vector<Tensor> computed = run(head, {input});
    std::vector<Bitplane> planes;
    for (std::size_t i = 0; i < maps.size(); ++i) planes.push_back(binarize(computed[i], thresholds[i]));
    return planes;
  }
  std::vector<Tensor> outputs() const {
    std::vector<Tensor> restored;
    const std::vector<Bitplane> planes = bits();
    for (std::size_t i = 0; i < maps.size(); ++i) {
      restored.emplace_back(maps[i]);
      expand_into(planes[i], low[i], high[i], restored[i]);
    }
    return run(tail, restored);
  }

  Result<Node> node() const {
    return node_file.with([](const io::Safetensors& file) { return Node::load(file); });
  }
  /// Without Winograd's algorithm, as `run`: its sums are others.
  Result<Server> server() const {
    return server_file.with(
        [](const io::Safetensors& file) { return Server::load(file, {.arithmetic = {.fast = false}}); });
  }
};

/// A QCNet of width 3 and one block for maps of `channels`.
void add_qcnet(WeightsFile& file, const std::string& suffix, std::size_t channels) {
  const std::string start = "qcnet.compensator" + suffix + ".";
  const auto add = [&](const std::string& name, const std::vector<std::size_t>& shape) {
    std::size_t count = 1;
    for (const std::size_t dim : shape) count *= dim;
    std::vector<float> values = random_values(count, static_cast<std::uint32_t>(name.size()));
    if (name.ends_with("running_var") || name == "scale")
      for (float& x : values) x = 0.5f + std::fabs(x);
    file.set(start + name, shape, values);
  };
  for (const std::string part : {"input", "blocks.0"}) {
    for (const char* name : {".bn.weight", ".bn.bias", ".bn.running_mean", ".bn.running_var"})
      add(part + name, {3});
  }
  add("input.conv.weight", {3, channels, 1, 1});
  add("blocks.0.conv.weight", {3, 3, 3, 3});
  add("output.weight", {channels, 3, 1, 1});
  add("output.bias", {channels});
  add("scale", {channels});
}

std::string said(const Result<Node>& node) {
  return node.ok() ? "no error" : node.error().message();
}
std::string said(const Result<Server>& server) {
  return server.ok() ? "no error" : server.error().message();
}

}  // namespace

TEST_CASE("node and server carry every map of a cut in one frame") {
  for (std::size_t layer = 0; layer <= 13; ++layer) {
    CAPTURE(layer);
    const SeveralMaps pair(layer);
    REQUIRE(pair.maps.size() == (layer <= 8 ? 1 : 2));
    Node node = pair.node().value();
    CHECK(node.head().emits_bits() == (layer % 2 == 0 || layer == 13));  // a convolution, not a pool
    Frame sent = node.make_frame();
    node.encode_into(ConstTensorView(pair.input), sent).value();
    const Frame frame = Frame::parse(sent.bytes()).value();
    REQUIRE(frame.map_count() == pair.maps.size());
    CHECK(frame.name(0) == pair.cut);
    if (layer > 8) CHECK(frame.name(1) == "layers.8");
    const std::vector<Bitplane> expected = pair.bits();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(frame.shape(i) == pair.maps[i]);
      const auto bytes = frame.bits(i).bytes(), ours = expected[i].bytes();
      CHECK(std::equal(bytes.begin(), bytes.end(), ours.begin(), ours.end()));
      CHECK(node.thresholds(i) == pair.thresholds[i]);
    }

    Server server = pair.server().value();
    const std::vector<Tensor> outputs = pair.outputs();
    CHECK(identical(server.decode(frame).value(), outputs[0]));
    CHECK(identical(server.output(), outputs[0]));
    CHECK(identical(server.output(1), outputs[1]));
    CHECK(server.tail().outputs() == 2);
  }
}

TEST_CASE("each map of a cut has its own QCNet, or none") {
  const SeveralMaps plain(10);
  Frame frame = plain.node().value().make_frame();
  const std::vector<Bitplane> bits = plain.bits();
  for (std::size_t i = 0; i < 2; ++i)
    std::copy(bits[i].bytes().begin(), bits[i].bytes().end(), frame.bits(i).bytes().begin());
  frame.seal(1);
  for (const std::vector<std::size_t>& with : std::vector<std::vector<std::size_t>>{{0}, {1}, {0, 1}}) {
    SeveralMaps pair = plain;
    for (const std::size_t i : with)
      add_qcnet(pair.server_file, i == 0 ? "" : ".layers.8", pair.maps[i].channels());
    Server server = pair.server().value();
    server.decode(frame).value();
    std::vector<Tensor> restored;
    for (std::size_t i = 0; i < 2; ++i) {
      const bool qcnet = std::find(with.begin(), with.end(), i) != with.end();
      CHECK(server.compensator(i).kind() == (qcnet ? "convolutional QCNet" : "dequantizer"));
      // The same from a file that holds this map's alone, under the names of a cut's own map.
      restored.emplace_back(pair.maps[i]);
      expand_into(bits[i], pair.low[i], pair.high[i], restored[i]);
      if (qcnet) {
        WeightsFile alone;
        std::vector<float> levels = pair.low[i];
        levels.insert(levels.end(), pair.high[i].begin(), pair.high[i].end());
        alone.set("qcnet.levels", {2, pair.maps[i].channels()}, levels);
        add_qcnet(alone, "", pair.maps[i].channels());
        auto compensator = alone.with([&](const io::Safetensors& file) {
          return ConvCompensator::load(file, pair.maps[i], pair.maps[i], kernels::Activation::none, {},
                                       {.fast = false});
        });
        (*compensator)->reconstruct_into(bits[i], restored[i]);
      }
      CHECK(identical(server.features(i), restored[i]));
    }
    const std::vector<Tensor> outputs = SeveralMaps::run(pair.tail, restored);
    CHECK(identical(server.output(0), outputs[0]));
    CHECK(identical(server.output(1), outputs[1]));
  }
  SeveralMaps torn = plain;
  add_qcnet(torn.server_file, ".layers.8", torn.maps[1].channels());
  torn.server_file.drop({"qcnet.compensator.layers.8.input"});
  CHECK(said(torn.server()) == "qcnet.compensator.layers.8.input.conv.weight: there is no such tensor");
}

TEST_CASE("check inputs and outputs of every map are verified") {
  SeveralMaps pair(12);
  const auto nchw = [](const Tensor& map) {  // as PyTorch stores it
    const Shape& s = map.shape();
    std::vector<float> values;
    for (std::size_t c = 0; c < s[3]; ++c)
      for (std::size_t p = 0; p < s.pixels(); ++p) values.push_back(map.view().pixel(p)[c]);
    return std::pair{std::vector<std::size_t>{1, s[3], s[1], s[2]}, values};
  };
  const auto add = [&](WeightsFile& file, const std::string& name, const Tensor& map) {
    const auto [shape, values] = nchw(map);
    file.set(name, shape, values);
  };
  add(pair.node_file, "qcnet.check.input", pair.input);
  CHECK(said(pair.node()) == "qcnet.check.map: there is no such tensor");
  const std::vector<Tensor> maps = SeveralMaps::run(pair.head, {pair.input}), outputs = pair.outputs();
  const std::vector<Bitplane> bits = pair.bits();
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string suffix = i == 0 ? "" : ".layers.8";
    add(pair.node_file, "qcnet.check.map" + suffix, maps[i]);
    Tensor ones(maps[i].shape());
    for (std::size_t k = 0; k < ones.span().size(); ++k)
      ones[k] = bits[i].get(k / ones.shape().channels(), k % ones.shape().channels()) ? 1.0f : 0.0f;
    add(pair.server_file, "qcnet.check.map" + suffix, ones);
    add(pair.server_file, std::string("qcnet.check.output") + (i == 0 ? "" : ".layers.22"), outputs[i]);
  }
  CHECK(said(pair.node()) == "no error");
  CHECK(said(pair.server()) == "no error");
  for (const char* name : {"qcnet.check.map", "qcnet.check.map.layers.8"}) {
    SeveralMaps tampered = pair;
    tampered.node_file.poke(name, 1, 50.0f);
    CHECK(contains(said(tampered.node()), std::string(name) + ": differs by"));
  }
  for (const char* name : {"qcnet.check.output", "qcnet.check.output.layers.22"}) {
    SeveralMaps tampered = pair;
    tampered.server_file.poke(name, 1, 50.0f);
    CHECK(contains(said(tampered.server()), std::string(name) + ": differs by"));
    tampered.server_file.drop({name});
    // Without the first nothing is checked, as for any server.
    CHECK(said(tampered.server()) == (std::string(name) == "qcnet.check.output"
                                          ? "no error"
                                          : "qcnet.check.output.layers.22: there is no such tensor"));
  }
}

TEST_CASE("what does not fit a cut of several maps is said plainly") {
  const SeveralMaps good(9);
  const auto node = [&](const auto& bend) {
    SeveralMaps pair = good;
    bend(pair.node_file);
    return said(pair.node());
  };
  const auto server = [&](const auto& bend) {
    SeveralMaps pair = good;
    bend(pair.server_file);
    return said(pair.server());
  };
  CHECK(node([](WeightsFile& file) { file.metadata.erase("qcnet.beside"); }) ==
        "beside the cut's own map there cross \"layers.8\", but metadata \"qcnet.beside\" says \"\"");
  CHECK(node([](WeightsFile& file) {
          file.set_metadata("qcnet.beside", "layers.7")
              .set_metadata("qcnet.feature.layers.7", "6 4 8")
              .set_metadata("qcnet.activation.layers.7", "identity");
        }) ==
        "beside the cut's own map there cross \"layers.8\", but metadata \"qcnet.beside\" says \"layers.7\"");
  CHECK(node([](WeightsFile& file) { file.set_metadata("qcnet.feature.layers.8", "6 4 17"); }) ==
        "the head computes [1, 6, 4, 16], but metadata \"qcnet.feature.layers.8\" says [1, 6, 4, 17]");
  CHECK(node([](WeightsFile& file) { file.drop({"qcnet.thresholds.layers.8"}); }) ==
        "qcnet.thresholds.layers.8: there is no such tensor");
  CHECK(server([](WeightsFile& file) { file.metadata.erase("qcnet.beside"); }) ==
        "the tail reads 2 maps, but by the metadata (\"qcnet.beside\") 1 cross the cut");
  CHECK(server([](WeightsFile& file) { file.drop({"qcnet.levels.layers.8"}); }) ==
        "qcnet.levels.layers.8: there is no such tensor");
  CHECK(contains(server([](WeightsFile& file) { file.set_metadata("qcnet.feature.layers.8", "7 4 16"); }),
                 "layers.20: the maps [1, 6, 4, 8] and [1, 7, 4, 16] cannot be joined"));

  Server one = good.server().value();
  const auto frame = [&](const std::vector<MapSpec>& maps) {
    Frame made = Frame::make(0xaa, maps).value();
    made.seal(1);
    const auto answer = one.decode(made);
    return answer.ok() ? "no error" : answer.error().message();
  };
  const MapSpec own{"layers.9", {1, 3, 2, 16}}, beside{"layers.8", {1, 6, 4, 16}};
  CHECK(frame({own, beside}) == "no error");
  CHECK(frame({own}) == "the frame carries 1 maps, this server needs 2");
  CHECK(frame({own, beside, {"layers.7", {1}}}) == "the frame carries 3 maps, this server needs 2");
  CHECK(frame({beside, own}) == "the frame is cut at \"layers.8\", this server continues from \"layers.9\"");
  CHECK(frame({own, {"layers.7", beside.shape}}) ==
        "map 1 of the frame is \"layers.7\", expected \"layers.8\"");
  CHECK(frame({own, {"layers.8", own.shape}}) ==
        "the frame's map \"layers.8\" is [1, 3, 2, 16], expected [1, 6, 4, 16]");
  CHECK(frame({{"layers.9", beside.shape}, beside}) ==
        "the frame's map is [1, 6, 4, 16], expected [1, 3, 2, 16]");

  Node sender = good.node().value();
  Frame foreign = Frame::make(0xaa, std::vector{own}).value();
  CHECK(sender.encode_into(ConstTensorView(good.input), foreign).error().message() ==
        "the frame was not made by this node's make_frame(), or it was moved away");
}

TEST_CASE("each of several maps may have an encoder") {
  for (const std::vector<std::string>& encoded :
       {std::vector<std::string>{"", ".layers.8"}, {""}, {".layers.8"}}) {
    SeveralMaps pair(9);
    std::vector<Tensor> expected = SeveralMaps::run(pair.head, {pair.input});
    for (const std::string& suffix : encoded) {
      Tensor& map = expected[suffix.empty() ? 0 : 1];
      const std::size_t channels = map.shape().channels();
      const std::vector<float> weight = random_values(channels * channels, 7);
      pair.node_file.set("qcnet.encoder" + suffix + ".weight", {channels, channels, 1, 1}, weight);
      Tensor mixed(map.shape());
      for (std::size_t i = 0; i < mixed.span().size(); ++i)
        for (std::size_t k = 0; k < channels; ++k)
          mixed[i] += weight[i % channels * channels + k] * map[i / channels * channels + k];
      map = mixed;
    }
    Node node = pair.node().value();
    CHECK(node.head().emits_bits() == (encoded.front().empty()));
    Frame frame = node.make_frame();
    node.encode_into(ConstTensorView(pair.input), frame).value();
    for (std::size_t i = 0; i < 2; ++i) {
      CHECK(frame.name(i) == (i == 0 ? "layers.9" : "layers.8"));
      const Bitplane bits = binarize(expected[i], pair.thresholds[i]);
      CHECK(std::equal(bits.bytes().begin(), bits.bytes().end(), frame.bits(i).bytes().begin()));
    }
  }
}

TEST_CASE("several bits a feature of several maps") {
  SeveralMaps pair(9);
  std::vector<Tensor> restored;
  const std::vector<Tensor> computed = SeveralMaps::run(pair.head, {pair.input});
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string name = std::string("qcnet.levels") + (i == 0 ? "" : ".layers.8");
    pair.node_file.tensors[name] = pair.server_file.tensors.at(name);
    const std::vector<std::size_t> counts(2, pair.maps[i].channels());
    CodePlanes codes(counts, pair.maps[i].channels(), pair.low[i], pair.high[i]);
    Bitplane planes(CodePlanes::planes_of(pair.maps[i], counts));
    codes.encode_into(computed[i], planes);
    restored.emplace_back(pair.maps[i]);
    codes.decode_into(planes, restored[i]);
  }
  for (WeightsFile* file : {&pair.node_file, &pair.server_file}) file->set_metadata("qcnet.bits", "2");
  pair.node_file.drop({"qcnet.thresholds"});
  Node node = pair.node().value();
  Server server = pair.server().value();
  Frame frame = node.make_frame();
  node.encode_into(ConstTensorView(pair.input), frame).value();
  server.decode(Frame::parse(frame.bytes()).value()).value();
  const std::vector<Tensor> outputs = SeveralMaps::run(pair.tail, restored);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(frame.shape(i).channels() == 2 * pair.maps[i].channels());
    CHECK(identical(server.features(i), restored[i]));
    CHECK(relative_difference(server.output(i), outputs[i]) < 1e-5);
  }
}

TEST_CASE("a warm node and server of several maps allocate nothing") {
  for (const std::size_t layer : {9ul, 10ul}) {
    SeveralMaps pair(layer);
    add_qcnet(pair.server_file, ".layers.8", 16);
    Node node = pair.node().value();
    Server server = pair.server().value();
    Frame frame = node.make_frame();
    const auto pass = [&] {
      node.encode_into(ConstTensorView(pair.input), frame).value();
      server.decode(frame).value();
    };
    pass();
    const std::size_t before = allocations();
    pass();
    CHECK(allocations() == before);
  }
}
