#include "models/golden_model.hpp"

using namespace qcnet;
using namespace qcnet::test;
using namespace golden;

TEST_CASE("a ConvNeXt computes what PyTorch computes, whole, at every cut, and cut there") {
  const WeightsFile file = WeightsFile::golden("convnext");
  check_golden_model(file);
  CHECK(build(file).value().cut_names() ==
        "features.0, features.1.0, features.1, features.2, features.3.0, features.3.1, features.3, "
        "features.4, features.5.0, features.5");
}

TEST_CASE("the parts of a ConvNeXt's deployment") {
  const WeightsFile whole = WeightsFile::golden("convnext").set_metadata("qcnet.architecture", "convnext");
  const Tensor input = whole.tensor("golden.input"), logits = build(whole).value()(input).value();
  const std::vector<std::vector<std::string>> heads = {
      {"features.0"},
      {"features.0", "features.1"},
      {"features.0", "features.1", "features.2"},
      {"features.0", "features.1", "features.2", "features.3.0"},
      {"features"},
  };
  for (const auto& kept : heads) {
    CAPTURE(kept.back());
    const Network head = build(WeightsFile(whole).keep(kept).set_metadata("qcnet.role", "node")).value();
    const Network tail = build(WeightsFile(whole).drop(kept).set_metadata("qcnet.role", "server")).value();
    CHECK(identical(tail(head(input).value()).value(), logits));
  }
}

TEST_CASE("a ConvNeXt's server begins with the block behind its cut") {
  WeightsFile whole = WeightsFile::golden("convnext").set_metadata("qcnet.architecture", "convnext");
  whole.set_metadata("qcnet.role", "server");
  const auto said = [&](const std::string& cut, const std::vector<std::string>& kept) {
    return error_of(WeightsFile(whole).keep(kept).set_metadata("qcnet.cut", cut));
  };
  const auto stages = [](std::vector<std::string> first, int next) {
    for (; next < 8; ++next) first.push_back("features." + std::to_string(next));
    first.push_back("classifier");
    return first;
  };
  CHECK(said("features.0", stages({}, 1)) == "no error");
  CHECK(said("features.1", stages({}, 2)) == "no error");
  CHECK(said("features.1.0", stages({}, 2)) == "no error");
  CHECK(said("features.3.0", stages({"features.3.1"}, 4)) == "no error");
  CHECK(said("features.7", stages({}, 8)) == "no error");
  CHECK(said("features.2", stages({"features.3.1"}, 4)) ==
        "features.3.1: is not what comes next behind the cut \"features.2\"; a server's file holds all the "
        "layers behind its cut, and none before");
  CHECK(contains(said("features.1", stages({}, 3)), "features.3.0: is not what comes next"));
  CHECK(contains(said("features.3.0", stages({}, 3)), "features.3.0: is not what comes next"));
  CHECK(contains(said("features.0", {"features", "classifier"}), "features.0: is not what comes next"));
}

TEST_CASE("what is wrong with a ConvNeXt's file is one sentence") {
  const WeightsFile good = WeightsFile::golden("convnext");
  for (const char* name : {"features.0.1.weight", "features.0.0.bias", "features.1.0.block.0.bias",
                           "features.1.0.layer_scale", "features.3.1.block.0.weight", "features.2.1.weight",
                           "features.3.0.block.5.bias", "classifier.0.weight", "classifier.2.bias"})
    CHECK(error_of(WeightsFile(good).drop({name})) == std::string(name) + ": there is no such tensor");
  CHECK(error_of(WeightsFile(good).drop({"features.3"})) ==
        "features.3.0.block.0.weight: there is no such tensor");
  CHECK(contains(error_of(WeightsFile(good).set("features.1.0.block.0.weight", {8, 1, 6, 6})),
                 "features.1.0.block.0.weight: expected shape [8, 1, K, K] with an odd K"));
  CHECK(error_of(WeightsFile(good).set("features.3.0.block.5.weight", {8, 64})) ==
        "features.3.0.block.5.weight: expected shape [16, 64], found [8, 64]");
  CHECK(contains(error_of(WeightsFile(good).set("features.2.1.weight", {16, 8, 2, 1})),
                 "features.2.1.weight: expected shape [Cout, Cin, P, P]"));
  CHECK(contains(error_of(WeightsFile(good).set("features.2.1.weight", {16, 5, 2, 2})),
                 "features.2.1.weight: "));
  CHECK(contains(error_of(WeightsFile(good).set_metadata("qcnet.architecture", "vit")),
                 "holds no Vision Transformer"));
  CHECK(contains(build(good).value()(random_tensor({1, 3, 3, 3}, 1)).error().message(), "features.0.0: "));
}

TEST_CASE("a ConvNeXt's node gives patches of a downsampling at its cut, of exactly the size they have") {
  WeightsFile node = WeightsFile::golden("convnext").keep({"features.0", "features.1", "features.2"});
  node.set_metadata("qcnet.architecture", "convnext").set_metadata("qcnet.role", "node");
  node.set_metadata("qcnet.cut", "features.2").set_metadata("qcnet.patch", "3");
  CHECK(error_of(node) == "features.2.1.weight: expected shape [16, 8, 6, 6], found [16, 8, 2, 2]");
  node.set("features.2.1.weight", {5, 8, 6, 6}).set("features.2.1.bias", {5}, {1, 2, 3, 4, 5});
  const Tensor patches = build(node).value()(random_tensor({1, 48, 96, 3}, 1)).value();
  CHECK(patches.shape() == Shape{1, 2, 4, 5});
  CHECK(patches[7] == 3);
  // Other downsamplings stay as they are.
  node = WeightsFile::golden("convnext").keep({"features"});
  node.set_metadata("qcnet.architecture", "convnext").set_metadata("qcnet.role", "node");
  node.set_metadata("qcnet.cut", "features.4").set_metadata("qcnet.patch", "2").drop({"features.5"});
  CHECK(contains(error_of(node), "features.4.1.weight: expected shape ["));
}
