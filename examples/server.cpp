// The server of a deployment: frames in, answers out. It trusts nobody: a bad frame costs one sentence.
#include "common/answer.hpp"
#include "common/classes.hpp"
#include "common/dataset.hpp"
#include "common/measure.hpp"
#include "common/program.hpp"
#include "common/stream.hpp"

#include <optional>

#include <qcnet/server.hpp>

namespace {

using namespace examples;
using qcnet::Error, qcnet::Result;

/// Counts right answers: frame n is picture n of the dataset, counted from 1.
class Referee {
 public:
  static Result<Referee> open(const std::string& path, const qcnet::Deployment& deployment,
                              std::size_t classes) {
    QCNET_TRY(Dataset dataset, Dataset::open(path));
    QCNET_TRY(auto labels, match_classes(dataset.class_names(), deployment.classes, classes));
    return Referee(std::move(dataset), std::move(labels));
  }
  Result<void> judge(std::uint64_t sequence, std::size_t answer) {
    if (sequence == 0 || sequence > dataset_.size())
      return Error("has no label, the dataset has " + std::to_string(dataset_.size()) + " pictures");
    ++judged_;
    right_ += answer == labels_[dataset_.label(static_cast<std::size_t>(sequence - 1))] ? 1u : 0u;
    return {};
  }
  std::string report() const {
    return std::to_string(right_) + " of " + std::to_string(judged_) + " right: accuracy " +
           fixed(judged_ == 0 ? 0 : 100.0 * static_cast<double>(right_) / static_cast<double>(judged_), 2) +
           " %";
  }

 private:
  Referee(Dataset dataset, std::vector<std::size_t> labels)
      : dataset_(std::move(dataset)), labels_(std::move(labels)) {}
  Dataset dataset_;
  std::vector<std::size_t> labels_;
  std::size_t judged_ = 0, right_ = 0;
};

/// What one connection needs.
class Connection {
 public:
  Connection(qcnet::Server server, std::optional<Referee> referee)
      : server_(std::move(server)), referee_(std::move(referee)) {}

  /// Judges and answers one message; prints nothing unless all of it is good.
  Result<void> answer(std::span<const std::byte> message) {
    QCNET_TRY(const qcnet::Frame frame, qcnet::Frame::parse(message));
    const auto logits = timings_([&] { return server_.decode(frame); });
    if (!logits) return logits.error();
    // Only now: a frame that is not even for this model must not spoil the numbers of those that are.
    QCNET_CHECK(guard_.accept(frame.sequence()));
    const Answer first = best(*logits, 1)[0];
    if (referee_) QCNET_CHECK(referee_->judge(frame.sequence(), first.index));
    std::cout << frame.sequence() << '\t' << class_name(server_.deployment().classes, first.index) << '\t'
              << fixed(first.probability, 4) << std::endl;
    ++answered_;
    return {};
  }

  std::string report() const {
    return std::to_string(answered_) + " frames answered, " + fixed(timings_.median(), 3) + " ms each" +
           (referee_ ? "; " + referee_->report() : std::string());
  }

 private:
  qcnet::Server server_;
  std::optional<Referee> referee_;
  qcnet::ReplayGuard guard_;
  Timings timings_;
  std::size_t answered_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Reads frames from stdin and prints a line for each: sequence number, class, probability.\n"
      "A frame that is damaged, foreign or replayed is reported, skipped and makes the exit status 1.",
      "server");
  app.footer(
      "Example: node resnet-cifar10-layer1.node.safetensors cifar10/test |"
      " server resnet-cifar10-layer1-qcnet.server.safetensors --labels cifar10/test");
  std::string weights, labels;
  std::size_t longest = std::size_t{16} << 20;
  bool strict = false, quiet = false;
  app.add_option("SERVER", weights, "The server's file (.server.safetensors)")->required();
  app.add_option("--labels", labels, "The dataset the node sends, to count right answers");
  app.add_option("--max-bytes", longest, "Longest frame to accept")->capture_default_str();
  app.add_flag("--strict", strict, "Stop at the first bad frame");
  app.add_flag("--quiet", quiet, "No statistics at the end");
  add_threads_option(app);

  return run(app, argc, argv, [&]() -> Result<void> {
    QCNET_TRY(qcnet::Server server, qcnet::Server::load(weights));
    std::optional<Referee> referee;
    if (!labels.empty()) {
      QCNET_TRY(referee, Referee::open(labels, server.deployment(), server.tail().output_shape().channels()));
    }
    Connection connection(std::move(server), std::move(referee));
    std::size_t received = 0, refused = 0;
    for (;; ++received) {
      const std::string where = "frame " + std::to_string(received + 1) + " of stdin";
      const auto message = read_message(std::cin, longest);
      if (!message) return message.error().in(where);
      if (!message->has_value()) break;
      const auto done = connection.answer(**message);
      if (done) continue;
      if (strict) return done.error().in(where);
      std::cerr << "server: " << where << ": " << done.error().message() << '\n';
      ++refused;
    }
    if (received == 0) return Error("stdin: there were no frames; pipe node's output into server");
    if (!quiet) std::cerr << "server: " << connection.report() << '\n';
    if (refused != 0)
      return Error(std::to_string(refused) + " of " + std::to_string(received) + " frames were refused");
    return {};
  });
}
