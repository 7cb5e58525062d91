// What is where in a picture? Runs a detector whole, or its node and server in one process.
#include "common/boxes.hpp"
#include "common/classes.hpp"
#include "common/draw.hpp"
#include "common/pair.hpp"
#include "common/picture_files.hpp"
#include "common/program.hpp"
#include "common/whole_model.hpp"
#include "common/write_png.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <qcnet/qcnet.hpp>

namespace {

using namespace examples;
using qcnet::Error, qcnet::Result;
using qcnet::vision::DetectionOptions, qcnet::vision::Image;
using Detections = std::vector<qcnet::vision::Detection>;

/// Boxes in a picture, and the names of their classes.
struct Finder {
  std::function<Result<Detections>(const Image&, const DetectionOptions&)> find;
  std::vector<std::string> classes;
};

Result<Finder> whole(WholeModel loaded, const std::string& path) {
  auto detector = qcnet::Detector::make(loaded.about, loaded.network);
  if (!detector) return detector.error().in(path);
  const auto model = std::make_shared<WholeModel>(std::move(loaded));
  return Finder{[model, detector = *detector](const Image& image,
                                              const DetectionOptions& options) -> Result<Detections> {
                  QCNET_TRY(const qcnet::Tensor input, model->about.preprocess(image));
                  model->network.run(input);
                  return detector(model->network, image.height, image.width, options);
                },
                model->about.classes};
}

Result<Finder> split(const std::string& node_path, const std::string& server_path) {
  QCNET_TRY(const Pair pair, Pair::load(node_path, server_path));
  return Finder{[pair](const Image& image, const DetectionOptions& options) -> Result<Detections> {
                  QCNET_TRY(const qcnet::Frame frame, pair.node->encode(image));
                  return pair.server->detect(frame, options);
                },
                pair.server->deployment().classes};
}

/// What Darknet's .weights do not say, but their cfg.
struct Darknet {
  std::size_t size = 416;
  std::string names, anchors, masks;
  std::vector<CLI::Option*> given = {};

  void add_to(CLI::App& app) {
    const auto add = [&](const char* name, auto& value, const char* text) {
      given.push_back(app.add_option(name, value, text)
                          ->group("For Darknet's .weights, which say nothing about themselves"));
      return given.back();
    };
    add("--size", size, "Pixels of the square input, a multiple of 32")
        ->check(CLI::Range(32, 4096))
        ->capture_default_str();
    add("--names", names, "Text file with the name of a class on each line (default: 80 unnamed)");
    auto* const of_anchors =
        add("--anchors", anchors,
            "As the cfg has them: \"10,14, 23,27, ...\" (default: the published network's)");
    auto* const of_masks =
        add("--masks", masks, "The cfg's of the coarse map, then of the fine one: \"3,4,5, 1,2,3\"");
    of_anchors->needs(of_masks);
    of_masks->needs(of_anchors);
  }

  Result<WholeModel> load(const std::string& path) const {
    if (size % 32 != 0) return Error("--size " + std::to_string(size) + " is not a multiple of 32");
    std::vector<std::string> classes;
    if (!names.empty()) {
      QCNET_TRY(classes, read_class_names(names));
    }
    if (anchors.empty())
      return WholeModel::load_darknet(path, size, classes, qcnet::vision::Anchors::published());
    auto parsed = qcnet::vision::Anchors::parse(spaced(anchors), spaced(masks));
    if (!parsed) return parsed.error().in("--anchors and --masks");
    return WholeModel::load_darknet(path, size, classes, *std::move(parsed));
  }

 private:
  /// Numbers between commas, which may have spaces, as numbers between spaces.
  static std::string spaced(std::string list) {
    std::ranges::replace(list, ',', ' ');
    std::istringstream in(list);
    std::string out;
    for (std::string number; in >> number;) out += (out.empty() ? "" : " ") + number;
    return out;
  }
};

/// What kind of file MODEL is decides how it runs.
Result<Finder> load(const std::string& model, const std::string& server, const Darknet& darknet) {
  if (model.ends_with(".weights")) {
    if (!server.empty()) return Error(model + ": is a whole model, which needs no --server");
    QCNET_TRY(auto loaded, darknet.load(model));
    return whole(std::move(loaded), model);
  }
  std::string role;
  {
    QCNET_TRY(const auto file, qcnet::io::Safetensors::open(model));
    if (!qcnet::models::finds_boxes(qcnet::models::architecture(file)))
      return Error(model + ": is a classifier, whose answers the program classify prints");
    role = file.metadata("qcnet.role").value_or("model");
  }
  if (role == "server") return Error(model + ": is a server's file; name its node's, then --server and this");
  if ((role == "node") != !server.empty())
    return Error(
        model + ": is a " + qcnet::io::detail::printable(role) + " file" +
        (server.empty() ? "; name its server's file too, with --server" : ", which needs no --server"));
  if (role == "node") return split(model, server);
  QCNET_TRY(auto loaded, WholeModel::load(model, {}));
  return whole(std::move(loaded), model);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Prints what a detector finds in a picture, best first, a line for each box: class, score from 0 to "
      "1,\n"
      "left and upper edge, width and height in pixels of the picture.",
      "detect");
  app.footer(
      "Examples: detect yolo-bccd.safetensors blood.jpg -o boxed.png\n"
      "          detect yolo-bccd-layers.7.node.safetensors --server"
      " yolo-bccd-layers.7-qcnet.server.safetensors blood.jpg\n"
      "          detect yolov3-tiny.weights --names coco.names street.jpg");
  std::string model, picture, output, server;
  DetectionOptions options;
  Darknet darknet;
  app.add_option("MODEL", model, "A whole detector, a node's file, or Darknet's yolov3-tiny .weights")
      ->required();
  app.add_option("PICTURE", picture, "JPEG, PNG or BMP")->required();
  app.add_option("--server", server, "The server's file, if MODEL is a node's");
  app.add_option("-o,--output", output, "PNG file for the picture with the boxes drawn in");
  add_detection_options(app, options);
  add_threads_option(app);
  darknet.add_to(app);

  return run(app, argc, argv, [&]() -> Result<void> {
    if (is_picture(output) && !output.ends_with(".png") && !output.ends_with(".PNG"))
      return Error(output + ": boxes are drawn into a PNG file; give it a name that ends in .png");
    for (const CLI::Option* option : darknet.given)
      if (option->count() > 0 && !model.ends_with(".weights"))
        return Error(model + ": says that itself; leave out " + option->get_name());
    QCNET_TRY(const Finder finder, load(model, server, darknet));
    QCNET_TRY(auto image, qcnet::vision::read_image(picture));
    const auto found = finder.find(image, options);
    if (!found) return found.error().in(picture);
    if (!output.empty()) {
      draw_detections(image, *found, finder.classes);
      QCNET_CHECK(write_png(output, image));
    }
    for (const auto& detection : *found) std::cout << box_columns(detection, finder.classes) << '\n';
    if (found->empty()) std::cout << no_boxes << '\n';
    return {};
  });
}
