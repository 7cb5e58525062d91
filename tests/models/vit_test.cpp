#include "models/golden_model.hpp"

using namespace qcnet;
using namespace qcnet::test;
using namespace golden;

namespace {

const std::string block = "encoder.layers.encoder_layer_";

}  // namespace

TEST_CASE("a ViT computes what PyTorch computes, whole, at every cut, and cut there") {
  const WeightsFile file = WeightsFile::golden("vit");
  check_golden_model(file);
  CHECK(build(file).value().cut_names() == "conv_proj, " + block + "0, " + block + "1");
}

TEST_CASE("older torchvision's names of the MLP are known") {
  WeightsFile old;
  for (const auto& [name, entry] : WeightsFile::golden("vit").tensors) {
    std::string before = name;
    if (const auto at = name.find("mlp.0."); at != std::string::npos) before.replace(at, 6, "mlp.linear_1.");
    if (const auto at = name.find("mlp.3."); at != std::string::npos) before.replace(at, 6, "mlp.linear_2.");
    old.tensors[before] = entry;
  }
  check_golden_model(old.set_metadata("qcnet.heads", "3"));
}

TEST_CASE("the parts of a ViT's deployment") {
  const WeightsFile whole = WeightsFile::golden("vit").set_metadata("qcnet.architecture", "vit");
  const Tensor input = whole.tensor("golden.input"), logits = build(whole).value()(input).value();
  const auto part = [&](const char* role, const std::vector<std::string>& prefixes) {
    return build(WeightsFile(whole).keep(prefixes).set_metadata("qcnet.role", role)).value();
  };
  SUBCASE("cut behind a block") {
    const Network head = part("node", {"conv_proj", "class_token", "encoder.pos", block + "0"});
    const Network tail = part("server", {block + "1", "encoder.ln", "heads"});
    CHECK(tail.cut_names() == block + "1");
    CHECK(identical(tail(head(input).value()).value(), logits));
  }
  SUBCASE("cut behind the patches") {
    const Network head = part("node", {"conv_proj"});
    const Network tail = part("server", {"class_token", "encoder", "heads"});
    CHECK(identical(tail(head(input).value()).value(), logits));
  }
  SUBCASE("cut behind the last block") {
    const Network head = part("node", {"conv_proj", "class_token", "encoder.pos", block});
    const Network tail = part("server", {"encoder.ln", "heads"});
    CHECK(identical(tail(head(input).value()).value(), logits));
  }
}

TEST_CASE("a ViT's server begins with the block behind its cut") {
  WeightsFile whole = WeightsFile::golden("vit").set_metadata("qcnet.architecture", "vit");
  whole.set_metadata("qcnet.role", "server");
  const auto said = [&](const std::string& cut, const std::vector<std::string>& kept) {
    return error_of(WeightsFile(whole).keep(kept).set_metadata("qcnet.cut", cut));
  };
  CHECK(said("conv_proj", {"class_token", "encoder", "heads"}) == "no error");
  CHECK(said(block + "0", {block + "1", "encoder.ln", "heads"}) == "no error");
  CHECK(said(block + "1", {"encoder.ln", "heads"}) == "no error");
  const std::string rule = "\"; a server's file holds all the layers behind its cut, and none before";
  CHECK(said("conv_proj", {block + "1", "encoder.ln", "heads"}) ==
        block + "1: is not what comes next behind the cut \"conv_proj" + rule);
  CHECK(said(block + "0", {block, "encoder.ln", "heads"}) ==
        block + "0: is not what comes next behind the cut \"" + block + "0" + rule);
  CHECK(
      contains(said(block + "1", {block + "1", "encoder.ln", "heads"}), block + "1: is not what comes next"));
  CHECK(
      contains(said(block + "x", {block + "1", "encoder.ln", "heads"}), block + "1: is not what comes next"));
}

TEST_CASE("heads are guessed for the published widths only") {
  const auto file = [](std::size_t channels) {
    WeightsFile made = WeightsFile::golden("vit").keep({"conv_proj.bias"});
    made.set("conv_proj.weight", {channels, 3, 16, 16}).set("conv_proj.bias", {channels});
    made.set("class_token", {1, 1, channels}).set("encoder.pos_embedding", {1, 5, channels});
    for (const char* norm : {"ln_1", "ln_2"})
      for (const char* part : {".weight", ".bias"}) made.set(block + "0." + norm + part, {channels});
    made.set(block + "0.self_attention.in_proj_weight", {3 * channels, channels});
    made.set(block + "0.self_attention.in_proj_bias", {3 * channels});
    made.set(block + "0.self_attention.out_proj.weight", {channels, channels});
    made.set(block + "0.self_attention.out_proj.bias", {channels});
    made.set(block + "0.mlp.0.weight", {8, channels}).set(block + "0.mlp.0.bias", {8});
    made.set(block + "0.mlp.3.weight", {channels, 8}).set(block + "0.mlp.3.bias", {channels});
    for (const char* part : {".weight", ".bias"}) made.set(std::string("encoder.ln") + part, {channels});
    made.set("heads.head.weight", {2, channels}).set("heads.head.bias", {2});
    made.metadata.clear();
    return made;
  };
  for (const std::size_t channels : {768ul, 1024ul, 1280ul}) CHECK(error_of(file(channels)) == "no error");
  // 128 channels may be 2 heads of 64 or 4 of 32: a wrong guess would give wrong answers without an error.
  for (const std::size_t channels : {64ul, 128ul, 1536ul})
    CHECK(error_of(file(channels)) == "the number of attention heads of a ViT with " +
                                          std::to_string(channels) +
                                          " channels is not known: add metadata \"qcnet.heads\" to the file");
  CHECK(error_of(file(128).set_metadata("qcnet.heads", "4")) == "no error");

  const std::pair<std::size_t, std::size_t> published[] = {{768, 12}, {1024, 16}, {1280, 16}};
  for (const auto& [channels, heads] : published) {
    WeightsFile random = file(channels);
    std::uint32_t seed = 0;
    for (auto& [name, entry] : WeightsFile(random).tensors)
      random.set(name, entry.shape, test::random_values(997, ++seed));
    const Tensor input = test::random_tensor({1, 32, 32, 3}, 1),
                 logits = build(random).value()(input).value();
    const auto with = [&](std::size_t count) {
      return build(random.set_metadata("qcnet.heads", std::to_string(count))).value()(input).value();
    };
    CHECK(identical(logits, with(heads)));
    CHECK_FALSE(identical(logits, with(heads / 2)));
  }
}

TEST_CASE("what a node of a ViT must hold") {
  const WeightsFile node =
      WeightsFile::golden("vit").set_metadata("qcnet.architecture", "vit").set_metadata("qcnet.role", "node");
  const auto said = [&](const std::vector<std::string>& kept) {
    return error_of(WeightsFile(node).keep(kept));
  };
  CHECK(said({"class_token", "encoder.pos", block}) == "conv_proj.weight: there is no such tensor");
  CHECK(said({"conv_proj", block}) == "class_token: there is no such tensor");
  CHECK(said({"conv_proj"}) == "no error");
}

TEST_CASE("what is wrong with a ViT's file is one sentence") {
  const WeightsFile good = WeightsFile::golden("vit");
  const auto without = [&](const std::string& name) { return error_of(WeightsFile(good).drop({name})); };
  for (const std::string& name :
       {std::string("class_token"), std::string("conv_proj.bias"), std::string("encoder.pos_embedding"),
        std::string("encoder.ln.bias"), std::string("heads.head.weight"),
        block + "1.self_attention.in_proj_weight", block + "1.ln_2.weight", block + "0.mlp.3.bias"})
    CHECK(without(name) == name + ": there is no such tensor");

  CHECK(error_of(WeightsFile(good).set_metadata("qcnet.heads", "5")) ==
        "metadata \"qcnet.heads\" is \"5\", which does not divide 24 channels");
  CHECK(contains(error_of(WeightsFile(good).set_metadata("qcnet.heads", "3x")), "\"3x\""));
  CHECK(contains(error_of(WeightsFile(good).set_metadata("qcnet.heads", "\x1b[2J")), "\"?[2J\""));
  WeightsFile no_heads = good;
  no_heads.metadata.clear();
  CHECK(contains(error_of(no_heads), "number of attention heads of a ViT with 24 channels is not known"));
  CHECK(error_of(WeightsFile(good).set(block + "0.self_attention.in_proj_weight", {48, 24})) ==
        block + "0.self_attention.in_proj_weight: expected shape [72, 24], found [48, 24]");
  CHECK(contains(error_of(WeightsFile(good).set("conv_proj.weight", {24, 3, 3, 4})),
                 "conv_proj.weight: expected shape [C, 3, P, P]"));
  CHECK(contains(error_of(WeightsFile(good).set("encoder.pos_embedding", {17, 24})),
                 "encoder.pos_embedding: expected shape [1, T, 24]"));
  CHECK(contains(error_of(WeightsFile(good).set("heads.pre_logits.weight", {24, 24})), "pre_logits"));

  const Network network = build(good).value();
  const auto said_of = [&](std::size_t height, std::size_t width) {
    return network(random_tensor({1, height, width, 3}, 1)).error().message();
  };
  CHECK(contains(said_of(15, 12),
                 "an image of 5x4 patches does not fit the position embedding, which is for 4x4 "));
  CHECK(contains(said_of(24, 6), "an image of 8x2 patches does not fit"));  // as many, but not those
  CHECK(contains(said_of(14, 12), "an image of 14x12 pixels is not a whole number of patches of 3x3"));
  CHECK(contains(said_of(12, 13), "12x13 pixels"));
  CHECK(
      contains(error_of(WeightsFile(good).set("encoder.pos_embedding", {1, 18, 24})),
               "encoder.pos_embedding: 18 positions are not those of a class token and a square of patches"));
  CHECK(contains(error_of(WeightsFile(good).set_metadata("qcnet.architecture", "convnext")),
                 "holds no ConvNeXt"));
  CHECK(
      contains(error_of(WeightsFile(good).set_metadata("qcnet.architecture", "resnet")), "holds no ResNet"));
}
