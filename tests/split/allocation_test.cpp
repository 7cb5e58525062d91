// Nothing is allocated once a pass was made: executor, node and server.
#include "allocations.hpp"
#include "support.hpp"
#include "weights_file.hpp"

#include <string>
#include <vector>

#include <qcnet/node.hpp>
#include <qcnet/server.hpp>

using namespace qcnet;
using test::golden_path;
using test::WeightsFile;

namespace {

/// Allocations of a second and third call; the first may start threads and fill what is kept.
template <class Call>
std::size_t allocations_when_warm(const Call& call) {
  call();
  const std::size_t before = allocations();
  call();
  call();
  return allocations() - before;
}

vision::Image gray_picture(std::size_t height, std::size_t width, std::size_t channels) {
  return {height, width, channels, std::vector<std::uint8_t>(height * width * channels, 90)};
}

}  // namespace

TEST_CASE("a warm executor allocates nothing") {
  const Network network = WeightsFile::golden("resnet_bottleneck")
                              .with([](const auto& file) { return models::load(file); })
                              .value();
  const Tensor input = test::random_tensor({1, 96, 96, 3}, 1);
  for (const int count : {1, 2}) {
    CAPTURE(count);
    test::Threads threads(count);
    Executor whole = Executor::make(network, input.shape()).value();
    CHECK(allocations_when_warm([&] { whole.run(input); }) == 0);
    Executor head = Executor::make(network.partition_at("layer2").value().first, input.shape()).value();
    Bitplane bits(head.output_shape());
    const std::size_t channels = head.output_shape().channels();
    const std::vector<float> thresholds = pad_thresholds(std::vector<float>(channels, 0.5f), channels);
    REQUIRE(head.emits_bits());
    CHECK(allocations_when_warm([&] { head.run_bits(input, thresholds, bits); }) == 0);
  }
}

TEST_CASE("a warm node allocates nothing, resizing and converting included") {
  for (const int count : {1, 2}) {
    CAPTURE(count);
    test::Threads threads(count);
    for (const char* name : {"tiny-layer2", "tiny-relu", "tiny-vit", "tiny-conv_proj", "tiny-convnext",
                             "tiny-encoder", "tiny-codes", "tiny-token-codes", "tiny-components",
                             "tiny-token-components", "tiny-sum", "tiny-patches", "tiny-patches-convnext"}) {
      CAPTURE(name);
      Node node = Node::load(golden_path(std::string(name) + ".node")).value();
      Frame frame = node.make_frame();
      const Tensor input(node.head().input_shape());
      CHECK(allocations_when_warm([&] { node.encode_into(ConstTensorView(input), frame).value(); }) == 0);
      for (const vision::Image& image :
           {gray_picture(16, 22, 3), gray_picture(61, 47, 3), gray_picture(9, 40, 1)})
        CHECK(allocations_when_warm([&] { node.encode_into(image, frame).value(); }) == 0);
      const vision::Image stored = gray_picture(61, 50, 3);
      const vision::ImageView camera{61, 47, 3, stored.pixels, 3 * 50};
      CHECK(allocations_when_warm([&] { node.encode_into(camera, frame).value(); }) == 0);
    }
  }
}

TEST_CASE("a warm server allocates nothing") {
  for (const int count : {1, 2}) {
    CAPTURE(count);
    test::Threads threads(count);
    for (const char* name :
         {"tiny-layer2-lloyd-max", "tiny-layer2-qcnet0", "tiny-layer2-qcnet1", "tiny-layer2-qcnet2",
          "tiny-vit-lloyd-max", "tiny-vit-qcnet1", "tiny-vit-qcnet2", "tiny-conv_proj-qcnet",
          "tiny-convnext-lloyd-max", "tiny-convnext-qcnet", "tiny-codes-3-bit", "tiny-token-codes-4-bit",
          "tiny-components-klt-qcnet", "tiny-token-components-klt-qcnet", "tiny-sum-klt-qcnet",
          "tiny-patches-klt-qcnet", "tiny-patches-convnext-klt"}) {
      CAPTURE(name);
      Server server = Server::load(golden_path(std::string(name) + ".server")).value();
      const Deployment& about = server.deployment();
      const MapSpec map[] = {{about.cut, about.sent(about.maps()[0])}};
      Frame frame = Frame::make(server.deployment().hash, map).value();
      frame.seal(1);
      CHECK(allocations_when_warm([&] { server.decode(frame).value(); }) == 0);
      const PartialFrame nothing{frame, frame};
      CHECK(allocations_when_warm([&] { server.decode(nothing).value(); }) == 0);
    }
  }
}

TEST_CASE("a warm server allocates nothing for QCNets so wide that the last layer's input is copied") {
  const std::string net = "qcnet.compensator.";
  WeightsFile map = WeightsFile::golden("tiny-layer2-qcnet0.server");
  map.set(net + "input.conv.weight", {1024, 12, 1, 1}).set(net + "output.weight", {12, 1024, 1, 1});
  for (const char* part : {"weight", "bias", "running_mean", "running_var"})
    map.set(net + "input.bn." + part, {1024}, {1});
  WeightsFile tokens = WeightsFile::golden("tiny-vit-qcnet1.server");
  tokens.set(net + "input.weight", {1024, 24}).set(net + "input.bias", {1024});
  tokens.set(net + "norm.weight", {1024}).set(net + "norm.bias", {1024});
  tokens.set(net + "output.weight", {24, 1024}).set(net + "positions", {1, 17, 1024});
  for (WeightsFile* file : {&map, &tokens}) {
    file->drop({"qcnet.check", net + "blocks."});
    Server server = file->with([](const auto& weights) { return Server::load(weights); }).value();
    Frame frame = Frame::make(server.deployment().hash, server.deployment().frame_maps()).value();
    frame.seal(1);
    CHECK(allocations_when_warm([&] { server.decode(frame).value(); }) == 0);
  }
}
