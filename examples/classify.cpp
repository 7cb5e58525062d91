// What is in a picture? Runs a whole model, or a node and a server in one process.
#include "common/answer.hpp"
#include "common/classes.hpp"
#include "common/pair.hpp"
#include "common/program.hpp"
#include "common/whole_model.hpp"

#include <functional>
#include <iomanip>
#include <memory>

#include <qcnet/qcnet.hpp>

namespace {

using namespace examples;
using qcnet::Error, qcnet::Result;

/// Logits of a picture, and the names of the classes.
struct Classifier {
  std::function<Result<qcnet::ConstTensorView>(const qcnet::vision::Image&)> logits;
  std::vector<std::string> classes;
};

Result<void> check_task(const qcnet::Deployment& about, const std::string& path) {
  if (!about.anchors) return {};
  return Error(path + ": is a detector, whose boxes the program detect prints");
}

Result<Classifier> load_whole(const std::string& path, const PreprocessOptions& options, bool bf16) {
  QCNET_TRY(auto loaded, WholeModel::load(path, options, {.bf16 = bf16}));
  if (!loaded.about.name.empty()) QCNET_CHECK(options.check_not_given(path));
  QCNET_CHECK(check_task(loaded.about, path));
  const auto model = std::make_shared<WholeModel>(std::move(loaded));
  return Classifier{[model](const qcnet::vision::Image& image) -> Result<qcnet::ConstTensorView> {
                      QCNET_TRY(const qcnet::Tensor input, model->about.preprocess(image));
                      return model->network.run(input);
                    },
                    model->about.classes};
}

Result<Classifier> load_split(const std::string& node_path, const std::string& server_path,
                              const PreprocessOptions& options, bool bf16) {
  QCNET_CHECK(options.check_not_given(node_path));
  QCNET_TRY(const Pair pair, Pair::load(node_path, server_path, bf16));
  QCNET_CHECK(check_task(pair.node->deployment(), node_path));
  return Classifier{[pair](const qcnet::vision::Image& image) -> Result<qcnet::ConstTensorView> {
                      QCNET_TRY(const qcnet::Frame frame, pair.node->encode(image));
                      return pair.server->decode(frame);
                    },
                    pair.server->deployment().classes};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Prints the most probable classes of pictures.\n"
      "FILES: a whole model, or a node's file and a server's; then the pictures (JPEG, PNG, BMP).",
      "classify");
  app.footer(
      "Examples: classify resnet-cifar10-layer1.node.safetensors"
      " resnet-cifar10-layer1-qcnet.server.safetensors frog.jpg\n"
      "          classify resnet50.safetensors --classes imagenet.txt cat.jpg");
  std::vector<std::string> files;
  std::string classes_path;
  std::size_t top = 5;
  bool bf16 = false;
  PreprocessOptions preprocess;
  app.add_option("FILES", files, "MODEL PICTURE... or NODE SERVER PICTURE...")->required();
  app.add_option("--top", top, "How many classes to print")->check(above_zero())->capture_default_str();
  app.add_option("--classes", classes_path, "Text file with the name of a class on each line");
  add_bf16_option(app, bf16);
  add_threads_option(app);
  preprocess.add_to(app);

  return run(app, argc, argv, [&]() -> Result<void> {
    std::string role;
    {
      QCNET_TRY(const auto first, qcnet::io::Safetensors::open(files[0]));
      role = first.metadata("qcnet.role").value_or("model");
    }
    if (role == "server")
      return Error(files[0] + ": is a server's file; name its node's file first, then this one");
    const std::size_t weights = role == "node" ? 2 : 1;
    if (files.size() <= weights)
      return Error(files[0] + ": is a " + qcnet::io::detail::printable(role) + " file, so expected " +
                   (weights == 2 ? "a server's file and " : "") + "pictures after it");
    QCNET_TRY(Classifier classifier, weights == 2 ? load_split(files[0], files[1], preprocess, bf16)
                                                  : load_whole(files[0], preprocess, bf16));
    if (!classes_path.empty()) {
      QCNET_TRY(classifier.classes, read_class_names(classes_path));
    }

    for (std::size_t i = weights; i < files.size(); ++i) {
      QCNET_TRY(const auto image, qcnet::vision::read_image(files[i]));
      const auto logits = classifier.logits(image);
      if (!logits) return logits.error().in(files[i]);
      const auto answers = best(*logits, top);
      if (!answers) return answers.error().in(files[i]);
      std::cout << files[i] << '\n';
      for (const Answer& answer : *answers)
        std::cout << std::fixed << std::setprecision(1) << std::setw(7) << 100 * answer.probability << " %  "
                  << class_name(classifier.classes, answer.index) << '\n';
    }
    return {};
  });
}
