// What does one bit per feature cost? Runs a dataset through every way of crossing a cut and prints a table.
#include "common/answer.hpp"
#include "common/classes.hpp"
#include "common/dataset.hpp"
#include "common/measure.hpp"
#include "common/output_file.hpp"
#include "common/program.hpp"

#include <filesystem>
#include <functional>
#include <iomanip>
#include <memory>
#include <sstream>

#include <qcnet/qcnet.hpp>

namespace {

using namespace examples;
using qcnet::ConstTensorView, qcnet::Error, qcnet::Frame, qcnet::Result, qcnet::Server;

/// One way from the cut to an answer, and what became of it.
struct Row {
  std::string key, title;
  /// Logits from the float map at the cut or from the node's frame.
  std::function<Result<ConstTensorView>(ConstTensorView map, const Frame& frame)> answer;
  bool from_bits = true;
  Timings server{};
  std::vector<std::size_t> predictions{};
  std::size_t right = 0;

  double accuracy() const {
    return 100.0 * static_cast<double>(right) / static_cast<double>(predictions.size());
  }
};

/// All that crosses a cut can weigh, in bytes per picture.
struct Bytes {
  std::size_t raw = 0, file = 0;  // means over the dataset; file is 0 for idx files
  std::size_t float32 = 0, eight_bit = 0, one_bit = 0, frame = 0;
};

class Evaluation {
 public:
  static Result<Evaluation> open(const std::string& dataset_path, const std::string& node_path,
                                 const std::vector<std::string>& server_paths) {
    QCNET_TRY(Dataset dataset, Dataset::open(dataset_path));
    QCNET_TRY(qcnet::Node node, qcnet::Node::load(node_path));
    Evaluation evaluation(std::move(dataset), std::move(node));
    for (const std::string& path : server_paths) QCNET_CHECK(evaluation.add_server(path, node_path));
    std::stable_sort(evaluation.rows_.begin(), evaluation.rows_.end(),
                     [](const Row& a, const Row& b) { return rank(a) < rank(b); });
    return evaluation;
  }

  Result<void> run(std::size_t limit) {
    const std::size_t count = limit == 0 ? dataset_.size() : std::min(limit, dataset_.size());
    Frame frame = node_.make_frame();
    std::size_t raw = 0, file = 0;
    for (std::size_t i = 0; i < count; ++i) {
      pictures_.push_back(i * dataset_.size() / count);  // spread over all classes of a folder
      QCNET_TRY(const Sample sample, dataset_.get(pictures_.back()));
      raw += sample.image.pixels.size();
      std::error_code is_no_file;
      const auto size = std::filesystem::file_size(sample.name, is_no_file);
      if (!is_no_file) file += size;
      QCNET_CHECK(node_ms_([&] { return node_.encode_into(sample.image, frame); }));
      QCNET_TRY(const auto map, head_ms_([&] { return node_.features(sample.image); }));
      labels_.push_back(classes_[sample.label]);
      for (Row& row : rows_) {
        QCNET_TRY(const auto logits, row.server([&] { return row.answer(map, frame); }));
        row.predictions.push_back(best(logits, 1)[0].index);
        row.right += row.predictions.back() == labels_.back() ? 1u : 0u;
      }
    }
    const std::size_t features = node_.deployment().feature.elements();
    bytes_ = {raw / count,         file / count, 4 * features, features, frame.bits(0).size_bytes(),
              frame.bytes().size()};
    return {};
  }

  std::string table() const {
    const auto& about = node_.deployment();
    std::ostringstream out;
    out << about.name << " cut after " << about.cut << ", " << about.feature.to_string() << ", "
        << labels_.size() << " pictures\n\n"
        << std::left << std::setw(title_width) << "" << std::right
        << "  accuracy   bytes  node ms  server ms\n";
    for (const Row& row : rows_)
      out << std::left << std::setw(title_width) << row.title << std::right << std::setw(8)
          << fixed(row.accuracy(), 2) << " %" << std::setw(8)
          << (row.from_bits ? bytes_.frame : bytes_.float32) << std::setw(9)
          << fixed((row.from_bits ? node_ms_ : head_ms_).median(), 3) << std::setw(11)
          << fixed(row.server.median(), 3) << '\n';
    out << "\nBytes per picture: raw " << bytes_.raw;
    if (bytes_.file != 0) out << ", its file " << bytes_.file;
    out << "; at the cut float32 " << bytes_.float32 << ", 8 bit " << bytes_.eight_bit << ", 1 bit "
        << bytes_.one_bit << ", whole frame " << bytes_.frame << '\n';
    const Row *whole = find("unpartitioned"), *plain = find("lloyd-max"), *qcnet = find("qcnet");
    if (whole != nullptr && plain != nullptr && qcnet != nullptr && whole->right > plain->right)
      out << "With the model frozen the QCNet recovers "
          << fixed(100.0 * (qcnet->accuracy() - plain->accuracy()) / (whole->accuracy() - plain->accuracy()),
                   0)
          << " % of the " << fixed(whole->accuracy() - plain->accuracy(), 2)
          << " points that Lloyd-Max dequantization loses.\n";
    return out.str();
  }

  std::string json() const {
    const auto& about = node_.deployment();
    std::ostringstream out;
    out << "{\"model\": " << quoted(about.name) << ", \"cut\": " << quoted(about.cut)
        << ", \"pictures\": " << labels_.size() << ",\n \"bytes\": {\"raw\": " << bytes_.raw
        << ", \"file\": " << bytes_.file << ", \"float32\": " << bytes_.float32
        << ", \"eight_bit\": " << bytes_.eight_bit << ", \"one_bit\": " << bytes_.one_bit
        << ", \"frame\": " << bytes_.frame << "},\n \"rows\": [";
    for (const Row& row : rows_)
      out << (&row == rows_.data() ? "\n" : ",\n") << "  {\"method\": " << quoted(row.key)
          << ", \"accuracy\": " << fixed(row.accuracy(), 4)
          << ", \"node_ms\": " << fixed((row.from_bits ? node_ms_ : head_ms_).median(), 5)
          << ", \"server_ms\": " << fixed(row.server.median(), 5) << "}";
    out << "\n ]}\n";
    return out.str();
  }

  /// A line for each picture: its number, its class, and what each row took it for.
  std::string predictions() const {
    std::string out = "picture\tclass";
    for (const Row& row : rows_) out += '\t' + row.key;
    for (std::size_t i = 0; i < labels_.size(); ++i) {
      out += '\n' + std::to_string(pictures_[i]) + '\t' + std::to_string(labels_[i]);
      for (const Row& row : rows_) out += '\t' + std::to_string(row.predictions[i]);
    }
    return out + '\n';
  }

 private:
  static constexpr int title_width = 40;

  Evaluation(Dataset dataset, qcnet::Node node) : dataset_(std::move(dataset)), node_(std::move(node)) {}

  Result<void> add_server(const std::string& path, const std::string& node_path) {
    QCNET_TRY(Server loaded, Server::load(path));
    const auto server = std::make_shared<Server>(std::move(loaded));
    if (server->deployment().hash != node_.deployment().hash)
      return Error(path + ": does not belong to " + node_path + ", their qcnet.hash differ");
    QCNET_TRY(classes_, match_classes(dataset_.class_names(), server->deployment().classes,
                                      server->tail().output_shape().channels()));
    const std::string method = server->deployment().method;
    if (method == "qcnet") QCNET_CHECK(add_frozen_rows(*server, path, node_path));
    rows_.push_back({method, title(method),
                     [server](ConstTensorView, const Frame& frame) { return server->decode(frame); }});
    return {};
  }

  /// What the frozen model does without a QCNet: its tail is in the file of the frozen QCNet.
  Result<void> add_frozen_rows(const Server& server, const std::string& path, const std::string& node_path) {
    const auto tail = std::make_shared<qcnet::Executor>(server.tail());
    rows_.push_back(
        {"unpartitioned", title("unpartitioned"),
         [tail](ConstTensorView map, const Frame&) -> Result<ConstTensorView> { return tail->run(map); },
         false});

    QCNET_TRY(const auto file, qcnet::io::Safetensors::open(node_path));
    const qcnet::Shape shape = node_.deployment().feature;
    const auto uniform = qcnet::load_uniform(file, shape.channels());
    if (!uniform) return uniform.error().in(node_path);
    const auto bits = std::make_shared<qcnet::Bitplane>(shape);
    const auto restored = std::make_shared<qcnet::Tensor>(shape);
    rows_.push_back({"uniform", title("uniform"),
                     [=, levels = *uniform](ConstTensorView map, const Frame&) -> Result<ConstTensorView> {
                       qcnet::binarize_into(map, levels.thresholds, *bits);
                       qcnet::expand_into(*bits, levels.low, levels.high, *restored);
                       return tail->run(*restored);
                     }});

    QCNET_TRY(Server loaded, Server::load(path, {.compensate = false}));
    const auto plain = std::make_shared<Server>(std::move(loaded));
    rows_.push_back({"lloyd-max", title("lloyd-max"),
                     [plain](ConstTensorView, const Frame& frame) { return plain->decode(frame); }});
    return {};
  }

  struct Name {
    const char *key, *title;
  };
  static constexpr Name order[] = {{"unpartitioned", "unpartitioned"},
                                   {"uniform", "uniform dequantization"},
                                   {"lloyd-max", "Lloyd-Max dequantization"},
                                   {"qcnet", "QCNet, model frozen"},
                                   {"lloyd-max-finetuned", "Lloyd-Max dequantization, tuned tail"},
                                   {"qcnet-finetuned", "QCNet, tuned tail"}};
  static std::string title(const std::string& key) {
    for (const Name& name : order)
      if (key == name.key) return name.title;
    return key;
  }
  static std::size_t rank(const Row& row) {
    std::size_t at = 0;
    while (at < std::size(order) && row.key != order[at].key) ++at;
    return at;
  }

  const Row* find(const std::string& key) const {
    for (const Row& row : rows_)
      if (row.key == key) return &row;
    return nullptr;
  }

  static std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      if (static_cast<unsigned char>(c) >= 0x20) out += c;
    }
    return out + '"';
  }

  Dataset dataset_;
  qcnet::Node node_;
  std::vector<Row> rows_;
  std::vector<std::size_t> classes_, pictures_, labels_;
  Timings node_ms_, head_ms_;
  Bytes bytes_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Compares the ways of crossing a cut over a labelled dataset.\n"
      "The server of method \"qcnet\" also gives the rows of the unpartitioned model and of plain\n"
      "dequantization. Times are medians of one picture.",
      "evaluate");
  app.footer(
      "Example: evaluate cifar10/test resnet-cifar10-layer1.node.safetensors"
      " resnet-cifar10-layer1-*.server.safetensors");
  std::string dataset, node, json = "/dev/null", predictions = "/dev/null";
  std::vector<std::string> servers;
  std::size_t limit = 0;
  app.add_option("DATASET", dataset, "A folder of <class>/<picture>, or an idx file (...images-idx3-ubyte)")
      ->required();
  app.add_option("NODE", node, "The node's file (.node.safetensors)")->required();
  app.add_option("SERVERS", servers, "Servers' files of the same cut (.server.safetensors)")->required();
  app.add_option("--limit", limit, "Use only this many pictures, spread over the dataset")
      ->check(CLI::PositiveNumber);
  app.add_option("--json", json, "Also write the figures to this file");
  app.add_option("--predictions", predictions, "Also write each picture's predicted classes to this file");
  add_threads_option(app);

  return run(app, argc, argv, [&]() -> Result<void> {
    QCNET_TRY(Evaluation evaluation, Evaluation::open(dataset, node, servers));
    QCNET_TRY(OutputFile json_file, OutputFile::open(json));  // now, not after minutes of work
    QCNET_TRY(OutputFile predictions_file, OutputFile::open(predictions));
    QCNET_CHECK(evaluation.run(limit));
    json_file.stream() << evaluation.json();
    predictions_file.stream() << evaluation.predictions();
    QCNET_CHECK(json_file.commit());
    QCNET_CHECK(predictions_file.commit());
    std::cout << evaluation.table();
    return {};
  });
}
