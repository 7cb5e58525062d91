// The server's side of a deployment: frame in, answer out.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include <qcnet/layers/executor.hpp>
#include <qcnet/models/model.hpp>
#include <qcnet/split/check.hpp>
#include <qcnet/split/conv_compensator.hpp>
#include <qcnet/split/deployment.hpp>
#include <qcnet/split/frame.hpp>
#include <qcnet/split/token_compensator.hpp>

namespace qcnet::inline QCNET_ABI {

/// Reconstructs the feature map from a frame's bits and runs the tail of the model. One frame at a time.
class Server {
 public:
  /// `compensate` false: plain dequantization with the file's levels, as if it held no QCNet.
  struct Options {
    bool compensate = true;
    Verify verify = Verify::yes;
  };

  /// Loads a `.server.safetensors` file. Error: what the file lacks, by name.
  static Result<Server> load(const std::string& path, Options options) {
    QCNET_TRY(const io::Safetensors file, io::Safetensors::open(path));
    auto server = load(file, options);
    if (!server) return server.error().in(path);
    return server;
  }
  static Result<Server> load(const std::string& path) { return load(path, Options{}); }

  /// The same from bytes that were compiled in (io::Safetensors::parse); they are not needed afterwards.
  static Result<Server> load(const io::Safetensors& file, Options options) {
    QCNET_TRY(Deployment deployment, Deployment::read(file, "server"));
    QCNET_TRY(Network network, models::load(file));
    QCNET_TRY(Executor tail, Executor::make(std::move(network), deployment.feature));
    QCNET_TRY(auto compensator, load_compensator(file, deployment, options.compensate));
    Server server(std::move(deployment), std::move(compensator), std::move(tail));
    if (options.verify == Verify::yes && options.compensate) QCNET_CHECK(server.verify(file));
    return server;
  }

  /// The tail's output (logits `[1, K]`), valid until the next call. Error: the frame comes from another
  /// model, cut or size. The same frame gives the same logits for any number of threads.
  Result<ConstTensorView> decode(const Frame& frame) {
    if (frame.model_hash() != deployment_.hash)
      return Error("the frame comes from another model: its hash is " + hex(frame.model_hash()) +
                   ", this server's is " + hex(deployment_.hash));
    if (frame.map_count() != 1 || frame.name(0) != deployment_.cut)
      return Error("the frame is cut at \"" + frame.name(0) + "\", this server continues from \"" +
                   deployment_.cut + "\"");
    if (!(frame.shape(0) == deployment_.feature))
      return Error("the frame's map is " + frame.shape(0).to_string() + ", expected " +
                   deployment_.feature.to_string());
    return decode_bits(frame.bits(0));
  }

  /// The reconstructed feature map of the last frame, `[1, H, W, C]`.
  ConstTensorView features() const { return map_; }

  const Deployment& deployment() const { return deployment_; }
  const Compensator& compensator() const { return *compensator_; }
  const Executor& tail() const { return tail_; }

 private:
  Server(Deployment deployment, std::unique_ptr<Compensator> compensator, Executor tail)
      : deployment_(std::move(deployment)),
        compensator_(std::move(compensator)),
        tail_(std::move(tail)),
        map_(deployment_.feature) {}

  static Result<std::unique_ptr<Compensator>> load_compensator(const io::Safetensors& file,
                                                               const Deployment& deployment,
                                                               bool compensate) {
    if (compensate && TokenCompensator::is_in(file)) return TokenCompensator::load(file, deployment.feature);
    if (compensate && ConvCompensator::is_in(file))
      return ConvCompensator::load(file, deployment.feature, deployment.activation);
    QCNET_TRY(Quantizer levels, load_lloyd_max(file, deployment.feature.channels()));
    return std::unique_ptr<Compensator>(std::make_unique<Dequantizer>(std::move(levels)));
  }

  static std::string hex(std::uint64_t hash) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
    return text;
  }

  ConstTensorView decode_bits(ConstBitplaneView bits) {
    compensator_->reconstruct_into(bits, map_);
    return tail_.run(map_);
  }

  Result<void> verify(const io::Safetensors& file) {
    if (file.find("qcnet.check.output") == nullptr) return {};
    const Shape& s = deployment_.feature;
    QCNET_TRY(const Tensor ones, load_check_map(file, "qcnet.check.map", s));
    QCNET_TRY(const Tensor output, load_tensor(file, "qcnet.check.output"));
    Bitplane bits(s);
    for (std::size_t p = 0; p < s.pixels(); ++p)
      for (std::size_t c = 0; c < s.channels(); ++c) bits.set(p, c, ones.view().pixel(p)[c] > 0.5f);
    return compare_check(decode_bits(bits), output, 1e-3f, "qcnet.check.output");
  }

  Deployment deployment_;
  std::unique_ptr<Compensator> compensator_;
  Executor tail_;
  Tensor map_;
};

}  // namespace qcnet::inline QCNET_ABI
