#include "support.hpp"
#include "weights_file.hpp"

#include <string>
#include <vector>

#include <qcnet/bits/reference.hpp>
#include <qcnet/kernels/reference.hpp>
#include <qcnet/node.hpp>

using namespace qcnet;
using test::golden_path;
using test::random_tensor;
using test::WeightsFile;

namespace {

Result<Node> load_encoding(const WeightsFile& file) {
  return file.with([](const io::Safetensors& weights) { return Node::load(weights); });
}

std::string encoder_error(const WeightsFile& file) {
  const auto node = load_encoding(file);
  return node.ok() ? "no error" : node.error().message();
}

/// sum over k of weight[c][k] x[k] + bias[c] for each pixel or token.
Tensor mixed(ConstTensorView map, const Tensor& weight, std::span<const float> bias) {
  const std::size_t channels = map.shape.channels();
  Tensor out(map.shape);
  for (std::size_t p = 0; p < map.shape.pixels(); ++p)
    for (std::size_t c = 0; c < channels; ++c) {
      double sum = bias.empty() ? 0.0 : double{bias[c]};
      for (std::size_t k = 0; k < channels; ++k)
        sum += double{weight[c * channels + k]} * double{map.pixel(p)[k]};
      out.view().pixel(p)[c] = static_cast<float>(sum);
    }
  return out;
}

}  // namespace

TEST_CASE("an encoder mixes the channels of the map at the cut, its bits come from the epilogue") {
  for (const std::string name : {"tiny-encoder", "tiny-token-encoder"})
    for (const bool with_bias : {false, true}) {
      CAPTURE(name);
      CAPTURE(with_bias);
      WeightsFile file = WeightsFile::golden(name + ".node");
      const std::size_t channels = file.tensors.at("qcnet.encoder.weight").shape[0];
      const std::vector<float> bias = test::random_values(channels, 5);
      if (with_bias) file.set("qcnet.encoder.bias", {channels}, bias).drop({"qcnet.check."});
      Node node = load_encoding(file).value();
      CHECK(node.head().emits_bits());
      WeightsFile plain = file;
      Node before = load_encoding(plain.drop({"qcnet.encoder.", "qcnet.check."})).value();

      const Tensor input = random_tensor(node.head().input_shape(), 3);
      Frame frame = node.make_frame(), unused = before.make_frame();
      node.encode_into(ConstTensorView(input), frame).value();
      CHECK(frame.name(0) == node.deployment().cut);
      Executor head = before.head(), encoding = node.head();
      const Tensor expected = mixed(head.run(input), file.tensor("qcnet.encoder.weight"),
                                    with_bias ? bias : std::vector<float>());
      const Tensor found(encoding.run(input));
      CHECK(test::relative_difference(found, expected) < 1e-5);
      const Bitplane bits = bits::reference::binarize(found, node.thresholds());
      CHECK(std::equal(bits.bytes().begin(), bits.bytes().end(), frame.bits(0).bytes().begin()));
      CHECK(node.head().multiply_adds() ==
            before.head().multiply_adds() + expected.shape().elements() * channels);
    }
}

TEST_CASE("an encoder of more weights than a machine of 32 bits addresses is refused, too") {
  const WeightsFile file =
      WeightsFile::golden("tiny-encoder.node").set_metadata("qcnet.feature", "1 1 20000");
  CHECK(test::contains(encoder_error(file), sizeof(std::size_t) > 4 ? "expected shape [20000, 20000, 1, 1]"
                                                                    : "too large for this machine"));
}

TEST_CASE("what is wrong with an encoder is one sentence") {
  const WeightsFile map = WeightsFile::golden("tiny-encoder.node");
  const WeightsFile tokens = WeightsFile::golden("tiny-token-encoder.node");
  CHECK(encoder_error(map) == "no error");
  CHECK(encoder_error(tokens) == "no error");
  for (const std::vector<std::size_t>& shape :
       {std::vector<std::size_t>{6, 7, 1, 1}, {7, 6, 1, 1}, {7, 7, 3, 3}, {7, 7}, {7, 1, 1, 1}})
    CHECK(encoder_error(WeightsFile(map).set("qcnet.encoder.weight", shape)) ==
          "qcnet.encoder.weight: expected shape [7, 7, 1, 1], found " +
              Shape::make(std::span<const std::size_t>(shape)).value().to_string());
  CHECK(encoder_error(WeightsFile(tokens).set("qcnet.encoder.weight", {10, 10, 1, 1})) ==
        "qcnet.encoder.weight: expected shape [10, 10], found [10, 10, 1, 1]");
  for (const WeightsFile& file : {map, tokens}) {
    const std::string channels = std::to_string(file.tensors.at("qcnet.encoder.weight").shape[0]);
    CHECK(encoder_error(WeightsFile(file).set("qcnet.encoder.bias", {3})) ==
          "qcnet.encoder.bias: expected shape [" + channels + "], found [3]");
    CHECK(encoder_error(WeightsFile(file).drop({"qcnet.encoder."}).set("qcnet.encoder.bias", {3})) ==
          "qcnet.encoder.weight: there is no such tensor");
    // Without its encoder the node would compare other numbers than it was trained with.
    CHECK(test::contains(encoder_error(WeightsFile(file).drop({"qcnet.encoder."})),
                         "qcnet.check.map: differs"));
  }
}
