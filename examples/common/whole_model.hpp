// An unpartitioned model: our own export with its preprocessing, a torchvision state_dict of a known family,
// or Darknet's own file of a YOLOv3-Tiny.
#pragma once

#include "program.hpp"

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/layers/executor.hpp>
#include <qcnet/models/model.hpp>
#include <qcnet/models/yolov3_tiny_darknet.hpp>
#include <qcnet/split/check.hpp>
#include <qcnet/split/deployment.hpp>
#include <qcnet/split/detector.hpp>

#include <CLI/CLI.hpp>

namespace examples {

/// Preprocessing of a state_dict, which says nothing about it: torchvision's ImageNet preset unless options
/// say otherwise.
struct PreprocessOptions {
  std::size_t size = 224, resize = 256;
  std::vector<float> mean{0.485f, 0.456f, 0.406f}, std{0.229f, 0.224f, 0.225f};

  void add_to(CLI::App& app) {
    const std::string group = "For a torchvision state_dict, which does not say how pictures are prepared";
    options_ = {app.add_option("--size", size, "Pixels of the square input"),
                app.add_option("--resize", resize, "Pixels of the shorter side before the crop, 0 for none"),
                app.add_option("--mean", mean, "Mean per channel, pixels being 0 to 1")
                    ->delimiter(',')
                    ->allow_extra_args(false),
                app.add_option("--std", std, "Standard deviation per channel")
                    ->delimiter(',')
                    ->allow_extra_args(false)};
    for (CLI::Option* option : options_) option->capture_default_str()->group(group);
    for (CLI::Option* pixels : {options_[0], options_[1]}) pixels->check(from_zero());
  }

  /// For the file at `path`, which says it itself. Error: one of the options was given.
  qcnet::Result<void> check_not_given(const std::string& path) const {
    for (const CLI::Option* option : options_)
      if (option->count() > 0)
        return qcnet::Error(path + ": says itself how pictures are prepared; leave out " +
                            option->get_name());
    return {};
  }

 private:
  std::vector<CLI::Option*> options_;
};

/// A model's file, ready to run.
struct WholeModel {
  qcnet::Deployment about;  ///< `name` is empty for a file that does not say it
  qcnet::Executor network;
  bool checked;  ///< the file holds a check input, and it gave the recorded output

  static qcnet::Result<WholeModel> load(const std::string& path, const PreprocessOptions& options,
                                        const qcnet::Arithmetic& arithmetic = {}) {
    QCNET_TRY(const auto file, qcnet::io::Safetensors::open(path));
    auto model = load(file, options, arithmetic);
    if (!model) return model.error().in(path);
    return model;
  }

  /// Darknet's yolov3-tiny.weights for square inputs of `size` pixels and `classes`, 80 without names if that
  /// is empty.
  static qcnet::Result<WholeModel> load_darknet(const std::string& path, std::size_t size,
                                                std::vector<std::string> classes,
                                                qcnet::vision::Anchors anchors) {
    QCNET_TRY(const auto file, qcnet::io::DarknetWeights::open(path));
    auto layers = qcnet::models::yolov3_tiny(file, classes.empty() ? 80 : classes.size());
    if (!layers) return layers.error().in(path);
    qcnet::Deployment about;
    about.preprocess = {0, size, size, {0, 0, 0}, {1, 1, 1}, true};
    about.anchors = std::move(anchors);
    about.classes = std::move(classes);
    QCNET_TRY(auto network, qcnet::Executor::make(*std::move(layers), about.preprocess.output_shape()));
    return WholeModel{std::move(about), std::move(network), false};
  }

 private:
  static qcnet::Result<WholeModel> load(const qcnet::io::Safetensors& file, const PreprocessOptions& options,
                                        const qcnet::Arithmetic& arithmetic) {
    qcnet::Deployment about;
    if (file.metadata("qcnet.format")) {
      QCNET_TRY(about, qcnet::Deployment::read(file, "model"));
    } else if (qcnet::models::finds_boxes(qcnet::models::architecture(file))) {
      return qcnet::Error(
          "is a detector without metadata, so its anchors are not known; write it with weights/export.py "
          "--whole");
    } else {
      about.preprocess = {options.resize, options.size, options.size, options.mean, options.std};
      QCNET_CHECK(about.preprocess.check());
    }
    QCNET_TRY(auto layers, qcnet::models::load(file));
    QCNET_TRY(auto network,
              qcnet::Executor::make(std::move(layers), about.preprocess.output_shape(), arithmetic));
    if (about.anchors) QCNET_CHECK(qcnet::Detector::make(about, network));
    if (!about.anchors && network.output_shape().rank() != 2)
      return qcnet::Error("has no classifier: its output is " + network.output_shape().to_string());
    if (!about.anchors) QCNET_CHECK(about.check_classes(network.output_shape().channels()));
    WholeModel model{std::move(about), std::move(network), file.find("qcnet.check.input") != nullptr};
    if (!model.checked) return model;
    QCNET_TRY(const auto input, qcnet::load_check_input(file, model.network.input_shape()));
    model.network.run(input);
    QCNET_CHECK(qcnet::compare_outputs(model.network, file, qcnet::check_tolerance(arithmetic, 1e-3f)));
    return model;
  }
};

}  // namespace examples
