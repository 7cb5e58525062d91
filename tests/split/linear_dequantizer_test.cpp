#include "allocations.hpp"
#include "support.hpp"
#include "weights_file.hpp"

#include <memory>
#include <string>
#include <vector>

#include <qcnet/bits/reference.hpp>
#include <qcnet/node.hpp>
#include <qcnet/server.hpp>

using namespace qcnet;
using test::relative_difference;
using test::WeightsFile;

namespace {

const std::string weight_name = "qcnet.dequantizer.weight", bias_name = "qcnet.dequantizer.bias";

/// Adds random weights from `bits` a pixel; `biases` are [C] or, if there are more, [T, C].
WeightsFile& add_dequantizer(WeightsFile& file, const Shape& map, std::size_t bits, std::size_t biases) {
  const std::size_t channels = map.channels();
  std::vector<std::size_t> weight{channels, bits}, bias{channels};
  if (map.rank() == 4) weight.insert(weight.end(), {1, 1});
  if (biases > channels) bias.insert(bias.begin(), biases / channels);
  return file.set(weight_name, weight, test::random_values(channels * bits, 2))
      .set(bias_name, bias, test::random_values(biases, 3));
}

/// bias + weight (2 bits - 1) in plain loops, where bits that are lost count as 0.
Tensor definition(const WeightsFile& file, ConstBitplaneView bits, ConstBitplaneView received,
                  const Shape& shape) {
  const Tensor weight = file.tensor(weight_name), bias = file.tensor(bias_name);
  const std::size_t inputs = bits.shape.channels();
  Tensor map(shape);
  for (std::size_t i = 0; i < shape.elements(); ++i) {
    const std::size_t pixel = i / shape.channels(), channel = i % shape.channels();
    double sum = double{bias[i % bias.span().size()]};
    for (std::size_t k = 0; k < inputs; ++k) {
      const double w = double{weight[channel * inputs + k]};
      if (received.get(pixel, k)) sum += bits.get(pixel, k) ? w : -w;
    }
    map[i] = static_cast<float>(sum);
  }
  return map;
}

Result<std::unique_ptr<Compensator>> load(const WeightsFile& file, const Shape& map, const Shape& sent) {
  return file.with([&](const io::Safetensors& weights) { return load_dequantizer(weights, map, sent); });
}

void check_definition(const Shape& map, const Shape& sent, std::size_t biases) {
  CAPTURE(map.to_string());
  CAPTURE(sent.to_string());
  WeightsFile file;
  const auto dequantizer = load(add_dequantizer(file, map, sent.channels(), biases), map, sent).value();
  CHECK(dequantizer->kind() == "linear dequantizer");
  CHECK(dequantizer->multiply_adds() == map.elements() * sent.channels());
  const Bitplane bits = test::random_bits(sent, 4), all = bits::reference::all_received(sent);
  Tensor found(map);
  dequantizer->reconstruct_into(bits, found);
  CHECK(relative_difference(found, definition(file, bits, all, map)) < 2e-6);
  for (const Bitplane& received : {test::random_bits(sent, 5), Bitplane(sent), all}) {
    dequantizer->reconstruct_into(bits, received, found);
    CHECK(relative_difference(found, definition(file, bits, received, map)) < 4e-6);
  }
  const std::size_t before = allocations();
  dequantizer->reconstruct_into(bits, found);
  dequantizer->reconstruct_into(bits, all, found);
  CHECK(allocations() == before);
}

/// A node's and a server's file of codes, whose channels have different numbers of bits.
struct LinearPair {
  WeightsFile node, server;
  Tensor input;
  Shape map;
  std::vector<std::size_t> counts;
  Shape sent;

  LinearPair(const std::string& name, const std::string& method, const std::string& planes)
      : node(WeightsFile::golden(name + ".node")),
        server(WeightsFile::golden(name + "-" + method + ".server").drop({"qcnet.check."})),
        input(WeightsFile::golden(name + ".golden").tensor("input")) {
    for (WeightsFile* file : {&node, &server}) {
      file->metadata.erase("qcnet.bits");
      file->set_metadata("qcnet.planes", planes);
    }
    const Deployment about =
        node.with([](const io::Safetensors& file) { return Deployment::read(file, "node"); }).value();
    map = about.feature;
    counts = about.planes;
    sent = about.sent(about.maps()[0]);
  }
  Result<Node> load_node() const {
    return node.with([](const io::Safetensors& file) { return Node::load(file); });
  }
  Result<Server> load_server(Server::Options options = {}) const {
    return server.with([&](const io::Safetensors& file) { return Server::load(file, options); });
  }
};

std::vector<LinearPair> linear_pairs() {
  return {{"tiny-codes", "3-bit", "7 5 2 1"},
          {"tiny-codes", "3-bit", "3"},
          {"tiny-token-codes", "4-bit", "6 5 5 1 1 1 1 1"}};
}

/// The first layers of a QCNet for bits that are sent, the rest as random as they.
void add_qcnet(WeightsFile& file, const Shape& map, std::size_t bits) {
  const std::size_t width = 5, channels = map.channels();
  const std::string start = "qcnet.compensator.";
  const auto add = [&](const std::string& name, const std::vector<std::size_t>& shape) {
    file.set(start + name, shape, test::random_values(channels * bits, 9));
  };
  if (map.rank() == 4) {
    add("input.conv.weight", {width, bits, 1, 1});
    for (const char* name : {"weight", "bias", "running_mean"}) add(std::string("input.bn.") + name, {width});
    file.set(start + "input.bn.running_var", {width}, {1.5f});
    add("output.weight", {channels, width, 1, 1});
  } else {
    add("input.weight", {width, bits});
    add("input.bias", {width});
    add("positions", {1, map[1], width});
    add("norm.weight", {width});
    add("norm.bias", {width});
    add("output.weight", {channels, width});
    file.set_metadata(start + "heads", "1");
  }
  add("output.bias", {channels});
  add("scale", {channels});
}

}  // namespace

TEST_CASE("a linear dequantizer computes its definition, whole and with lost bits") {
  for (const std::size_t channels : test::Sizes{1, 3, 17, 64, 80})
    for (const std::size_t inputs : test::Sizes{1, 8, 15, 33, 80, 129}) {
      check_definition({1, 3, 5, channels}, {1, 3, 5, inputs}, channels);
      check_definition({1, 13, channels}, {1, 13, inputs}, channels);
      check_definition({1, 13, channels}, {1, 13, inputs}, 13 * channels);
    }
}

TEST_CASE("levels are a linear dequantization with a bit for each channel") {
  const Shape shape{1, 3, 5, 4};
  WeightsFile levels, linear;
  levels.set("qcnet.levels", {2, 4}, {-1, 0, 1, 2, 3, 0.5f, 4, 2});
  linear.set(bias_name, {4}, {1, 0.25f, 2.5f, 2}).set(weight_name, {4, 4, 1, 1});
  for (const std::size_t c : test::Sizes{0, 1, 2})
    linear.poke(weight_name, 5 * c, c == 0 ? 2 : c == 1 ? 0.25f : 1.5f);
  const Bitplane bits = test::random_bits(shape, 1), received = test::random_bits(shape, 2);
  Tensor a(shape), b(shape);
  const auto plain = load(levels, shape, shape).value(), same = load(linear, shape, shape).value();
  CHECK(plain->kind() == "dequantizer");
  plain->reconstruct_into(bits, received, a);
  same->reconstruct_into(bits, received, b);
  CHECK(test::identical(a, b));
}

TEST_CASE("what is wrong with a linear dequantizer is one sentence") {
  const Shape map{1, 2, 2, 3}, sent{1, 2, 2, 5}, tokens{1, 4, 3}, sent_tokens{1, 4, 5};
  WeightsFile good, good_tokens;
  add_dequantizer(good, map, 5, 3);
  add_dequantizer(good_tokens, tokens, 5, 12);
  const auto said = [](const WeightsFile& file, const Shape& to, const Shape& from) {
    const auto loaded = load(file, to, from);
    return loaded.ok() ? "no error" : loaded.error().message();
  };
  CHECK(said(good, map, sent) == "no error");
  CHECK(said(good_tokens, tokens, sent_tokens) == "no error");
  for (const std::string& name : {weight_name, bias_name})
    CHECK(said(WeightsFile(good).drop({name}), map, sent) == name + ": there is no such tensor");
  CHECK(said(good, map, map) == weight_name + ": expected shape [3, 3, 1, 1], found [3, 5, 1, 1]");
  CHECK(said(good_tokens, map, sent) == weight_name + ": expected shape [3, 5, 1, 1], found [3, 5]");
  CHECK(said(good, tokens, sent_tokens) == weight_name + ": expected shape [3, 5], found [3, 5, 1, 1]");
  CHECK(said(WeightsFile(good).set(bias_name, {4}), map, sent) ==
        bias_name + ": expected shape [3], found [4]");
  CHECK(said(WeightsFile(good).set(bias_name, {4, 3}), map, sent) ==
        bias_name + ": expected shape [3], found [4, 3]");
  CHECK(said(WeightsFile(good_tokens).set(bias_name, {3, 3}), tokens, sent_tokens) ==
        bias_name + ": expected shape [4, 3], found [3, 3]");
}

TEST_CASE("codes of different numbers of bits cross from node to server") {
  for (LinearPair& pair : linear_pairs()) {
    CAPTURE(pair.sent.to_string());
    Node node = pair.load_node().value();
    Frame frame = node.make_frame();
    CHECK(frame.shape(0) == pair.sent);
    node.encode_into(ConstTensorView(pair.input), frame).value();
    const Frame arrived = Frame::parse(frame.bytes()).value();
    const ConstBitplaneView bits = arrived.bits(0);
    const Bitplane all = bits::reference::all_received(pair.sent);

    const Tensor levels = pair.node.tensor("qcnet.levels");
    const std::size_t count = levels.span().size() / 2;
    const auto low = levels.span().first(count), high = levels.span().subspan(count);
    const Bitplane expected = bits::reference::encode(node.head().output(), pair.counts, low, high);
    CHECK(std::equal(expected.bytes().begin(), expected.bytes().end(), bits.bytes().begin()));

    // Levels, in the node's basis.
    Server plain = pair.load_server().value();
    CHECK(plain.compensator().kind() == "dequantizer of codes");
    plain.decode(arrived).value();
    CHECK(relative_difference(plain.features(),
                              bits::reference::decode(bits, all, pair.map, pair.counts, low, high)) < 1e-6);
    add_qcnet(pair.server, pair.map, pair.sent.channels());
    CHECK(pair.load_server().error().message() ==
          "a QCNet of codes needs a linear dequantizer, but there is no tensor qcnet.dequantizer.weight");
    CHECK(pair.load_server({.compensate = false}).value().compensator().kind() == "dequantizer of codes");

    // A linear dequantization, in the tail's, alone and with a QCNet.
    add_dequantizer(pair.server, pair.map, pair.sent.channels(), pair.map.channels());
    pair.server.drop({"qcnet.levels"});
    Server linear = pair.load_server({.compensate = false}).value();
    CHECK(linear.compensator().kind() == "linear dequantizer");
    linear.decode(arrived).value();
    const Tensor dequantized = definition(pair.server, bits, all, pair.map);
    CHECK(relative_difference(linear.features(), dequantized) < 2e-6);

    Server server = pair.load_server().value();
    CHECK(test::contains(std::string(server.compensator().kind()), "QCNet"));
    server.decode(arrived).value();
    CHECK_FALSE(relative_difference(server.features(), dequantized) < 1e-2);
    Frame received = arrived;
    std::ranges::copy(test::random_bits(pair.sent, 7).bytes(), received.bits(0).data);
    linear.decode(PartialFrame{arrived, received}).value();
    CHECK(relative_difference(linear.features(), definition(pair.server, bits, received.bits(0), pair.map)) <
          4e-6);
    CHECK(server.decode(PartialFrame{arrived, received}).ok());

    const std::size_t before = allocations();
    node.encode_into(ConstTensorView(pair.input), frame).value();
    server.decode(arrived).value();
    CHECK(allocations() == before);
  }
}
