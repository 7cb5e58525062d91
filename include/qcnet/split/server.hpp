// The server's side of a deployment: frame in, answer out.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/layers/executor.hpp>
#include <qcnet/models/model.hpp>
#include <qcnet/split/check.hpp>
#include <qcnet/split/code_dequantizer.hpp>
#include <qcnet/split/conv_compensator.hpp>
#include <qcnet/split/deployment.hpp>
#include <qcnet/split/detector.hpp>
#include <qcnet/split/frame.hpp>
#include <qcnet/split/linear_dequantizer.hpp>
#include <qcnet/split/packet_assembler.hpp>
#include <qcnet/split/partial_frame.hpp>
#include <qcnet/split/token_compensator.hpp>

namespace qcnet::inline QCNET_ABI {

/// Reconstructs the feature maps, mostly one, from a frame's bits and runs the tail of the model. One frame
/// at a time.
class Server {
 public:
  struct Options {
    bool compensate = true;       ///< false: the file's dequantization alone, as if it held no QCNet
    Verify verify = Verify::yes;  ///< if the file holds a check, and compensates
    Arithmetic arithmetic = {};
    models::Loader* family = nullptr;  ///< builds the tail of a classifier of your own family
  };

  Server(Server&&) = default;  // no copies: load it again
  Server& operator=(Server&&) = default;

  /// Loads a `.server.safetensors` file. Error: what the file lacks, by name.
  static Result<Server> load(const std::string& path, Options options) {
    QCNET_TRY(const io::Safetensors file, io::Safetensors::open(path));
    auto server = load(file, options);
    if (!server) return server.error().in(path);
    return server;
  }
  static Result<Server> load(const std::string& path) { return load(path, Options{}); }
  static Result<Server> load(const io::Safetensors& file) { return load(file, Options{}); }

  /// The same from bytes that were compiled in (io::Safetensors::parse); they are not needed afterwards.
  static Result<Server> load(const io::Safetensors& file, Options options) {
    QCNET_TRY(Deployment deployment, Deployment::read(file, "server"));
    QCNET_TRY(Network network,
              options.family == nullptr ? models::load(file) : models::load(file, *options.family));
    const std::vector<CutMap> maps = deployment.maps();
    std::vector<Shape> shapes;
    shapes.reserve(maps.size());
    for (const CutMap& map : maps) shapes.push_back(map.shape);
    if (network.inputs() != maps.size())
      return Error("the tail reads " + std::to_string(network.inputs()) +
                   " maps, but by the metadata (\"qcnet.beside\") " + std::to_string(maps.size()) +
                   " cross the cut");
    QCNET_TRY(Executor tail, Executor::make(std::move(network), shapes, options.arithmetic));
    Server server(std::move(deployment), std::move(tail));
    if (server.deployment_.anchors) {
      QCNET_TRY(server.detector_, Detector::make(server.deployment_, server.tail_));
    } else {
      QCNET_CHECK(server.deployment_.check_classes(server.tail_.output_shape().channels()));
    }
    for (const CutMap& map : maps) {
      QCNET_TRY(auto compensator, server.load_compensator(file, map, options));
      server.compensators_.push_back(std::move(compensator));
      server.sent_.push_back(server.deployment_.sent(map));
      server.maps_.emplace_back(map.shape);
      server.views_.push_back(server.maps_.back());
    }
    QCNET_TRY(const Frame own, Frame::make(server.deployment_.hash, server.deployment_.frame_maps()));
    server.frame_bytes_ = own.bytes().size();
    if (options.verify == Verify::yes && options.compensate)
      QCNET_CHECK(server.verify(file, check_tolerance(options.arithmetic, 1e-3f)));
    return server;
  }

  /// To collect the packets of a node's frames in. Error: as for Frame::make.
  Result<PacketAssembler> make_assembler() const {
    return PacketAssembler::make(deployment_.hash, deployment_.frame_maps());
  }

  /// A frame of this server's node, from bytes that nobody vouches for: others are not even decoded. Error:
  /// as for Frame::parse.
  Result<Frame> parse(std::span<const std::byte> bytes, const EntropyModels* models = nullptr) const {
    return Frame::parse(bytes, {frame_bytes_, deployment_.hash, models});
  }

  /// The tail's (first) output (logits `[1, K]`), valid until the next call. Error: the frame comes from
  /// another model, cut or size. The same frame gives the same logits for any number of threads.
  Result<ConstTensorView> decode(const Frame& frame) & {
    QCNET_CHECK(check(frame));
    for (std::size_t i = 0; i < maps_.size(); ++i)
      compensators_[i]->reconstruct_into(frame.bits(i), maps_[i]);
    return tail_.run(views_);
  }

  /// The same from what arrived of a frame. A map that all arrived of is reconstructed as ever, bit for bit.
  Result<ConstTensorView> decode(const PartialFrame& partial) & {
    QCNET_CHECK(check(partial.frame));
    QCNET_CHECK(check(partial.received));
    for (std::size_t i = 0; i < maps_.size(); ++i) {
      const ConstBitplaneView bits = partial.frame.bits(i), received = partial.received.bits(i);
      if (count_set(received) == received.shape.elements())
        compensators_[i]->reconstruct_into(bits, maps_[i]);
      else
        compensators_[i]->reconstruct_into(bits, received, maps_[i]);
    }
    return tail_.run(views_);
  }

  /// The boxes that a detector finds, in pixels of the picture that the frame was made from, best first.
  /// Error: as for `decode`; a classifier; a frame that does not say its picture's size.
  Result<std::vector<vision::Detection>> detect(const Frame& frame,
                                                const vision::DetectionOptions& options = {}) {
    return detect(frame, frame, options);
  }
  Result<std::vector<vision::Detection>> detect(const PartialFrame& partial,
                                                const vision::DetectionOptions& options = {}) {
    return detect(partial, partial.frame, options);
  }

  /// An output of the tail for the last frame; a detector has two.
  ConstTensorView output(std::size_t output = 0) const { return tail_.output(output); }

  /// A reconstructed feature map of the last frame, `[1, H, W, C]`, the cut's own being the first.
  ConstTensorView features(std::size_t map = 0) const { return maps_[map]; }

  const Deployment& deployment() const { return deployment_; }
  const Compensator& compensator(std::size_t map = 0) const { return *compensators_[map]; }
  const Executor& tail() const { return tail_; }

 private:
  Server(Deployment deployment, Executor tail) : deployment_(std::move(deployment)), tail_(std::move(tail)) {}

  /// Whether a frame is of this server's maps.
  Result<void> check(const Frame& frame) const {
    if (frame.map_count() == 0) return Error("the frame was moved away, nothing is in it");
    if (frame.model_hash() != deployment_.hash)
      return detail::from_another_model(frame.model_hash(), deployment_.hash);
    if (frame.name(0) != deployment_.cut)
      return Error("the frame is cut at \"" + frame.name(0) + "\", this server continues from \"" +
                   deployment_.cut + "\"");
    if (frame.map_count() != maps_.size())
      return Error("the frame carries " + std::to_string(frame.map_count()) + " maps, this server needs " +
                   std::to_string(maps_.size()));
    for (std::size_t i = 0; i < maps_.size(); ++i) {
      if (i > 0 && frame.name(i) != deployment_.beside[i - 1].name)
        return Error("map " + std::to_string(i) + " of the frame is \"" + frame.name(i) + "\", expected \"" +
                     deployment_.beside[i - 1].name + "\"");
      if (!(frame.shape(i) == sent_[i]))
        return Error("the frame's map " + (i == 0 ? std::string() : "\"" + frame.name(i) + "\" ") + "is " +
                     frame.shape(i).to_string() + ", expected " + sent_[i].to_string());
    }
    return {};
  }

  template <class AnyFrame>
  Result<std::vector<vision::Detection>> detect(const AnyFrame& bits, const Frame& frame,
                                                const vision::DetectionOptions& options) {
    if (!detector_) return Error("this server is a classifier, which finds no boxes");
    QCNET_CHECK(decode(bits));
    return (*detector_)(tail_, frame.picture().height, frame.picture().width, options);
  }

  Result<std::unique_ptr<Compensator>> load_compensator(const io::Safetensors& file, const CutMap& map,
                                                        const Options& options) const {
    const Shape sent = deployment_.sent(map);
    if (deployment_.codes && !LinearDequantizer::is_in(file, map.suffix)) {
      if (options.compensate &&
          (TokenCompensator::is_in(file, map.suffix) || ConvCompensator::is_in(file, map.suffix)))
        return Error("a QCNet of codes needs a linear dequantizer, but there is no tensor qcnet.dequantizer" +
                     map.suffix + ".weight");
      QCNET_TRY(CodePlanes codes, load_code_planes(file, map.shape, map.planes, map.suffix));
      return std::unique_ptr<Compensator>(std::make_unique<CodeDequantizer>(std::move(codes)));
    }
    if (options.compensate && TokenCompensator::is_in(file, map.suffix))
      return TokenCompensator::load(file, map.shape, sent, map.activation, map.suffix, options.arithmetic);
    if (options.compensate && ConvCompensator::is_in(file, map.suffix))
      return ConvCompensator::load(file, map.shape, sent, map.activation, map.suffix, options.arithmetic);
    return load_dequantizer(file, map.shape, sent, map.suffix);
  }

  Result<void> verify(const io::Safetensors& file, float tolerance) {
    if (file.find("qcnet.check.output") == nullptr) return {};
    const std::vector<CutMap> maps = deployment_.maps();
    for (std::size_t i = 0; i < maps.size(); ++i) {
      const Shape& s = sent_[i];
      QCNET_TRY(const Tensor ones, load_check_map(file, "qcnet.check.map" + maps[i].suffix, s));
      Bitplane bits(s);
      for (std::size_t p = 0; p < s.pixels(); ++p)
        for (std::size_t c = 0; c < s.channels(); ++c) bits.set(p, c, ones.view().pixel(p)[c] > 0.5f);
      compensators_[i]->reconstruct_into(bits, maps_[i]);
    }
    tail_.run(views_);
    return compare_outputs(tail_, file, tolerance);
  }

  Deployment deployment_;
  Executor tail_;
  std::optional<Detector> detector_;
  std::vector<std::unique_ptr<Compensator>> compensators_;  // of each map of a frame
  std::vector<Shape> sent_;                                 // of their bits
  std::size_t frame_bytes_ = 0;
  std::vector<Tensor> maps_;
  std::vector<ConstTensorView> views_;  // of maps_
};

}  // namespace qcnet::inline QCNET_ABI
