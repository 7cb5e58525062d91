#include "models/golden_model.hpp"

#include <string>

#include <qcnet/models/patches.hpp>

using namespace qcnet;
using namespace qcnet::test;
using namespace golden;

TEST_CASE("a patch's size is a number from 1 to 8, and 1 if it is not said") {
  WeightsFile file;
  const auto size = [&] {
    return file.with([](const io::Safetensors& from) { return models::patch_size(from); });
  };
  CHECK(size().value() == 1);
  for (const std::size_t good : Sizes{1, 2, 3, 8}) {
    file.set_metadata("qcnet.patch", std::to_string(good));
    CHECK(size().value() == good);
  }
  for (const char* bad : {"", "0", "9", "-2", "2 2", "2x2", "two", " 2", "2.0", "99999999999999999999"}) {
    file.set_metadata("qcnet.patch", bad);
    CHECK(size().error().message() ==
          std::string("metadata \"qcnet.patch\" must be a number from 1 to 8, found \"") + bad + "\"");
  }
  file.set_metadata("qcnet.patch", "\x1b[2J");
  CHECK(contains(size().error().message(), "found \"?[2J\""));
}

TEST_CASE("a node gives patches only where its head ends in a convolution alone") {
  struct Case {
    const char *golden, *architecture, *cut;
  };
  const Case cases[] = {{"resnet_basic", "resnet", "relu"},
                        {"resnet_basic", "resnet", "layer2"},
                        {"resnet_basic", "resnet", "layer2.0"},
                        {"resnet_basic", "resnet", "layer1.0.add"},  // its shortcut is no convolution
                        {"resnet_basic", "resnet", ".add"},
                        {"resnet_basic", "resnet", "\x1b[2J"},
                        {"vit", "vit", "conv_proj"},
                        {"vit", "vit", "encoder.layers.encoder_layer_0"},
                        {"convnext", "convnext", "features.0"},
                        {"convnext", "convnext", "features.1"},
                        {"convnext", "convnext", "features.6"},  // of other ConvNeXts, not of this one
                        {"yolov3_tiny", "yolov3-tiny", "layers.7"},
                        {"yolov3_tiny", "yolov3-tiny", "layers.8"},
                        {"yolov3_tiny", "yolov3-tiny", "layers.10"}};
  for (const Case& of : cases) {
    CAPTURE(of.cut);
    WeightsFile file = WeightsFile::golden(of.golden);
    file.set_metadata("qcnet.architecture", of.architecture).set_metadata("qcnet.role", "node");
    file.set_metadata("qcnet.cut", of.cut).set_metadata("qcnet.patch", "3");
    CHECK(error_of(file) ==
          "a node cut at \"" + io::detail::printable(of.cut) +
              "\" cannot give patches of 3 x 3 pixels (metadata \"qcnet.patch\"); it can at a ResNet's sums "
              "(layer2.0.add), a ConvNeXt's downsamplings (features.2) and YOLOv3-Tiny's convolutions "
              "(layers.8.bn)");
    CHECK(contains(error_of(file.set_metadata("qcnet.patch", "9")), "must be a number from 1 to 8"));
    // Nothing is asked of one pixel, nor of a whole model.
    CHECK_FALSE(contains(error_of(file.set_metadata("qcnet.patch", "1")), "patch"));
    CHECK(error_of(file.set_metadata("qcnet.patch", "3").set_metadata("qcnet.role", "model")) == "no error");
  }
  WeightsFile binary;
  binary.set("binary.stem.bias", {1}).set_metadata("qcnet.role", "node").set_metadata("qcnet.patch", "2");
  CHECK(contains(error_of(binary.set_metadata("qcnet.cut", "features.2")),
                 "a node cut at \"features.2\" cannot"));
}

TEST_CASE("a server's network begins with making pixels of patches, if one map comes in") {
  const WeightsFile whole = WeightsFile::golden("yolov3_tiny");
  const auto tail = [&](const char* cut, const char* patch) {
    return yolov3_tiny_part(whole, "server", cut).set_metadata("qcnet.patch", patch);
  };
  const Network pixels = build(tail("layers.5", "1")).value(), patches = build(tail("layers.5", "2")).value();
  CHECK(pixels.steps().front().name == "layers.6");
  CHECK(patches.steps().front().name == "qcnet.patch");
  CHECK(patches.steps().size() == pixels.steps().size() + 1);
  CHECK(patches.cut_names() == pixels.cut_names());
  CHECK(Executor::make(patches, {1, 4, 6, 6}).error().message() ==
        "qcnet.patch: expected one input [N, H, W, 4 C], found [1, 4, 6, 6]");
  CHECK(error_of(tail("layers.10", "1")) == "no error");
  CHECK(error_of(tail("layers.10", "2")) ==
        "a tail of 2 maps cannot read patches of 2 x 2 pixels (metadata \"qcnet.patch\")");
  CHECK(contains(error_of(tail("layers.5", "many")), "must be a number from 1 to 8, found \"many\""));
}
