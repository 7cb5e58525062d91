// The server of a deployment: frames or packets in, answers out. It trusts nobody: a bad frame costs one
// sentence.
#include "common/answer.hpp"
#include "common/boxes.hpp"
#include "common/entropy_option.hpp"
#include "common/measure.hpp"
#include "common/open_benchmark.hpp"
#include "common/program.hpp"
#include "common/stream.hpp"

#include <csignal>
#include <optional>

#include <qcnet/server.hpp>

namespace {

using namespace examples;
using qcnet::Error, qcnet::Result, qcnet::vision::DetectionOptions;

/// Counts right answers: frame n is picture n of the dataset, counted from 1.
class Referee {
 public:
  static Result<Referee> open(const std::string& path, const std::string& split,
                              const qcnet::Server& server) {
    QCNET_TRY(auto benchmark, open_benchmark(server.deployment(), path, split));
    QCNET_TRY(auto score, benchmark->score(server.deployment(), server.tail()));
    return Referee(std::move(benchmark), std::move(score));
  }
  /// Of the frame that the server decoded last.
  Result<void> judge(const qcnet::Server& server, const qcnet::Frame& frame) {
    if (frame.sequence() == 0 || frame.sequence() > benchmark_->size())
      return Error("has no label, the dataset has " + std::to_string(benchmark_->size()) + " pictures");
    return score_->add(server.tail(), static_cast<std::size_t>(frame.sequence() - 1), frame.picture());
  }
  std::string report() const { return score_->report(); }

 private:
  Referee(std::unique_ptr<Benchmark> benchmark, std::unique_ptr<Score> score)
      : benchmark_(std::move(benchmark)), score_(std::move(score)) {}
  std::unique_ptr<Benchmark> benchmark_;
  std::unique_ptr<Score> score_;
};

/// What one connection needs.
class Connection {
 public:
  Connection(qcnet::Server server, qcnet::PacketAssembler assembler, std::optional<Referee> referee,
             std::optional<qcnet::EntropyModels> models, DetectionOptions options)
      : server_(std::move(server)),
        assembler_(std::move(assembler)),
        referee_(std::move(referee)),
        models_(std::move(models)),
        options_(options) {}

  /// Takes one message, a frame or a packet of one, and answers what is ready for it.
  Result<void> receive(std::span<const std::byte> message) {
    if (!qcnet::is_packet(message)) {
      QCNET_TRY(const qcnet::Frame frame, server_.parse(message, models_ ? &*models_ : nullptr));
      return answer(frame, frame);
    }
    QCNET_TRY(const auto added, assembler_.add(message));
    if (added == qcnet::PacketAssembler::Added::newer) {
      const auto done = finish();  // what is still missing will hardly come
      const auto received = receive(message);
      return done ? received : done.error().in("the frame before it");
    }
    return assembler_.complete() ? finish() : Result<void>();
  }

  /// Answers the frame that packets have begun, if there is one, from what has arrived of it.
  Result<void> finish() {
    if (!assembler_.begun()) return {};
    packets_ += assembler_.count();
    lost_ += assembler_.missing();
    const qcnet::PartialFrame& partial = assembler_.finish();
    return answer(partial, partial.frame);
  }

  std::string report() const {
    return std::to_string(answered_) + " frames answered, " + fixed(timings_.median(), 3) + " ms each" +
           (packets_ == 0
                ? std::string()
                : ", " + std::to_string(lost_) + " of their " + std::to_string(packets_) + " packets lost") +
           (referee_ ? "; " + referee_->report() : std::string());
  }

 private:
  /// Judges and answers a frame, given whole or in part; prints nothing unless all of it is good.
  template <class Received>
  Result<void> answer(const Received& received, const qcnet::Frame& frame) {
    QCNET_TRY(const std::string lines, timings_([&] { return read(received, frame); }));
    // Only now: a frame that is not even for this model must not spoil the numbers of those that are.
    QCNET_CHECK(guard_.accept(frame.sequence()));
    if (referee_) QCNET_CHECK(referee_->judge(server_, frame));
    if (std::cout << lines << std::flush) ++answered_;
    return {};
  }

  /// The answer as lines, each of which begins with the frame's number.
  template <class Received>
  Result<std::string> read(const Received& received, const qcnet::Frame& frame) {
    const auto& about = server_.deployment();
    const std::string start = std::to_string(frame.sequence()) + '\t';
    if (!about.anchors) {
      QCNET_TRY(const auto logits, server_.decode(received));
      QCNET_TRY(const auto answers, best(logits, 1));
      const Answer& first = answers[0];
      return start + class_name(about.classes, first.index) + '\t' + fixed(double{first.probability}, 4) +
             '\n';
    }
    QCNET_TRY(const auto found, server_.detect(received, options_));
    std::string lines;
    for (const auto& detection : found) lines += start + box_columns(detection, about.classes) + '\n';
    return found.empty() ? start + no_boxes + '\n' : lines;
  }

  qcnet::Server server_;
  qcnet::PacketAssembler assembler_;
  std::optional<Referee> referee_;
  std::optional<qcnet::EntropyModels> models_;
  DetectionOptions options_;
  qcnet::ReplayGuard guard_;
  Timings timings_;
  std::size_t answered_ = 0, packets_ = 0, lost_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Reads frames, or packets of them, from stdin and prints a line for each: sequence number, class,\n"
      "probability. A detector's is a line for each box: sequence number, class, score, left and upper\n"
      "edge, width and height in pixels of the node's picture.\n"
      "A frame is answered from the packets that came, once a newer one begins.\n"
      "What is damaged, foreign or replayed is reported, skipped and makes the exit status 1.",
      "server");
  app.footer(
      "Example: node resnet-cifar10-layer1.node.safetensors cifar10/test |"
      " server resnet-cifar10-layer1-qcnet.server.safetensors --labels cifar10/test");
  std::string weights, labels, split, entropy;
  DetectionOptions options;
  std::size_t longest = std::size_t{16} << 20;
  bool strict = false, quiet = false, bf16 = false;
  app.add_option("SERVER", weights, "The server's file (.server.safetensors)")->required();
  CLI::Option* of_labels =
      app.add_option("--labels", labels, "The dataset the node sends, to count right answers");
  app.add_option("--split", split, "Of a detector's dataset only train, val or test")->needs(of_labels);
  app.add_option("--max-bytes", longest, "Longest frame or packet to accept")
      ->check(above_zero())
      ->capture_default_str();
  add_entropy_option(app, entropy, "By which the node codes its bits, if it does");
  app.add_flag("--strict", strict, "Stop at the first bad frame");
  app.add_flag("--quiet", quiet, "No statistics at the end");
  add_detection_options(app, options);
  add_bf16_option(app, bf16);
  add_threads_option(app);

  std::ios::sync_with_stdio(false);  // else std::cin takes an error for the end
  return run(app, argc, argv, [&]() -> Result<void> {
    std::signal(SIGPIPE, SIG_IGN);  // a reader that is gone gives a write error, with a sentence
    QCNET_TRY(qcnet::Server server, qcnet::Server::load(weights, {.arithmetic = {.bf16 = bf16}}));
    std::optional<Referee> referee;
    if (!labels.empty()) {
      QCNET_TRY(referee, Referee::open(labels, split, server));
    }
    QCNET_TRY(auto assembler, server.make_assembler());
    QCNET_TRY(auto models, open_entropy_models(entropy, server.deployment()));
    Connection connection(std::move(server), std::move(assembler), std::move(referee), std::move(models),
                          options);
    std::size_t received = 0, refused = 0;
    Result<void> stream;
    for (bool more = true; more;) {
      const auto message = read_message(std::cin, longest);
      if (!message) stream = message.error().in("frame " + std::to_string(received + 1) + " of stdin");
      more = message.ok() && message->has_value();
      if (more) ++received;
      const auto done = more ? connection.receive(**message) : connection.finish();
      if (!std::cout) return Error("stdout: cannot be written; has its reader gone, or is the disk full?");
      if (done) continue;
      const std::string where = !more ? std::string("the end of stdin")
                                      : (qcnet::is_packet(**message) ? "packet " : "frame ") +
                                            std::to_string(received) + " of stdin";
      if (strict) return done.error().in(where);
      std::cerr << "server: " << where << ": " << done.error().message() << '\n';
      ++refused;
    }
    if (received == 0 && stream) return Error("stdin: there were no frames; pipe node's output into server");
    if (!quiet) std::cerr << "server: " << connection.report() << '\n';
    QCNET_CHECK(stream);
    if (refused != 0)
      return Error(std::to_string(refused) + " of " + std::to_string(received) + " messages were refused");
    return {};
  });
}
