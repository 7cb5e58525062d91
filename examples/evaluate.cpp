// What do bits instead of features cost? Runs a dataset through every way of crossing a cut and prints a
// table.
#include "common/entropy_option.hpp"
#include "common/json.hpp"
#include "common/lossy_link.hpp"
#include "common/measure.hpp"
#include "common/open_benchmark.hpp"
#include "common/output_file.hpp"
#include "common/pair.hpp"
#include "common/program.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <iomanip>
#include <memory>
#include <sstream>

#include <qcnet/qcnet.hpp>

namespace {

using namespace examples;
using qcnet::ConstTensorView, qcnet::Error, qcnet::Executor, qcnet::Frame, qcnet::PartialFrame, qcnet::Result,
    qcnet::Server;

/// The maps at a cut; mostly one.
using Maps = std::vector<ConstTensorView>;

/// One way from the cut to an answer, and what became of it.
struct Row {
  std::string key, title;
  /// Runs a network from the float maps at the cut or from what arrived of the node's frame, and returns it.
  std::function<Result<const Executor*>(const Maps& maps, const PartialFrame& arrived)> run;
  std::unique_ptr<Score> score;
  /// A map that the last run rebuilt from bits; without it the float maps went on as they were.
  std::function<ConstTensorView(std::size_t map)> rebuilt;
  Timings server{};
  double error = 0, energy = 0;  // sums over all features: of (rebuilt - map)^2, and of map^2

  bool from_bits() const { return static_cast<bool>(rebuilt); }
  void compare(const Maps& maps) {
    for (std::size_t m = 0; rebuilt && m < maps.size(); ++m) {
      const ConstTensorView map = maps[m], again = rebuilt(m);
      for (std::size_t i = 0; i < map.span().size(); ++i) {
        const double difference = again.data[i] - map.data[i], value = map.data[i];
        error += difference * difference;
        energy += value * value;
      }
    }
  }
};

/// All that crosses a cut can weigh, in bytes per picture.
struct Bytes {
  std::size_t raw = 0, file = 0;  // means over the dataset; file is 0 for idx files
  std::size_t float32 = 0, eight_bit = 0, one_bit = 0, frame = 0;
  std::size_t compressed = 0;  // frame, mean over the dataset
  std::size_t modeled = 0;     // the same by an entropy model, 0 without one
  std::size_t packets = 0;     // all of a frame
};

class Evaluation {
 public:
  static Result<Evaluation> open(const std::string& dataset_path, const std::string& split,
                                 const std::string& node_path, const std::vector<std::string>& server_paths,
                                 const std::string& entropy_path, double loss, std::size_t mtu, bool bf16) {
    QCNET_TRY(qcnet::Node node,
              qcnet::Node::load(node_path, qcnet::Verify::yes, {.fast = false, .bf16 = bf16}));
    QCNET_TRY(auto benchmark, open_benchmark(node.deployment(), dataset_path, split));
    QCNET_TRY(auto models, open_entropy_models(entropy_path, node.deployment()));
    QCNET_TRY(auto link, LossyLink::open(node.make_frame(), node.deployment(), loss, mtu));
    Evaluation evaluation(std::move(benchmark), std::move(node), std::move(link), {.bf16 = bf16});
    QCNET_TRY(const auto node_file, qcnet::io::Safetensors::open(node_path));
    evaluation.models_ = std::move(models);
    evaluation.in_own_basis_ =
        node_file.find("qcnet.encoder.weight") != nullptr || node_file.metadata("qcnet.planes").has_value();
    for (const std::string& path : server_paths) QCNET_CHECK(evaluation.add_server(path, node_path));
    std::stable_sort(evaluation.rows_.begin(), evaluation.rows_.end(),
                     [](const Row& a, const Row& b) { return rank(a) < rank(b); });
    return evaluation;
  }

  Result<void> run(std::size_t limit) {
    const std::size_t count = limit == 0 ? benchmark_->size() : std::min(limit, benchmark_->size());
    Frame frame = node_.make_frame(), coded = node_.make_frame(qcnet::Coding::context), modeled = frame;
    if (models_) {
      QCNET_TRY(modeled, node_.make_frame(*models_));
    }
    std::uint64_t raw = 0, file = 0, compressed = 0, by_model = 0;
    for (std::size_t i = 0; i < count; ++i) {
      pictures_.push_back(i * benchmark_->size() / count);  // spread over all classes of a folder
      QCNET_TRY(const auto picture, benchmark_->get(pictures_.back()));
      raw += picture.image.pixels.size();
      std::error_code is_no_file;
      const auto size = std::filesystem::file_size(picture.name, is_no_file);
      if (!is_no_file) file += size;
      QCNET_CHECK(node_ms_([&] { return node_.encode_into(picture.image, frame); }));
      compressed += size_as(coded, frame);
      if (models_) by_model += size_as(modeled, frame);
      QCNET_CHECK(head_ms_([&] { return node_.features(picture.image); }));
      Maps maps;
      for (std::size_t m = 0; m < frame.map_count(); ++m) maps.push_back(node_.head().output(m));
      QCNET_TRY(const PartialFrame* arrived, link_.send(frame));
      for (Row& row : rows_) {
        QCNET_TRY(const Executor* network, row.server([&] { return row.run(maps, *arrived); }));
        if (!in_own_basis_) row.compare(maps);
        const auto judged = row.score->add(*network, pictures_.back(), frame.picture());
        if (!judged) return judged.error().in(picture.name);
      }
    }
    const auto mean = [count](std::uint64_t sum) {
      return static_cast<std::size_t>((sum + count / 2) / count);
    };
    bytes_ = {mean(raw),      mean(file),   0, 0, 0, frame.bytes().size(), mean(compressed),
              mean(by_model), link_.bytes()};
    for (const qcnet::CutMap& map : rebuilt_) {
      bytes_.eight_bit += map.shape.elements();
      bytes_.one_bit += map.shape.pixels() * qcnet::packed_bytes(map.shape.channels());
    }
    bytes_.float32 = 4 * bytes_.eight_bit;
    return {};
  }

  std::string table() const {
    const auto& about = node_.deployment();
    std::ostringstream out;
    out << about.name << " cut after " << about.cut;
    for (const auto& map : rebuilt_) out << ", " << map.shape.to_string();
    const int interval_width = benchmark_->interval_title().empty() ? 0 : 16;
    out << ", " << pictures_.size() << " pictures";
    if (link_.loss() > 0)
      out << ", each in " << link_.packets() << " packets of which " << fixed(100 * link_.loss(), 1)
          << " % are lost";
    out << "\n\n"
        << std::left << std::setw(title_width) << "" << std::right << std::setw(10) << benchmark_->metric()
        << std::setw(interval_width) << benchmark_->interval_title() << "   bytes  node ms  server ms\n";
    for (const Row& row : rows_)
      out << std::left << std::setw(title_width) << row.title << std::right << std::setw(8)
          << fixed(row.score->percent(), 2) << " %" << std::setw(interval_width) << row.score->interval()
          << std::setw(8) << (row.from_bits() ? sent_bytes() : bytes_.float32) << std::setw(9)
          << fixed((row.from_bits() ? node_ms_ : head_ms_).median(), 3) << std::setw(11)
          << fixed(row.server.median(), 3) << '\n';
    out << "\nBytes per picture: raw " << bytes_.raw;
    if (bytes_.file != 0) out << ", its file " << bytes_.file;
    out << "; at the cut float32 " << bytes_.float32 << ", 8 bit " << bytes_.eight_bit << ", 1 bit "
        << bytes_.one_bit << ", whole frame " << bytes_.frame << ", compressed " << bytes_.compressed;
    if (models_) out << ", by its entropy model " << bytes_.modeled;
    out << '\n';
    const Row *whole = find("unpartitioned"), *plain = find("lloyd-max"), *qcnet = find("qcnet");
    if (whole == nullptr || plain == nullptr || qcnet == nullptr) return out.str();
    const double lost = whole->score->percent() - plain->score->percent();
    if (lost > 0)
      out << "With the model frozen the QCNet recovers "
          << fixed(100.0 * (qcnet->score->percent() - plain->score->percent()) / lost, 0) << " % of the "
          << fixed(lost, 2) << " points that Lloyd-Max dequantization loses.\n";
    return out.str();
  }

  std::string json() const {
    const auto& about = node_.deployment();
    std::ostringstream out;
    out << "{\"model\": " << json_quoted(about.name) << ", \"cut\": " << json_quoted(about.cut)
        << ", \"pictures\": " << pictures_.size() << ",\n \"bytes\": {\"raw\": " << bytes_.raw
        << ", \"file\": " << bytes_.file << ", \"float32\": " << bytes_.float32
        << ", \"eight_bit\": " << bytes_.eight_bit << ", \"one_bit\": " << bytes_.one_bit
        << ", \"frame\": " << bytes_.frame << ", \"compressed\": " << bytes_.compressed;
    if (models_) out << ", \"modeled\": " << bytes_.modeled;
    out << "},\n";
    if (link_.loss() > 0)
      out << " \"loss\": " << fixed(link_.loss(), 4) << ", \"packets\": " << link_.packets()
          << ", \"packet_bytes\": " << bytes_.packets << ",\n";
    out << " \"rows\": [";
    for (const Row& row : rows_) {
      out << (&row == rows_.data() ? "\n" : ",\n") << "  {\"method\": " << json_quoted(row.key) << ", "
          << row.score->json()
          << ", \"node_ms\": " << fixed((row.from_bits() ? node_ms_ : head_ms_).median(), 5)
          << ", \"server_ms\": " << fixed(row.server.median(), 5)
          << ", \"from_bits\": " << (row.from_bits() ? "true" : "false");
      if (row.energy > 0) out << ", \"reconstruction_error\": " << fixed(row.error / row.energy, 5);
      out << "}";
    }
    out << "\n ]}\n";
    return out.str();
  }

  /// A line for each picture: its number, what is in it, and what each row took it for.
  std::string predictions() const {
    std::string out = "picture\ttruth";
    for (const Row& row : rows_) out += '\t' + row.key;
    for (std::size_t i = 0; i < pictures_.size(); ++i) {
      out += '\n' + std::to_string(pictures_[i]) + '\t' + rows_[0].score->truth(i);
      for (const Row& row : rows_) out += '\t' + row.score->answer(i);
    }
    return out + '\n';
  }

 private:
  static constexpr int title_width = 45;

  /// Bytes of a frame as another one sends it.
  static std::size_t size_as(Frame& other, const Frame& frame) {
    std::ranges::copy(frame.all_bits(), other.all_bits().data());
    other.seal(frame.sequence(), frame.picture());
    return other.bytes().size();
  }

  std::size_t sent_bytes() const { return link_.loss() > 0 ? bytes_.packets : bytes_.frame; }

  Evaluation(std::unique_ptr<Benchmark> benchmark, qcnet::Node node, LossyLink link,
             const qcnet::Arithmetic& of_servers)
      : benchmark_(std::move(benchmark)),
        node_(std::move(node)),
        link_(std::move(link)),
        of_servers_(of_servers) {}

  Result<void> add_server(const std::string& path, const std::string& node_path) {
    QCNET_TRY(Server loaded, Server::load(path, {.arithmetic = of_servers_}));
    const auto server = std::make_shared<Server>(std::move(loaded));
    QCNET_CHECK(check_pair(node_, node_path, *server, path));
    const auto of_node = node_.deployment().maps(), of_server = server->deployment().maps();
    if (!in_own_basis_ &&
        !std::ranges::equal(of_node, of_server, {}, &qcnet::CutMap::shape, &qcnet::CutMap::shape))
      return Error(path + ": rebuilds other maps than " + node_path +
                   " computes, their qcnet.feature differ");
    if (rebuilt_.empty()) rebuilt_ = of_server;
    if (server->deployment().method == "qcnet" && !in_own_basis_ && !server->deployment().codes)
      QCNET_CHECK(add_frozen_rows(*server, path, node_path));
    return add_server_row(server->deployment().method, server);
  }

  Result<void> add_server_row(const std::string& key, const std::shared_ptr<Server>& server) {
    return add_row(
        key, *server,
        [server](const Maps&, const PartialFrame& arrived) { return decoded(*server, arrived); },
        [server](std::size_t map) { return server->features(map); });
  }

  /// `owner` is the server whose file says what the answers mean.
  Result<void> add_row(const std::string& key, const Server& owner, decltype(Row::run) run,
                       decltype(Row::rebuilt) rebuilt) {
    QCNET_TRY(auto score, benchmark_->score(owner.deployment(), owner.tail()));
    rows_.push_back({key, title(key), std::move(run), std::move(score), std::move(rebuilt)});
    return {};
  }

  static Result<const Executor*> decoded(Server& server, const PartialFrame& arrived) {
    QCNET_CHECK(server.decode(arrived));
    return &server.tail();
  }

  /// What the frozen model does without a QCNet: its tail is in the file of the frozen QCNet.
  Result<void> add_frozen_rows(const Server& server, const std::string& path, const std::string& node_path) {
    const auto tail = std::make_shared<Executor>(server.tail());
    const auto run_tail = [tail](const Maps& maps, const PartialFrame&) -> Result<const Executor*> {
      tail->run(maps);
      return tail.get();
    };
    QCNET_CHECK(add_row("unpartitioned", server, run_tail, {}));

    QCNET_TRY(auto restored, load_uniform_maps(node_path));
    const auto uniform = std::make_shared<std::vector<UniformMap>>(std::move(restored));
    const auto run_uniform = [=](const Maps& maps, const PartialFrame& arrived) {
      Maps rebuilt;
      for (std::size_t i = 0; i < maps.size(); ++i)
        rebuilt.push_back((*uniform)[i](maps[i], arrived.received.bits(i)));
      return run_tail(rebuilt, arrived);
    };
    if (!uniform->empty())
      QCNET_CHECK(add_row("uniform", server, run_uniform, [uniform](std::size_t map) -> ConstTensorView {
        return (*uniform)[map].restored;
      }));

    QCNET_TRY(Server loaded, Server::load(path, {.compensate = false, .arithmetic = of_servers_}));
    return add_server_row("lloyd-max", std::make_shared<Server>(std::move(loaded)));
  }

  /// A map at the cut, to bits, of which some may be lost, and back by the uniform quantizer.
  struct UniformMap {
    qcnet::Quantizer levels;
    qcnet::Bitplane bits;
    qcnet::Tensor restored;

    ConstTensorView operator()(ConstTensorView map, qcnet::ConstBitplaneView received) {
      qcnet::binarize_into(map, levels.thresholds, bits);
      qcnet::expand_into(bits, received, levels.low, levels.high, restored);
      return restored;
    }
  };
  /// None of a file that says no range.
  Result<std::vector<UniformMap>> load_uniform_maps(const std::string& node_path) const {
    QCNET_TRY(const auto file, qcnet::io::Safetensors::open(node_path));
    std::vector<UniformMap> loaded;
    if (file.find("qcnet.range") == nullptr) return loaded;
    for (const qcnet::CutMap& map : node_.deployment().maps()) {
      auto levels = qcnet::load_uniform(file, map.shape.channels(), map.suffix);
      if (!levels) return levels.error().in(node_path);
      loaded.push_back({*std::move(levels), qcnet::Bitplane(map.shape), qcnet::Tensor(map.shape)});
    }
    return loaded;
  }

  struct Name {
    const char *key, *title;
  };
  static constexpr Name order[] = {{"unpartitioned", "unpartitioned"},
                                   {"uniform", "uniform dequantization"},
                                   {"lloyd-max", "Lloyd-Max dequantization"},
                                   {"qcnet", "QCNet, model frozen"},
                                   {"lloyd-max-finetuned", "Lloyd-Max dequantization, tuned tail"},
                                   {"qcnet-finetuned", "QCNet, tuned tail"},
                                   {"autoencoder", "autoencoder, model frozen"},
                                   {"autoencoder-finetuned", "autoencoder, tuned tail"},
                                   {"klt", "principal components, model frozen"},
                                   {"klt-qcnet", "QCNet on principal components, model frozen"},
                                   {"klt-finetuned", "principal components, tuned tail"},
                                   {"klt-qcnet-finetuned", "QCNet on principal components, tuned tail"},
                                   {"qat", "quantization-aware training"},
                                   {"2-bit", "2 bits a feature, model frozen"},
                                   {"4-bit", "4 bits a feature, model frozen"},
                                   {"8-bit", "8 bits a feature, model frozen"},
                                   {"2-bit-finetuned", "2 bits a feature, tuned tail"},
                                   {"4-bit-finetuned", "4 bits a feature, tuned tail"},
                                   {"8-bit-finetuned", "8 bits a feature, tuned tail"}};
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

  std::unique_ptr<Benchmark> benchmark_;
  qcnet::Node node_;
  std::optional<qcnet::EntropyModels> models_;
  bool in_own_basis_ = false;           // the node's maps are mixtures of those that servers rebuild
  std::vector<qcnet::CutMap> rebuilt_;  // the maps at the cut, as servers rebuild them
  LossyLink link_;
  qcnet::Arithmetic of_servers_;
  std::vector<Row> rows_;
  std::vector<std::size_t> pictures_;
  Timings node_ms_, head_ms_;
  Bytes bytes_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Compares the ways of crossing a cut over a labelled dataset.\n"
      "The server of method \"qcnet\" also gives the rows of the unpartitioned model and of plain\n"
      "dequantization. Methods with a node of their own (autoencoder, klt, qat, several bits) are\n"
      "evaluated with it, one at a time. Times are medians of one picture. A detector is measured by\n"
      "mAP@0.5 over pictures with boxes; its interval comes from drawing the pictures anew 1000 times,\n"
      "the same ones for every method.",
      "evaluate");
  app.footer(
      "Example: evaluate cifar10/test resnet-cifar10-layer1.node.safetensors"
      " resnet-cifar10-layer1-*.server.safetensors");
  std::string dataset, split, node, entropy, json = "/dev/null", predictions = "/dev/null";
  std::vector<std::string> servers;
  std::size_t limit = 0, mtu = 128;
  double loss = 0;
  bool bf16 = false;
  app.add_option(
         "DATASET", dataset,
         "A folder of <class>/<picture>, or an idx file (...images-idx3-ubyte); for a detector a folder\n"
         "of pictures with boxes (VOC, YOLO)")
      ->required();
  app.add_option("NODE", node, "The node's file (.node.safetensors)")->required();
  app.add_option("SERVERS", servers, "Servers' files of the same cut (.server.safetensors)")->required();
  app.add_option("--split", split, "Of a detector's dataset only train, val or test");
  app.add_option("--limit", limit, "Use only this many pictures, spread over the dataset")
      ->check(above_zero());
  app.add_option("--packet-loss", loss, "Send frames in packets, of which each is lost with this probability")
      ->check(from_zero_to_one());
  app.add_option("--mtu", mtu, "Most bytes of such a packet")->check(above_zero())->capture_default_str();
  add_entropy_option(app, entropy, "Also say what frames take by it");
  app.add_option("--json", json, "Also write the figures to this file")->check(named());
  app.add_option("--predictions", predictions, "Also write what each picture was taken for to this file")
      ->check(named());
  add_bf16_option(app, bf16);
  add_threads_option(app);

  return run(app, argc, argv, [&]() -> Result<void> {
    const auto place = [](const std::string& path) {
      return std::filesystem::weakly_canonical(std::filesystem::absolute(path));
    };
    if (place(json) == place(predictions) && json != "/dev/null")
      return Error(json + ": cannot take both --json and --predictions");
    for (auto server = servers.begin(); server != servers.end(); ++server)
      if (std::any_of(servers.begin(), server, [&](auto& other) { return place(other) == place(*server); }))
        return Error(*server + ": is named twice");
    QCNET_TRY(Evaluation evaluation,
              Evaluation::open(dataset, split, node, servers, entropy, loss, mtu, bf16));
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
