// The node of a deployment: pictures in, frames out.
#include "common/entropy_option.hpp"
#include "common/measure.hpp"
#include "common/output_file.hpp"
#include "common/pictures.hpp"
#include "common/program.hpp"
#include "common/stream.hpp"

#include <csignal>
#include <cstdint>
#include <optional>

#include <qcnet/node.hpp>

#include <unistd.h>

namespace {

using namespace examples;
using qcnet::Error, qcnet::Result;

struct Statistics {
  Timings timings;
  std::uint64_t bytes = 0;  // of all that was sent
};

Result<void> send_all(qcnet::Node& node, qcnet::Frame& frame, const Pictures& pictures, std::size_t count,
                      std::ostream& out, std::size_t mtu, Statistics& statistics) {
  std::optional<qcnet::Packetizer> packets;
  if (mtu != 0) {
    QCNET_TRY(packets, qcnet::Packetizer::make(frame, mtu));
  }
  const auto send = [&](std::span<const std::byte> message) {
    statistics.bytes += message.size();
    return write_message(out, message);
  };
  for (std::size_t i = 0; i < count; ++i) {
    QCNET_TRY(const auto picture, pictures.get(i));
    QCNET_CHECK(statistics.timings([&] { return node.encode_into(picture.image, frame); }));
    if (!packets) QCNET_CHECK(send(frame.bytes()));
    for (std::size_t p = 0; packets && p < packets->count(); ++p) QCNET_CHECK(send(packets->cut(frame, p)));
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Turns pictures into frames of bits, mostly one per feature, on stdout or into a file.\n"
      "Each frame is preceded by its length in bytes (u32, little-endian).",
      "node");
  app.footer(
      "Example: node resnet-cifar10-layer1.node.safetensors cifar10/test |"
      " server resnet-cifar10-layer1-qcnet.server.safetensors");
  std::string weights, output, split, entropy;
  std::vector<std::string> paths;
  std::size_t limit = 0, mtu = 0;
  std::uint64_t first = 1;
  bool compress = false, quiet = false, bf16 = false;
  app.add_option("NODE", weights, "The node's file (.node.safetensors)")->required();
  app.add_option("INPUT", paths,
                 "A folder of <class>/<picture> or of pictures with boxes (VOC, YOLO), an idx file\n"
                 "(...images-idx3-ubyte), or pictures")
      ->required();
  app.add_option("--split", split, "Of a folder of pictures with boxes only train, val or test");
  app.add_option("-o,--output", output, "File for the frames instead of stdout")->check(named());
  app.add_option("--number-from", first,
                 "The first frame's number: above the last one's, if the server's connection saw others")
      ->check(number_that([](double n) { return n >= 1 && n <= 0x1p63; }, "from 1 to 2^63"))
      ->capture_default_str();
  app.add_option("--limit", limit, "Stop after this many pictures")->check(above_zero());
  auto* compressed = app.add_flag("--compress", compress,
                                  "Send fewer bytes, for some more work; the server need not be told");
  auto* modeled =
      add_entropy_option(app, entropy, "Send still fewer bytes by a model that the server must be given, too")
          ->excludes(compressed);
  app.add_option("--mtu", mtu,
                 "Send frames in packets of at most this many bytes, of which any may be lost; the server\n"
                 "need not be told")
      ->check(above_zero())
      ->excludes(compressed)
      ->excludes(modeled);
  app.add_flag("--quiet", quiet, "No statistics at the end");
  add_bf16_option(app, bf16);
  add_threads_option(app);

  return run(app, argc, argv, [&]() -> Result<void> {
    std::signal(SIGPIPE, SIG_IGN);  // a reader that is gone gives a write error, with a sentence
    if (output.empty() && isatty(STDOUT_FILENO) != 0)
      return Error("stdout is a terminal, which frames would upset; pipe them into server or use -o FILE");
    QCNET_TRY(qcnet::Node node,
              qcnet::Node::load(weights, qcnet::Verify::yes, {.fast = false, .bf16 = bf16}));
    node.number_from(first);
    QCNET_TRY(const Pictures pictures, Pictures::open(paths, split));
    const std::size_t count = limit == 0 ? pictures.size() : std::min(limit, pictures.size());
    QCNET_TRY(const auto models, open_entropy_models(entropy, node.deployment()));
    qcnet::Frame frame = node.make_frame(compress ? qcnet::Coding::context : qcnet::Coding::none);
    if (models) {
      QCNET_TRY(frame, node.make_frame(*models));
    }
    Statistics statistics;
    if (output.empty()) {
      QCNET_CHECK(send_all(node, frame, pictures, count, std::cout, mtu, statistics));
    } else {
      QCNET_TRY(OutputFile file, OutputFile::open(output));
      QCNET_CHECK(send_all(node, frame, pictures, count, file.stream(), mtu, statistics));
      QCNET_CHECK(file.commit());
    }
    if (quiet) return {};
    const auto memory = node.memory();
    std::cerr << "node: " << count << " pictures, " << fixed(statistics.timings.median(), 3) << " ms and "
              << statistics.bytes / std::max<std::size_t>(count, 1) << " bytes each; peak memory "
              << megabytes(peak_memory()) << ", of it weights " << megabytes(memory.weights)
              << " and activations " << megabytes(memory.activations) << '\n';
    return {};
  });
}
