// A model with all its cuts, each ready to be tried: a whole one, or the deployments that were made of one.
#pragma once

#include "whole_model.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/qcnet.hpp>

namespace examples {

/// Both sides of a cut.
struct TriableCut {
  std::string name;
  /// From a picture to the message for the server; returns its bytes.
  std::function<qcnet::Result<std::size_t>(const qcnet::vision::Image&, qcnet::Coding)> node;

  struct Method {
    std::string name;                             ///< empty: head and tail alone, with nothing between them
    std::function<qcnet::Result<void>()> server;  ///< from the node's last message to the answer
    std::optional<double> accuracy = {};          ///< percent
  };
  std::vector<Method> methods;
  std::size_t node_bytes;  ///< weights and activations
  bool has_bits = true;    ///< without thresholds there are none, and how short their code is cannot be known
};

/// The model uncut, in one place.
struct UncutModel {
  std::function<qcnet::Result<void>(const qcnet::vision::Image&)> answer;
  std::size_t bytes;  ///< weights and activations
};

struct CuttableModel {
  std::string name;  ///< empty for a file that does not say it
  qcnet::vision::Preprocess preprocess;
  bool finds_boxes;
  std::string metric = "accuracy";
  std::optional<double> accuracy = {};  ///< percent, uncut
  bool knows_accuracy = false;          ///< that, or a method's
  std::function<qcnet::Result<UncutModel>(const qcnet::Arithmetic&)> uncut = {};
  /// Each makes a cut: not all at once, as each has weights packed for its maps.
  std::vector<std::function<qcnet::Result<TriableCut>()>> cuts = {};

  /// `files` are a whole model, or nodes with their servers. Error: a file that cannot be read, a node or
  /// server without the other, deployments of different models.
  static qcnet::Result<CuttableModel> load(const std::vector<std::string>& files,
                                           const PreprocessOptions& options);
};

namespace detail {

/// A share in a file's metadata as percent; nothing if the key is missing.
inline qcnet::Result<std::optional<double>> percent(const qcnet::io::Safetensors& file,
                                                    const std::string& path, const char* key) {
  const auto text = file.metadata(key);
  if (!text) return std::optional<double>();
  const auto share = qcnet::io::parse_number<double>(*text);
  if (!share || *share < 0 || *share > 1)
    return qcnet::detail::MetadataReader::must_be(key, "a share from 0 to 1", *text).in(path);
  return std::optional(100 * *share);
}

inline std::size_t input_bytes(const qcnet::Executor& network) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < network.network().inputs(); ++i)
    bytes += sizeof(float) * network.input_shape(i).elements();
  return bytes;
}

inline std::size_t bytes_of(const qcnet::Executor& network) {
  return network.network().weight_bytes() + network.workspace_bytes() + input_bytes(network);
}

/// Of two halves that run one after the other in one place: the second's activations may lie where the
/// first's were, but for what it takes of them.
inline std::size_t bytes_of(const qcnet::Executor& head, const qcnet::Executor& tail) {
  return head.network().weight_bytes() + tail.network().weight_bytes() + input_bytes(head) +
         input_bytes(tail) + std::max(head.workspace_bytes(), tail.workspace_bytes());
}

inline std::vector<qcnet::ConstTensorView> outputs_of(const qcnet::Executor& network) {
  std::vector<qcnet::ConstTensorView> maps;
  for (std::size_t i = 0; i < network.outputs(); ++i) maps.push_back(network.output(i));
  return maps;
}

/// A cut of a whole model, of which neither thresholds nor levels are known: head and tail alone. To
/// threshold takes about a percent of the head's time, to dequantize as little.
inline qcnet::Result<TriableCut> cut_whole(const qcnet::Network& whole,
                                           const qcnet::vision::Preprocess& preprocess,
                                           const std::string& name) {
  QCNET_TRY(auto halves, whole.partition_at(name));
  QCNET_TRY(auto head, qcnet::Executor::make(std::move(halves.first), preprocess.output_shape(),
                                             {.fast = false}));  // as in a Node
  std::vector<qcnet::Shape> shapes;
  std::vector<qcnet::MapSpec> maps;
  for (std::size_t i = 0; i < head.outputs(); ++i) {
    shapes.push_back(head.output_shape(i));
    maps.push_back({i == 0 ? name : head.output_name(i), head.output_shape(i)});  // as in a deployment
  }
  QCNET_TRY(auto tail, qcnet::Executor::make(std::move(halves.second), shapes));
  QCNET_TRY(const auto frame, qcnet::Frame::make(0, maps));

  const auto first = std::make_shared<qcnet::Executor>(std::move(head));
  const auto second = std::make_shared<qcnet::Executor>(std::move(tail));
  const auto node =
      [first, preprocess, bytes = frame.bytes().size(), input = qcnet::Tensor(preprocess.output_shape()),
       scratch = qcnet::vision::Preprocess::Scratch()](const qcnet::vision::Image& image,
                                                       qcnet::Coding) mutable -> qcnet::Result<std::size_t> {
    QCNET_CHECK(preprocess.apply_into(image, input, scratch));
    first->run(input);
    return bytes;
  };
  const auto server = [first, second]() -> qcnet::Result<void> {
    second->run(outputs_of(*first));
    return {};
  };
  return TriableCut{name, node, {{"", server}}, bytes_of(*first), false};
}

inline qcnet::Result<CuttableModel> load_whole(const std::string& path, const PreprocessOptions& options) {
  // Layers as they were read: each executor turns them into what is fastest for itself.
  QCNET_TRY(auto whole, WholeModel::load(path, options, {.fast = false}));
  if (!whole.about.name.empty()) QCNET_CHECK(options.check_not_given(path));
  QCNET_TRY(const auto file, qcnet::io::Safetensors::open(path));
  const qcnet::Network& layers = whole.network.network();
  const auto preprocess = whole.about.preprocess;
  CuttableModel model{whole.about.name, preprocess, whole.about.anchors.has_value()};
  model.metric = qcnet::io::detail::printable(file.metadata("qcnet.metric").value_or(model.metric));
  QCNET_TRY(model.accuracy, percent(file, path, "qcnet.accuracy.unpartitioned"));
  model.knows_accuracy = model.accuracy.has_value();
  model.uncut = [layers, preprocess](const qcnet::Arithmetic& arithmetic) -> qcnet::Result<UncutModel> {
    QCNET_TRY(auto made, qcnet::Executor::make(layers, preprocess.output_shape(), arithmetic));
    const std::size_t bytes = bytes_of(made);
    const auto answer = [network = std::move(made), preprocess,
                         input = qcnet::Tensor(preprocess.output_shape()),
                         scratch = qcnet::vision::Preprocess::Scratch()](
                            const qcnet::vision::Image& image) mutable -> qcnet::Result<void> {
      QCNET_CHECK(preprocess.apply_into(image, input, scratch));
      network.run(input);
      return {};
    };
    return UncutModel{answer, bytes};
  };
  const auto& cuts = layers.cuts();
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    // The last block of a stage and the stage are one place with two names; before an activation a cut costs
    // what it costs behind it.
    if (i + 1 < cuts.size() && cuts[i + 1].value == cuts[i].value) continue;
    model.cuts.emplace_back(
        [layers, preprocess, name = cuts[i].name] { return cut_whole(layers, preprocess, name); });
  }
  return model;
}

/// The files of a cut.
struct Deployed {
  struct Method {
    std::shared_ptr<qcnet::Server> server;
    std::string path;
    std::optional<double> accuracy;
  };
  std::shared_ptr<qcnet::Node> node;
  std::string path;
  std::shared_ptr<const qcnet::EntropyModels> models = nullptr;  // by which bits are coded
  std::vector<Method> methods = {};
};

inline TriableCut cut_deployed(const Deployed& files) {
  struct Frames {
    qcnet::Frame plain, coded;
    std::span<const std::byte> message = {};
  };
  const auto frames = std::make_shared<Frames>(
      Frames{files.node->make_frame(), files.models ? files.node->make_frame(*files.models).value()
                                                    : files.node->make_frame(qcnet::Coding::context)});
  TriableCut cut{files.node->deployment().cut,
                 [node = files.node, frames](const qcnet::vision::Image& image,
                                             qcnet::Coding coding) -> qcnet::Result<std::size_t> {
                   auto& frame = coding == qcnet::Coding::none ? frames->plain : frames->coded;
                   QCNET_CHECK(node->encode_into(image, frame));
                   frames->message = frame.bytes();
                   return frames->message.size();
                 },
                 {},
                 bytes_of(files.node->head())};
  for (const Deployed::Method& method : files.methods)
    cut.methods.push_back({method.server->deployment().method,
                           [server = method.server, frames, models = files.models]() -> qcnet::Result<void> {
                             QCNET_TRY(const auto frame, server->parse(frames->message, models.get()));
                             QCNET_CHECK(server->decode(frame));
                             return {};
                           },
                           method.accuracy});
  return cut;
}

/// The cut that a file with such a hash belongs to.
inline qcnet::Result<Deployed*> owner_of(const std::string& path, std::uint64_t hash,
                                         std::vector<Deployed>& cuts) {
  for (Deployed& cut : cuts)
    if (cut.node->deployment().hash == hash) return &cut;
  return qcnet::Error(path + ": the file of its node (.node.safetensors) is missing");
}

inline qcnet::Result<CuttableModel> load_deployments(const std::vector<std::string>& paths) {
  std::vector<Deployed> cuts;
  std::vector<std::string> server_paths, entropy_paths;
  CuttableModel model{};
  for (const std::string& path : paths) {
    QCNET_TRY(const auto file, qcnet::io::Safetensors::open(path));
    if (file.metadata("qcnet.role") == "server") {
      server_paths.push_back(path);
      continue;
    }
    if (file.metadata("qcnet.role") == "entropy") {
      entropy_paths.push_back(path);
      continue;
    }
    QCNET_TRY(auto node, qcnet::Node::load(path));
    const qcnet::Deployment& about = node.deployment();
    for (const Deployed& cut : cuts)
      if (cut.node->deployment().hash == about.hash)
        return qcnet::Error(path + ": is the same node as " + cut.path + "; name it once");
    if (!cuts.empty() && about.name != model.name)
      return qcnet::Error(path + ": is of the model " + about.name + ", the files before it are of " +
                          model.name);
    model.name = about.name;
    model.preprocess = about.preprocess;
    model.finds_boxes = about.anchors.has_value();
    model.metric = qcnet::io::detail::printable(file.metadata("qcnet.metric").value_or(model.metric));
    QCNET_TRY(model.accuracy, percent(file, path, "qcnet.accuracy.unpartitioned"));
    model.knows_accuracy = model.knows_accuracy || model.accuracy;
    cuts.push_back({std::make_shared<qcnet::Node>(std::move(node)), path});
  }
  for (const std::string& path : server_paths) {
    QCNET_TRY(auto server, qcnet::Server::load(path));
    QCNET_TRY(Deployed* const owner, owner_of(path, server.deployment().hash, cuts));
    QCNET_TRY(const auto file, qcnet::io::Safetensors::open(path));
    QCNET_TRY(const auto accuracy, percent(file, path, "qcnet.accuracy"));
    model.knows_accuracy = model.knows_accuracy || accuracy;
    owner->methods.push_back({std::make_shared<qcnet::Server>(std::move(server)), path, accuracy});
  }
  for (const std::string& path : entropy_paths) {
    QCNET_TRY(auto models, qcnet::EntropyModels::load(path));
    QCNET_TRY(Deployed* const owner, owner_of(path, models.model_hash(), cuts));
    if (const auto frame = owner->node->make_frame(models); !frame) return frame.error().in(path);
    owner->models = std::make_shared<qcnet::EntropyModels>(std::move(models));
  }
  for (const Deployed& cut : cuts)
    if (cut.methods.empty())
      return qcnet::Error(cut.path + ": no file of a server (.server.safetensors) belongs to it");
  std::ranges::sort(cuts, {}, [](const Deployed& cut) { return cut.node->head().multiply_adds(); });

  model.uncut =
      [head_path = cuts[0].path, tail_path = cuts[0].methods[0].path, cut = cuts[0].node->deployment().cut,
       preprocess = model.preprocess](const qcnet::Arithmetic& arithmetic) -> qcnet::Result<UncutModel> {
    QCNET_TRY(const auto file, qcnet::io::Safetensors::open(head_path));
    QCNET_TRY(const qcnet::Network network, qcnet::models::load(file));
    QCNET_TRY(auto halves, network.partition_at(cut));  // without the encoder that a Node may have there
    QCNET_TRY(auto made,
              qcnet::Executor::make(std::move(halves.first), preprocess.output_shape(), arithmetic));
    QCNET_TRY(const auto server,
              qcnet::Server::load(tail_path, {.verify = qcnet::Verify::no, .arithmetic = arithmetic}));
    const std::size_t bytes = bytes_of(made, server.tail());
    // Not the head's own maps: where it sends components they are others, and fewer.
    const auto maps = std::make_shared<std::vector<qcnet::Tensor>>();
    for (const auto& map : server.deployment().maps()) maps->emplace_back(map.shape);
    const auto answer = [head = std::move(made), tail = server.tail(), preprocess, maps,
                         views = std::vector<qcnet::ConstTensorView>(maps->begin(), maps->end()),
                         input = qcnet::Tensor(preprocess.output_shape()),
                         scratch = qcnet::vision::Preprocess::Scratch()](
                            const qcnet::vision::Image& image) mutable -> qcnet::Result<void> {
      QCNET_CHECK(preprocess.apply_into(image, input, scratch));
      head.run(input);
      tail.run(views);
      return {};
    };
    return UncutModel{answer, bytes};
  };
  for (const Deployed& cut : cuts)
    model.cuts.emplace_back([cut]() -> qcnet::Result<TriableCut> { return cut_deployed(cut); });
  return model;
}

}  // namespace detail

inline qcnet::Result<CuttableModel> CuttableModel::load(const std::vector<std::string>& files,
                                                        const PreprocessOptions& options) {
  std::vector<std::string> whole;
  for (const std::string& path : files) {
    QCNET_TRY(const auto file, qcnet::io::Safetensors::open(path));
    const auto role = file.metadata("qcnet.role");
    if (role != "node" && role != "server" && role != "entropy") whole.push_back(path);
  }
  if (whole.empty()) {
    QCNET_CHECK(options.check_not_given(files[0]));
    return detail::load_deployments(files);
  }
  if (files.size() > 1)
    return qcnet::Error(whole[0] + ": is a whole model, which is planned by itself; name no other file");
  return detail::load_whole(whole[0], options);
}

}  // namespace examples
