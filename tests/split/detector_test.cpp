#include "support.hpp"
#include "weights_file.hpp"

#include <cmath>
#include <string>
#include <vector>

#include <qcnet/node.hpp>
#include <qcnet/server.hpp>

using namespace qcnet;
using test::contains;
using test::golden_path;
using test::WeightsFile;
using Detections = std::vector<vision::Detection>;

namespace {

vision::Image picture() {
  const Tensor pixels = WeightsFile::golden("tiny-yolo.golden").tensor("picture");
  vision::Image image{pixels.shape()[0], pixels.shape()[1], pixels.shape()[2], {}};
  for (const float x : pixels.span()) image.pixels.push_back(static_cast<std::uint8_t>(x));
  return image;
}

Result<Server> load_detector(const WeightsFile& file) {
  return file.with([](const io::Safetensors& weights) { return Server::load(weights, {}); });
}

/// Rows (class, score, x0, y0, x1, y1) that PyTorch and torchvision's NMS found.
void check_found(const Detections& found, const std::string& golden) {
  const Tensor rows = WeightsFile::golden("tiny-yolo.golden").tensor(golden);
  REQUIRE(found.size() == rows.shape()[0]);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const float* row = rows.data() + 6 * i;
    const auto& [label, score, box] = found[i];
    const float ours[] = {static_cast<float>(label), score, box.x0, box.y0, box.x1, box.y1};
    const float most[] = {0, 1e-5f, 1e-3f, 1e-3f, 1e-3f, 1e-3f};
    for (std::size_t k = 0; k < 6; ++k)
      if (!(std::abs(ours[k] - row[k]) <= most[k])) FAIL_CHECK("row " << i << ", column " << k);
  }
}

}  // namespace

TEST_CASE("a detector's pair finds what PyTorch finds, in pixels of the node's picture") {
  Node node = Node::load(golden_path("tiny-yolo.node")).value();
  const Frame sent = node.encode(picture()).value();
  const Frame frame = Frame::parse(sent.bytes()).value();
  CHECK(frame.map_count() == 2);
  CHECK(frame.picture() == PictureSize{90, 50});
  Server server = Server::load(golden_path("tiny-yolo-qcnet.server")).value();
  check_found(server.detect(frame).value(), "qcnet.detections");
  CHECK(server.detect(frame, {.most = 3}).value().size() == 3);
  CHECK(server.detect(frame, {.score = 0.999f}).value().empty());

  // The same boxes in a picture twice as large, but for what its edges cut off.
  Frame large = frame;
  large.seal(2, {180, 100});
  const auto small = server.detect(frame, {.most = 1}).value(),
             twice = server.detect(large, {.most = 1}).value();
  CHECK(twice[0].box.x1 == doctest::Approx(2 * small[0].box.x1));
  CHECK(twice[0].box.y1 == doctest::Approx(2 * small[0].box.y1));
}

TEST_CASE("a whole detector finds what PyTorch finds") {
  const auto file = io::Safetensors::open(golden_path("tiny-yolo")).value();
  const Deployment about = Deployment::read(file, "model").value();
  Executor network = Executor::make(models::load(file).value(), about.preprocess.output_shape()).value();
  const Detector detector = Detector::make(about, network).value();
  CHECK(detector.classes() == 3);
  const vision::Image image = picture();
  network.run(about.preprocess(image).value());
  check_found(detector(network, image.height, image.width).value(), "whole.detections");
  CHECK(contains(detector(network, 0, 90).error().message(), "size is not known"));
}

TEST_CASE("a frame that does not say its picture's size has no boxes") {
  Node node = Node::load(golden_path("tiny-yolo.node")).value();
  Frame frame = node.make_frame();
  node.encode_into(ConstTensorView(Tensor(node.head().input_shape())), frame).value();
  Server server = Server::load(golden_path("tiny-yolo-qcnet.server")).value();
  CHECK(server.detect(frame).error().message() ==
        "the picture's size is not known, so no box can be placed in it");
}

TEST_CASE("a classifier is no detector") {
  Server server = Server::load(golden_path("tiny-layer2-lloyd-max.server")).value();
  CHECK_FALSE(server.deployment().anchors);
  Node node = Node::load(golden_path("tiny-layer2.node")).value();
  CHECK(server.detect(node.make_frame()).error().message() ==
        "this server is a classifier, which finds no boxes");
  CHECK(Detector::make(server.deployment(), server.tail()).error().message() ==
        "is a classifier, which finds no boxes");
}

TEST_CASE("what a detector's file lacks or contradicts is said plainly") {
  const WeightsFile good = WeightsFile::golden("tiny-yolo-qcnet.server");
  const auto said = [&](const std::string& key, const char* value) {
    WeightsFile file = good;
    if (value == nullptr)
      file.metadata.erase(key);
    else
      file.set_metadata(key, value);
    const auto server = load_detector(file);
    return server.ok() ? "no error" : server.error().message();
  };
  CHECK(said("qcnet.method", "mine") == "no error");
  CHECK(said("qcnet.classes", nullptr) == "no error");
  CHECK(said("qcnet.anchors", nullptr) ==
        "metadata \"qcnet.anchors\" is missing, without which a detector's maps are no boxes");
  CHECK(contains(said("qcnet.masks", nullptr), "metadata \"qcnet.masks\" is missing"));
  CHECK(contains(said("qcnet.masks", "2 3 4 0 1 2"), "there is no anchor 4"));
  for (const char* letterbox : {static_cast<const char*>(nullptr), "0"})
    CHECK(said("qcnet.letterbox", letterbox) ==
          "metadata \"qcnet.letterbox\" is not 1, but a detector needs letterboxed pictures");
  for (const char* input : {"80 96 3", "64 80 3"})
    CHECK(contains(said("qcnet.input", input),
                   "metadata \"qcnet.input\": a detector's height and width are multiples of 32, found "));
  // 16 channels are 2 anchors of 5 and 3 classes; as 3 anchors they are nothing, as 1 they are 11 classes.
  CHECK(said("qcnet.masks", "1 2 3 0 1 2") ==
        "layers.15: the detection map [1, 2, 3, 16] does not have 5 channels and its classes for 3 anchors");
  CHECK(said("qcnet.masks", "3 0") ==
        "metadata \"qcnet.classes\" names 3 classes, but the network tells 11 apart");
  CHECK(said("qcnet.classes", "round\nsquare") ==
        "metadata \"qcnet.classes\" names 2 classes, but the network tells 3 apart");
  // An input twice as large as the maps are for: boxes would be twice as far apart as they are.
  CHECK(said("qcnet.input", "128 192 3") ==
        "layers.15: the detection map [1, 2, 3, 16] does not have cells of 32 pixels; is metadata "
        "\"qcnet.input\" of another size than \"qcnet.feature\"?");

  // The node says it too: what its frames are for will never be boxes.
  WeightsFile node = WeightsFile::golden("tiny-yolo.node");
  node.metadata.erase("qcnet.anchors");
  CHECK(contains(node.with([](const io::Safetensors& file) { return Node::load(file); }).error().message(),
                 "\"qcnet.anchors\" is missing"));
}
