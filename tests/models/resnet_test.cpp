#include "models/golden_model.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace qcnet;
using namespace qcnet::test;
using namespace golden;

namespace {
constexpr double tolerance = model_tolerance;
}

TEST_CASE("resnets compute what PyTorch computes, whole, at every cut, and cut there") {
  for (const char* kind : {"basic", "bottleneck", "grouped"}) {
    CAPTURE(kind);
    check_golden_model(WeightsFile::golden(std::string("resnet_") + kind));
  }
}

TEST_CASE("the parts of a resnet are known by the weights a file holds") {
  const WeightsFile whole = WeightsFile::golden("resnet_bottleneck");
  const Tensor input = whole.tensor("golden.input"), logits = build(whole).value()(input).value();
  const auto part = [&](const std::vector<std::string>& prefixes) {
    return build(WeightsFile(whole).keep(prefixes)).value();
  };
  const std::vector<std::string> stem = {"conv1", "bn1"};

  SUBCASE("stem alone") {
    const Network head = part(stem);
    CHECK(head.cut_names() == "relu, maxpool");
    const Tensor features = head.partition_at("relu").value().first(input).value();
    CHECK(relative_difference(features, whole.tensor("golden.relu")) < tolerance);

    // A tail behind relu begins with the pooling, which has no weights: the metadata says that it is there.
    WeightsFile rest = whole;
    rest.drop(stem).set_metadata("qcnet.cut", "relu").set_metadata("qcnet.stem", "7x7");
    CHECK(identical(build(rest).value()(features).value(), logits));
    rest.metadata.clear();
    CHECK_FALSE(identical(build(rest).value()(features).value(), logits));
  }
  SUBCASE("head and tail between stages") {
    const Network head = part({"conv1", "bn1", "layer1"}), tail = part({"layer2", "layer3", "layer4", "fc"});
    CHECK(head.cut_names() == "relu, maxpool, layer1.0.add, layer1.0, layer1");
    CHECK(tail.cut_names() ==
          "layer2.0.add, layer2.0, layer2.1, layer2, layer3.0.add, layer3.0, layer3, layer4.0.add, layer4.0, "
          "layer4");
    CHECK(identical(tail(head(input).value()).value(), logits));
  }
  SUBCASE("a cut inside a stage") {
    const Network head = part({"conv1", "bn1", "layer1", "layer2.0"});
    const Network tail = part({"layer2.1", "layer3", "layer4", "fc"});
    CHECK(tail.cut_names() ==
          "layer2.1, layer2, layer3.0.add, layer3.0, layer3, layer4.0.add, layer4.0, layer4");
    CHECK(identical(tail(head(input).value()).value(), logits));
  }
  SUBCASE("a cut before the activation that ends a block") {
    const Network head = part({"conv1", "bn1", "layer1", "layer2.0"});
    const Tensor sum = head.partition_at("layer2.0.add").value().first(input).value();
    CHECK(relative_difference(sum, whole.tensor("golden.layer2.0.add")) < tolerance);
    const auto tail = [&](const std::vector<std::string>& prefixes, const std::string& cut) {
      WeightsFile file = whole;
      return build(file.keep(prefixes).set_metadata("qcnet.role", "server").set_metadata("qcnet.cut", cut))
          .value();
    };
    const Network middle = tail({"layer2.1", "layer3", "layer4", "fc"}, "layer2.0.add");
    CHECK(middle.cut_names().starts_with("layer2.0, layer2.1, layer2, layer3.0.add"));
    CHECK(identical(middle(sum).value(), logits));
    // Where nothing of the stage is left, and where nothing is left but the classifier.
    const Tensor last = build(whole).value().partition_at("layer4.0.add").value().first(input).value();
    CHECK(identical(tail({"fc"}, "layer4.0.add")(last).value(), logits));
    CHECK_FALSE(identical(tail({"fc"}, "layer4.0")(last).value(), logits));
  }
  SUBCASE("a tail begins with the block behind its cut") {
    const auto said = [&](const std::string& cut, const std::vector<std::string>& kept) {
      WeightsFile file = whole;
      return error_of(file.keep(kept).set_metadata("qcnet.role", "server").set_metadata("qcnet.cut", cut));
    };
    const std::vector<std::string> behind = {"layer3", "layer4", "fc"};
    CHECK(said("layer2", behind) == "no error");
    CHECK(said("layer2.1", behind) == "no error");
    CHECK(said("layer2.0", {"layer2.1", "layer3", "layer4", "fc"}) == "no error");
    CHECK(said("layer4", {"fc"}) == "no error");
    for (const char* cut :
         {"relu", "maxpool", "layer1", "layer1.0.add", "layer3", "layer3.0", "layer", "layerx"})
      CHECK(said(cut, behind) ==
            "layer3.0: is not what comes next behind the cut \"" + std::string(cut) +
                "\"; a server's file holds all the layers behind its cut, and none before");
    CHECK(
        contains(said("layer2", {"layer2.1", "layer3", "layer4", "fc"}), "layer2.1: is not what comes next"));
    CHECK(contains(said("layer1", {"conv1", "bn1", "layer", "fc"}), "layer1.0: is not what comes next"));
  }
  SUBCASE("a tail's stem is one of two") {
    WeightsFile file = whole;
    file.keep({"layer", "fc"}).set_metadata("qcnet.role", "server").set_metadata("qcnet.cut", "relu");
    CHECK(error_of(file) == "no error");
    CHECK(error_of(file.set_metadata("qcnet.stem", "3x3")) == "no error");
    CHECK(
        error_of(file.set_metadata("qcnet.stem", "7X7")) ==
        "metadata \"qcnet.stem\" must be \"7x7\", with a max pool behind the cut, or \"3x3\", found \"7X7\"");
  }
  SUBCASE("the classifier alone") {
    const Network tail = part({"fc"});
    CHECK(relative_difference(tail(whole.tensor("golden.layer4")).value(), logits) < tolerance);
  }
}

TEST_CASE("a resnet's node gives patches of a block's sum, and its server takes them") {
  struct Case {
    std::string golden, last;  // convolution of a block, and its normalization
    std::string block;
    std::size_t stride;
    std::vector<std::string> head;
  };
  const std::vector<std::string> stem = {"conv1", "bn1", "layer1.0."},
                                 second = {"conv1", "bn1", "layer1.", "layer2.0."};
  const Case cases[] = {{"resnet_basic", "2", "layer2.0", 2, second},
                        {"resnet_bottleneck", "3", "layer1.0", 1, stem},
                        {"resnet_bottleneck", "3", "layer2.0", 2, second},
                        {"resnet_grouped", "3", "layer2.0", 2, second}};
  for (const Case& of : cases)
    for (const std::size_t patch : Sizes{2, 3}) {
      CAPTURE(of.golden);
      CAPTURE(patch);
      const WeightsFile whole = WeightsFile::golden(of.golden);
      const Tensor input = random_tensor({2, 48, 96, 3}, 1);
      const Network network = build(whole).value();
      const Tensor sum = network.partition_at(of.block + ".add").value().first(input).value();

      WeightsFile node = whole, server = whole;
      for (WeightsFile* file : {&node, &server})
        file->set_metadata("qcnet.cut", of.block + ".add").set_metadata("qcnet.patch", std::to_string(patch));
      node.keep(of.head).set_metadata("qcnet.role", "node");
      const std::string shortcut = of.block + ".downsample.";
      make_patches(node, shortcut + "0", shortcut + "1", of.stride, patch);
      CHECK(contains(error_of(node), of.block + ".conv" + of.last + ".weight: expected shape ["));
      make_patches(node, of.block + ".conv" + of.last, of.block + ".bn" + of.last, 1, patch);
      const Network head = build(node).value().partition_at(of.block + ".add").value().first;
      const Tensor patches = head(input).value();
      CHECK(patches.shape()[1] * patch == sum.shape()[1]);
      CHECK(relative_difference(pixels_of(patches, patch), sum) < tolerance);

      const Network tail = build(server.drop(of.head).set_metadata("qcnet.role", "server")).value();
      CHECK(relative_difference(tail(patches).value(), network(input).value()) < tolerance);
    }
}

TEST_CASE("a resnet's output is the same for any number of threads") {
  for (const char* name : {"resnet_basic", "resnet_bottleneck", "resnet_grouped"}) {
    const WeightsFile file = WeightsFile::golden(name);
    const Network network = build(file).value();
    // Large enough that threads are woken.
    const Tensor input = random_tensor({1, 96, 96, 3}, 1);
    Threads one(1);
    const Tensor expected = network(input).value();
    for (const int count : {2, 3}) {
      Threads threads(count);
      CHECK(identical(network(input).value(), expected));
    }
  }
}

TEST_CASE("what is wrong with a resnet's file is said by the tensor's name") {
  const WeightsFile good = WeightsFile::golden("resnet_basic");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto without = [&](const std::string& name) { return error_of(WeightsFile(good).drop({name})); };

  CHECK(without("layer1.1.conv2.weight") == "layer1.1.conv2.weight: there is no such tensor");
  CHECK(without("layer1.1.bn2.running_var") == "layer1.1.bn2.running_var: there is no such tensor");
  CHECK(without("bn1.weight") == "bn1.weight: there is no such tensor");
  CHECK(without("layer2.0.downsample.1.bias") == "layer2.0.downsample.1.bias: there is no such tensor");
  CHECK(without("fc.bias") == "fc.bias: there is no such tensor");
  CHECK(error_of(WeightsFile(good).drop({"fc"}).set_metadata("qcnet.role", "server")) ==
        "fc.weight: there is no such tensor");  // without a role it could be a head
  CHECK(without("layer1") == "layer1.0.conv1.weight: there is no such tensor");    // a stage missing
  CHECK(without("layer2") == "layer2.0.conv1.weight: there is no such tensor");    // a later one
  CHECK(without("layer3.0") == "layer3.0.conv1.weight: there is no such tensor");  // a block missing
  // A stage that shrinks without its shortcut: said when it is planned, by the step that adds.
  const Network bad = build(WeightsFile(good).drop({"layer2.0.downsample"})).value();
  CHECK(contains(bad(good.tensor("golden.input")).error().message(),
                 "layer2.0.conv2: the residual [2, 11, 9, 4]"));

  CHECK(error_of(WeightsFile(good).set("conv1.weight", {4, 3, 5, 5})) ==
        "conv1.weight: expected shape [4, 3, 7, 7], found [4, 3, 5, 5]");
  CHECK(error_of(WeightsFile(good).set("layer1.0.conv2.weight", {4, 4, 1, 1})) ==
        "layer1.0.conv2.weight: expected shape [4, 4, 3, 3], found [4, 4, 1, 1]");
  CHECK(error_of(WeightsFile(good).set("layer1.0.conv2.weight", {4, 3, 3, 3})) ==
        "layer1.0.conv2.weight: expected shape [4, 4, 3, 3], found [4, 3, 3, 3]");
  CHECK(contains(error_of(WeightsFile(good).set("layer1.0.conv2.weight", {4, 36})),
                 "layer1.0.conv2.weight: expected 4 dimensions, found shape [4, 36]"));
  CHECK(contains(error_of(WeightsFile(good).set("conv1.weight", {4})), "conv1.weight: expected"));
  CHECK(contains(error_of(WeightsFile(good).set("conv1.weight", {4, 0, 3, 3})), "conv1.weight: "));
  // Beside a zero a file's sizes may be what no shape of its channels can be.
  const std::size_t huge = std::size_t{1} << (sizeof(std::size_t) > 4 ? 58 : 26);
  CHECK(contains(error_of(WeightsFile(good).set("conv1.weight", {0, huge, 1, 1})), "conv1.weight: is empty"));
  CHECK(error_of(WeightsFile(good).set("layer1.0.bn1.bias", {5})) ==
        "layer1.0.bn1.bias: expected shape [4], found [5]");
  CHECK(error_of(WeightsFile(good).set("fc.weight", {7, 11})) ==
        "fc.weight: expected shape [out, 12], found [7, 11]");
  CHECK(error_of(WeightsFile(good).set("fc.weight", {7, 12, 1})) ==
        "fc.weight: expected shape [out, 12], found [7, 12, 1]");
  CHECK(error_of(WeightsFile(good).set("fc.bias", {8})) == "fc.bias: expected shape [7], found [8]");

  WeightsFile wrong_type = good;
  wrong_type.tensors["bn1.weight"].dtype = "I32";
  CHECK(contains(error_of(wrong_type), "bn1.weight: its elements are I32"));
  CHECK(error_of(WeightsFile(good).poke("layer4.0.conv1.weight", 3, nan)) ==
        "layer4.0.conv1.weight: holds NaN or infinity, a weight must be finite");
  CHECK(contains(error_of(WeightsFile(good).poke("layer3.1.bn1.running_mean", 0, HUGE_VALF)),
                 "layer3.1.bn1.running_mean: holds NaN or infinity"));
  CHECK(error_of(WeightsFile(good).poke("bn1.running_var", 1, -0.5f)) ==
        "bn1.running_var: a variance is negative");

  CHECK(error_of(WeightsFile(good).set("layer1.0.se.fc1.weight", {4, 4, 1, 1})) ==
        "layer1.0.se.fc1.weight: no block of a ResNet has this; is it another network?");
  CHECK(
      contains(error_of(WeightsFile(good).keep({"fc."}).set("conv1.0.weight", {24, 3, 3, 3})),  // ShuffleNet
               "holds a model of no known family"));
  CHECK(contains(error_of(WeightsFile(good).keep({"golden"}).set_metadata("qcnet.architecture", "resnet")),
                 "holds no ResNet"));
  CHECK(contains(error_of(WeightsFile(good).keep({"golden"})),
                 "holds a model of no known family (resnet, vit, "));
  CHECK(contains(error_of(WeightsFile()), "holds a model of no known family"));
  CHECK(contains(error_of(WeightsFile(good).set_metadata("qcnet.architecture", "vgg")),
                 "architecture \"vgg\" is not known"));
  CHECK(contains(error_of(WeightsFile(good).set_metadata("qcnet.architecture", "\x1b[2J")),
                 "architecture \"?[2J\" is not known"));
  CHECK(build(WeightsFile(good).set_metadata("qcnet.architecture", "resnet")).ok());
}

TEST_CASE("a hole in a stage's blocks is an error, whatever the numbers") {
  const WeightsFile good = WeightsFile::golden("resnet_basic");
  WeightsFile hole = good;
  for (const auto& [name, entry] : good.tensors)
    if (name.starts_with("layer1.1.")) hole.tensors["layer1.3." + name.substr(9)] = entry;
  CHECK(error_of(hole) == "layer1.2.conv1.weight: there is no such tensor");
  CHECK(error_of(WeightsFile(good).set("layer1.9999.conv1.weight", {4, 4, 3, 3})) ==
        "layer1.2.conv1.weight: there is no such tensor");
  // Names that only look like blocks do not count.
  CHECK(build(WeightsFile(good).set("layer1.x.conv1.weight", {1}).set("layer1.99999999999999999999.a", {1}))
            .ok());
  CHECK(build(WeightsFile(good).set("layer1.", {1}).set("layer1..a", {1}).set("layer99.0.a", {1})).ok());
}

TEST_CASE("an unknown cut lists those there are") {
  const Network network = build(WeightsFile::golden("resnet_grouped")).value();
  CHECK(network.partition_at("layer9").error().message() ==
        "there is no cut point \"layer9\"; this network has: relu, layer1.0.add, layer1.0, layer1.1, layer1, "
        "layer2.0.add, layer2.0, "
        "layer2.1, layer2, layer3.0.add, layer3.0, layer3");
  CHECK(contains(network(random_tensor({1, 9, 10, 4}, 1)).error().message(), "conv1: expected 3 input"));
}
