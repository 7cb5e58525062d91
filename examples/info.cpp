// What is in this file? Models, nodes, servers, state_dicts and recorded frames; runs their check inputs.
#include "common/entropy_option.hpp"
#include "common/measure.hpp"
#include "common/program.hpp"
#include "common/stream.hpp"
#include "common/whole_model.hpp"

#include <algorithm>
#include <bit>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <optional>
#include <sstream>

#include <qcnet/qcnet.hpp>

namespace {

using namespace examples;
using qcnet::Deployment, qcnet::Error, qcnet::Executor, qcnet::Frame, qcnet::Result;
using qcnet::io::Safetensors, qcnet::io::detail::printable;

template <class T>
void line(std::ostream& out, const char* name, const T& value) {
  out << "  " << std::left << std::setw(16) << name << value << '\n';
}

template <class Numbers>
std::string joined(const Numbers& numbers) {
  std::ostringstream out;
  for (const auto& number : numbers) out << (out.tellp() == 0 ? "" : " ") << number;
  return out.str();
}

std::string millions(std::uint64_t count) {
  return fixed(static_cast<double>(count) / 1e6, 2) + " million";
}

/// What every weights file says, whatever its role.
void describe_file(std::ostream& out, const Safetensors& file, const qcnet::vision::Preprocess& preprocess) {
  std::size_t parameters = 0, bytes = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    bytes += tensor.data.size();
    // As PyTorch counts: what is trained, not the running statistics.
    if (!name.starts_with("qcnet.check.") && name.find(".running_") == name.npos &&
        !name.ends_with("num_batches_tracked"))
      parameters += tensor.shape.elements();
  }
  line(out, "tensors",
       std::to_string(file.tensors().size()) + ", " + std::to_string(parameters) + " parameters, " +
           std::to_string(bytes) + " bytes");
  const auto resize = preprocess.resize == 0 ? "none" : std::to_string(preprocess.resize);
  line(out, "picture",
       (preprocess.letterbox ? "letterbox " : "resize " + resize + ", crop ") +
           std::to_string(preprocess.height) + " x " + std::to_string(preprocess.width) + ", mean " +
           joined(preprocess.mean) + ", std " + joined(preprocess.std));
  for (const auto& [key, value] : file.metadata())
    if (key.starts_with("qcnet.accuracy") || key == "qcnet.dataset" || key == "qcnet.training")
      line(out, printable(key.substr(key.rfind('.') + 1)).c_str(), printable(value));
}

void describe_network(std::ostream& out, const char* name, const Executor& network) {
  std::string shapes;
  std::size_t input_bytes = 0;
  for (std::size_t i = 0; i < network.network().inputs(); ++i) {
    shapes += (i == 0 ? "" : " and ") + network.input_shape(i).to_string();
    input_bytes += network.input_shape(i).elements() * sizeof(float);
  }
  for (std::size_t i = 0; i < network.outputs(); ++i)
    shapes += (i == 0 ? " to " : " and ") + network.output_shape(i).to_string();
  line(out, name,
       shapes + ", " + std::to_string(network.network().steps().size()) + " steps, " +
           millions(network.multiply_adds()) + " multiply-adds");
  line(out, "memory",
       megabytes(network.network().weight_bytes()) + " of packed weights, " +
           megabytes(network.workspace_bytes() + input_bytes) + " of activations, with the input");
}

std::size_t bytes_of_bits(const qcnet::Shape& map) {
  return map.pixels() * qcnet::packed_bytes(map.channels());
}

/// How many bits a feature has, where that is not one: ", 4 bits a feature".
std::string bits_text(const Deployment& about) {
  const std::size_t channels = about.feature.channels(), planes = about.planes.size();
  if (about.planes.back() == channels)
    return planes == 1 ? "" : ", " + std::to_string(planes) + " bits a feature";
  const std::string place = about.feature.rank() == 3 ? "token" : about.patch == 1 ? "pixel" : "patch";
  const std::string bits = ", " + std::to_string(about.sent(about.maps()[0]).channels()) + " bits a " + place;
  if (about.planes.front() == channels) return bits;
  return bits + " for " + std::to_string(about.planes.front()) + " of " + std::to_string(channels) +
         " channels";
}

void describe_cut(std::ostream& out, const Deployment& about) {
  std::string maps = about.cut + ", " + about.feature.to_string();
  for (const auto& map : about.beside) maps += ", beside it " + map.name + ", " + map.shape.to_string();
  if (about.patch > 1) maps += ", " + qcnet::models::patches_text(about.patch);
  maps += bits_text(about);
  std::size_t bytes = 0;
  for (const auto& map : about.maps()) bytes += bytes_of_bits(about.sent(map));
  line(out, "cut",
       maps + ", " + std::to_string(bytes) + " bytes of bits, hash " + qcnet::hash_text(about.hash));
}

/// What an autoencoder's node computes beyond the model's head, whose figures include it.
void describe_encoder(std::ostream& out, const qcnet::Node& node) {
  std::uint64_t multiply_adds = 0;
  for (const auto& step : node.head().network().steps())
    for (const auto& map : node.deployment().maps())
      if (step.name == "qcnet.encoder" + map.suffix)
        multiply_adds += step.layer->multiply_adds(std::span(&map.shape, 1));
  if (multiply_adds != 0) line(out, "encoder", millions(multiply_adds) + " multiply-adds of these");
}

void describe_check(std::ostream& out, const Safetensors& file, const char* tensor) {
  line(out, "check",
       file.find(tensor) != nullptr ? "the recorded input gives the recorded output"
                                    : "the file holds no input to check it with");
}

void describe_classes(std::ostream& out, const std::vector<std::string>& classes) {
  std::string names = std::to_string(classes.size()) + ":";
  for (std::size_t i = 0; i < std::min<std::size_t>(classes.size(), 10); ++i) names += " " + classes[i] + ",";
  names.pop_back();
  line(out, "classes", names + (classes.size() > 10 ? "..." : ""));
}

std::string size_text(const qcnet::vision::Anchors::Size& anchor) {
  std::ostringstream out;
  out << anchor.width << " x " << anchor.height;
  return out.str();
}

std::string model_name(const Deployment& about) {
  return (about.anchors ? "the detector " : "the classifier ") + about.name;
}

/// What only a detector has.
void describe_anchors(std::ostream& out, const Deployment& about) {
  if (!about.anchors) return;
  std::string text;
  for (const auto& map : about.anchors->maps) {
    text += text.empty() ? "coarse map" : "; fine map";
    for (const auto& anchor : map) text += (&anchor == map.data() ? " " : ", ") + size_text(anchor);
  }
  line(out, "anchors", text);
}

Result<void> describe_cut_points(std::ostream& out, const Executor& network) {
  std::size_t longest = 8;  // the title's
  for (const auto& cut : network.network().cuts()) longest = std::max(longest, cut.name.size());
  const int column = static_cast<int>(longest) + 2;
  out << "  " << std::left << std::setw(column + 2) << "cut points"
      << "map                   bytes of bits   multiply-adds before\n";
  for (const auto& cut : network.network().cuts()) {
    QCNET_TRY(auto halves, network.network().partition_at(cut.name));
    QCNET_TRY(const Executor head,
              Executor::make(std::move(halves.first), network.input_shape(), {.fast = false}));
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < head.outputs(); ++i) bytes += bytes_of_bits(head.output_shape(i));
    out << "    " << std::left << std::setw(column) << cut.name << std::setw(20)
        << head.output_shape().to_string() << std::right << std::setw(15) << bytes << std::setw(15)
        << fixed(100.0 * static_cast<double>(head.multiply_adds()) /
                     static_cast<double>(network.multiply_adds()),
                 1)
        << " %\n";
  }
  return {};
}

Result<void> describe_weights(std::ostream& out, const std::string& path, const PreprocessOptions& options) {
  QCNET_TRY(const Safetensors file, Safetensors::open(path));
  const std::string role(file.metadata("qcnet.role").value_or("state_dict"));
  const auto title = [&](const std::string& what) { out << path << ": " << what << '\n'; };
  if (role == "node" || role == "server" || role == "entropy") {
    QCNET_CHECK(options.check_not_given(path));
  }
  if (role == "node") {
    QCNET_TRY(const qcnet::Node node, qcnet::Node::load(path));
    title("node of " + model_name(node.deployment()));
    describe_cut(out, node.deployment());
    describe_network(out, "head", node.head());
    describe_encoder(out, node);
    describe_file(out, file, node.deployment().preprocess);
    describe_anchors(out, node.deployment());
    describe_classes(out, node.deployment().classes);
    describe_check(out, file, "qcnet.check.input");
  } else if (role == "server") {
    QCNET_TRY(const qcnet::Server server, qcnet::Server::load(path));
    title("server of " + model_name(server.deployment()));
    describe_cut(out, server.deployment());
    line(out, "method", server.deployment().method);
    for (std::size_t i = 0; i < server.deployment().maps().size(); ++i)
      line(out, "reconstruction",
           std::string(server.compensator(i).kind()) + ", " +
               millions(server.compensator(i).multiply_adds()) + " multiply-adds");
    describe_network(out, "tail", server.tail());
    describe_file(out, file, server.deployment().preprocess);
    describe_anchors(out, server.deployment());
    describe_classes(out, server.deployment().classes);
    describe_check(out, file, "qcnet.check.output");
  } else if (role == "entropy") {
    QCNET_TRY(const auto models, qcnet::EntropyModels::load(path));
    title("entropy models of the node with hash " + qcnet::hash_text(models.model_hash()));
    for (const auto& [map, model] : models.maps())
      line(out, "map",
           printable(map) + ", " + std::to_string(model.channels()) + " channels, " +
               std::to_string(model.neighbors().size()) + " neighbors");
  } else {
    QCNET_TRY(const WholeModel model, WholeModel::load(path, options));
    title(model.about.name.empty()
              ? "state_dict without metadata, taken for " + printable(qcnet::models::architecture(file))
              : "whole model, " + model_name(model.about));
    describe_network(out, "network", model.network);
    describe_file(out, file, model.about.preprocess);
    describe_anchors(out, model.about);
    if (!model.about.classes.empty()) describe_classes(out, model.about.classes);
    describe_check(out, file, "qcnet.check.input");
    QCNET_CHECK(describe_cut_points(out, model.network));
  }
  return {};
}

void describe_frame(std::ostream& out, const Frame& frame) {
  line(out, "model hash", qcnet::hash_text(frame.model_hash()));
  if (frame.coded()) line(out, "compressed", "to " + std::to_string(frame.bytes().size()) + " bytes");
  for (std::size_t i = 0; i < frame.map_count(); ++i) {
    std::size_t ones = 0;
    for (const std::uint8_t byte : frame.bits(i).bytes())
      ones += static_cast<std::size_t>(std::popcount(byte));
    line(out, "map",
         frame.name(i) + ", " + frame.shape(i).to_string() + ", " +
             std::to_string(frame.bits(i).size_bytes()) + " bytes, " +
             fixed(100.0 * static_cast<double>(ones) / static_cast<double>(frame.shape(i).elements()), 1) +
             " % ones");
  }
}

/// One frame, or a stream of them as node writes it.
Result<void> describe_frames(std::ostream& out, const std::string& path, bool stream,
                             const qcnet::ExpectedFrame& expected) {
  std::ifstream file(path, std::ios::binary);
  if (!stream) {
    QCNET_TRY(const auto mapped, qcnet::io::MappedFile::open(path));
    const auto frame = Frame::parse(mapped.bytes(), expected);
    if (!frame) return frame.error().in(path);
    out << path << ": frame " << frame.value().sequence() << ", " << mapped.bytes().size() << " bytes\n";
    describe_frame(out, frame.value());
    return {};
  }
  std::ostringstream first;
  std::size_t count = 0, bytes = 0;
  for (;; ++count) {
    const std::string where = path + ": frame " + std::to_string(count + 1);
    const auto message = read_message(file, Frame::max_bytes);
    if (!message) return message.error().in(where);
    if (!message->has_value()) break;
    const auto frame = Frame::parse(**message, expected);
    if (!frame) return frame.error().in(where);
    if (count == 0) describe_frame(first, frame.value());
    bytes += message->value().size();
  }
  out << path << ": " << count << " frames, " << bytes << " bytes; the first:\n" << first.str();
  return {};
}

Result<void> describe(std::ostream& out, const std::string& path, const PreprocessOptions& options,
                      const qcnet::ExpectedFrame& expected) {
  std::error_code error;
  if (const auto type = std::filesystem::status(path, error).type();
      type == std::filesystem::file_type::fifo || type == std::filesystem::file_type::character)
    return qcnet::Error(path + ": is no regular file; write what comes out of it to one first");
  char start[8] = {};
  std::ifstream(path, std::ios::binary).read(start, sizeof start);
  const std::string_view magic(start, sizeof start);
  if (magic.starts_with("QCNF")) return describe_frames(out, path, false, expected);
  if (magic.ends_with("QCNF")) return describe_frames(out, path, true, expected);
  if (magic.starts_with("QCNP") || magic.ends_with("QCNP"))
    return qcnet::Error(path + ": holds packets of frames, which server reads");
  return describe_weights(out, path, options);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Says what is in files of weights and of frames, and runs the inputs they can be checked with.",
      "info");
  app.footer("Example: info resnet-cifar10-layer1.node.safetensors resnet50.safetensors frames.bin");
  std::vector<std::string> files;
  std::string entropy;
  PreprocessOptions preprocess;
  app.add_option("FILES", files, "A model, a node, a server, a torchvision state_dict or frames of node")
      ->required();
  add_entropy_option(app, entropy, "By which bits of frames are coded, if they are");
  preprocess.add_to(app);

  return run(app, argc, argv, [&]() -> Result<void> {
    std::optional<qcnet::EntropyModels> models;
    if (!entropy.empty()) {
      QCNET_TRY(models, qcnet::EntropyModels::load(entropy));
    }
    for (const std::string& file : files) {
      std::ostringstream out;  // a file that turns out bad is not half described
      QCNET_CHECK(describe(out, file, preprocess, {.models = models ? &*models : nullptr}));
      std::cout << out.str();
    }
    return {};
  });
}
