#include "models/golden_model.hpp"

#include <string>
#include <vector>

using namespace qcnet;
using namespace qcnet::test;
using namespace golden;

namespace {

const char* const all_cuts =
    "layers.0.bn, layers.0, layers.1, layers.2.bn, layers.2, layers.3, layers.4.bn, layers.4, layers.5, "
    "layers.6.bn, layers.6, layers.7, layers.8.bn, layers.8, layers.9, layers.10, layers.11, layers.12, "
    "layers.13";

std::vector<Tensor> run(const Network& network, const std::vector<Tensor>& inputs) {
  return network.run(std::vector<ConstTensorView>(inputs.begin(), inputs.end())).value();
}

bool same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Tensor& x, const Tensor& y) { return identical(x, y); });
}

}  // namespace

TEST_CASE("a YOLOv3-Tiny computes what PyTorch computes, whole, at every cut, and cut there") {
  const WeightsFile file = WeightsFile::golden("yolov3_tiny");
  const Network network = build(file).value();
  const std::vector<Tensor> picture = {file.tensor("golden.input")};
  const std::vector<Tensor> outputs = run(network, picture);
  REQUIRE(outputs.size() == 2);
  CHECK(outputs[0].shape() == Shape{1, 3, 2, 24});
  CHECK(outputs[1].shape() == Shape{1, 6, 4, 24});
  CHECK(relative_difference(outputs[0], file.tensor("golden.layers.15")) < model_tolerance);
  CHECK(relative_difference(outputs[1], file.tensor("golden.layers.22")) < model_tolerance);
  CHECK(network.cut_names() == all_cuts);
  for (std::size_t i = 0; i < network.cuts().size(); ++i) {
    const std::string name = network.cuts()[i].name;
    CAPTURE(name);
    const auto [head, tail] = network.partition_at(name).value();
    const std::vector<Tensor> maps = run(head, picture);
    const bool two = std::stoul(name.substr(7)) > 8;
    REQUIRE(maps.size() == (two ? 2 : 1));
    CHECK(relative_difference(maps[0], file.tensor("golden." + name)) < model_tolerance);
    if (two) CHECK(relative_difference(maps[1], file.tensor("golden.layers.8")) < model_tolerance);
    CHECK(same(run(tail, maps), outputs));

    // The same from the files of a deployment, which hold one part each.
    const Network node = build(yolov3_tiny_part(file, "node", name)).value(),
                  server = build(yolov3_tiny_part(file, "server", name)).value();
    CHECK(node.steps().size() + server.steps().size() ==
          network.steps().size() + (network.cuts()[i].before_activation ? 1 : 0));
    CHECK(same(run(node.partition_at(name).value().first, picture), maps));
    CHECK(server.inputs() == maps.size());
    CHECK(same(run(server, maps), outputs));
  }
}

TEST_CASE("a YOLOv3-Tiny's node gives patches of what a layer convolves, and its server takes them") {
  const WeightsFile whole = WeightsFile::golden("yolov3_tiny");
  for (const std::string layer : {"layers.2", "layers.6", "layers.8"}) {
    CAPTURE(layer);
    const std::string cut = layer + ".bn";
    const auto part = [&](const char* role) {
      return yolov3_tiny_part(whole, role, cut).set_metadata("qcnet.patch", "2");
    };
    WeightsFile node = part("node");
    CHECK(contains(error_of(node), layer + ".conv.weight: expected shape ["));
    make_patches(node, layer + ".conv", cut, 1, 2);
    const Network head = build(node).value().partition_at(cut).value().first;
    const Tensor patches = head(whole.tensor("golden.input")).value();
    const Shape& s = patches.shape();
    const Tensor map = whole.tensor("golden." + cut);
    CHECK(map.shape() == Shape{s[0], 2 * s[1], 2 * s[2], s[3] / 4});
    CHECK(relative_difference(pixels_of(patches, 2), map) < model_tolerance);

    const Network tail = build(part("server")).value();
    const std::vector<Tensor> outputs = run(tail, {patches});
    REQUIRE(outputs.size() == 2);
    CHECK(relative_difference(outputs[0], whole.tensor("golden.layers.15")) < model_tolerance);
    CHECK(relative_difference(outputs[1], whole.tensor("golden.layers.22")) < model_tolerance);
    CHECK(same(outputs, run(build(yolov3_tiny_part(whole, "server", cut)).value(), {pixels_of(patches, 2)})));
    CHECK(tail.name_of(tail.outputs()[0]) == "layers.15");
  }
  WeightsFile node = yolov3_tiny_part(whole, "node", "layers.8.bn").set_metadata("qcnet.patch", "2");
  CHECK(error_of(node) == "layers.8.conv.weight: expected shape [16, 8, 4, 4], found [16, 8, 3, 3]");
  make_patches(node, "layers.8.conv", "layers.8.bn", 1, 2);
  CHECK(error_of(node.set("layers.8.conv.weight", {64, 7, 4, 4})) ==
        "layers.8.conv.weight: expected shape [64, 8, 4, 4], found [64, 7, 4, 4]");
}

TEST_CASE("a YOLOv3-Tiny takes any picture whose sides are multiples of 32, and its state_dict is known") {
  WeightsFile file = WeightsFile::golden("yolov3_tiny");
  file.metadata.clear();
  const Network network = build(file).value();
  for (const auto& [height, width] : {std::pair{32, 32}, {32, 160}, {96, 64}}) {
    const auto h = static_cast<std::size_t>(height), w = static_cast<std::size_t>(width);
    const Executor executor = Executor::make(network, {1, h, w, 3}).value();
    CHECK(executor.output_shape(0) == Shape{1, h / 32, w / 32, 24});
    CHECK(executor.output_shape(1) == Shape{1, h / 16, w / 16, 24});
  }
  CHECK(Executor::make(network, {1, 48, 48, 3}).error().message() ==
        "layers.20: the maps [1, 4, 4, 8] and [1, 3, 3, 16] cannot be joined, they differ in more than their "
        "channels");
  CHECK(contains(Executor::make(network, {1, 32, 32, 1}).error().message(),
                 "layers.0: expected 3 input channels"));
}

TEST_CASE("a YOLOv3-Tiny's output is the same for any number of threads") {
  const Network network = build(WeightsFile::golden("yolov3_tiny")).value();
  const std::vector<Tensor> picture = {random_tensor({1, 256, 256, 3}, 1)};
  Threads one(1);
  const auto expected = run(network, picture);
  for (const int count : {2, 3}) {
    Threads threads(count);
    CHECK(same(run(network, picture), expected));
  }
}

TEST_CASE("what is wrong with a YOLOv3-Tiny's file is said by the tensor's name") {
  const WeightsFile good = WeightsFile::golden("yolov3_tiny");
  for (const char* name :
       {"layers.0.conv.weight", "layers.12.bn.running_mean", "layers.13.conv.weight", "layers.15.conv.weight",
        "layers.15.conv.bias", "layers.18.bn.weight", "layers.22.conv.weight"})
    CHECK(error_of(WeightsFile(good).drop({name})) == std::string(name) + ": there is no such tensor");
  CHECK(error_of(WeightsFile(good).set("layers.2.conv.weight", {2, 1, 1, 1})) ==
        "layers.2.conv.weight: expected shape [2, 1, 3, 3], found [2, 1, 1, 1]");
  CHECK(error_of(WeightsFile(good).set("layers.4.conv.weight", {4, 1, 3, 3})) ==
        "layers.4.conv.weight: expected shape [4, 2, 3, 3], found [4, 1, 3, 3]");
  CHECK(error_of(WeightsFile(good).set("layers.21.conv.weight", {16, 23, 3, 3})) ==
        "layers.21.conv.weight: expected shape [16, 24, 3, 3], found [16, 23, 3, 3]");
  CHECK(
      contains(error_of(WeightsFile(good).set("layers.15.conv.weight", {24, 32})), "expected 4 dimensions"));
  CHECK(contains(error_of(WeightsFile(good).set("layers.0.conv.weight", {1, 0, 3, 3})),
                 "layers.0.conv.weight"));

  // A tail learns what comes in from its own weights; what then does not fit shows when it is planned.
  const Network tail =
      build(yolov3_tiny_part(good, "server", "layers.9").set("layers.21.conv.weight", {16, 40, 3, 3}))
          .value();
  const Shape maps[] = {{1, 3, 2, 16}, {1, 6, 4, 16}};
  CHECK(Executor::make(tail, maps).error().message() ==
        "layers.21: expected 40 input channels, found [1, 6, 4, 24]");
  for (const char* cut : {"layers.8.add", "layers.7.bn", "layers.14", "layers.22", "layers.", "layers.8x",
                          "layers.-1", "layer2", "8"})
    for (const char* role : {"node", "server"})
      CHECK(error_of(yolov3_tiny_part(good, role, "layers.8").set_metadata("qcnet.cut", cut)) ==
            "there is no cut point \"" + std::string(cut) +
                "\"; YOLOv3-Tiny has layers.0 to layers.13, and before an activation "
                "layers.0.bn, .2.bn, .4.bn, .6.bn and .8.bn");
}
