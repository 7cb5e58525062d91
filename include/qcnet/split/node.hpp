// The node's side of a deployment: picture in, frame out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/bits/pack.hpp>
#include <qcnet/layers/executor.hpp>
#include <qcnet/models/architecture.hpp>
#include <qcnet/split/check.hpp>
#include <qcnet/split/deployment.hpp>
#include <qcnet/split/encoder.hpp>
#include <qcnet/split/frame.hpp>
#include <qcnet/split/quantizer.hpp>

namespace qcnet::inline QCNET_ABI {

/// Runs the head of a model and compares its last feature map with the thresholds: one bit per feature. The
/// comparison sits in the epilogue of the last convolution or linear layer, so quantizing costs the node
/// nothing; behind a normalization it is one pass over the map. A file may ask for an encoder before the
/// comparison (split/encoder.hpp), or for codes of several bits instead of it (bits/code_planes.hpp).
/// Where a cut needs more than one map, all are in one frame. One picture at a time.
///
/// Include qcnet/node.hpp, unless you name a family.
class Node {
 public:
  // Not to be copied: two nodes would give the same numbers to different frames.
  Node(Node&&) = default;
  Node& operator=(Node&&) = default;

  /// Loads a `.node.safetensors` file. Error: what the file lacks, by name. Other arithmetic can make the
  /// head faster, but it rounds coarser, and bits of values next to their threshold are then not always those
  /// that the server's side was trained with: not the default. With another loader than `models::load`
  /// (models/model.hpp) the program holds that family's code alone, which may be one of your own.
  static Result<Node> load(const std::string& path, Verify verify = Verify::yes,
                           const Arithmetic& arithmetic = {.fast = false},
                           models::Loader& family = models::load) {
    QCNET_TRY(const io::Safetensors file, io::Safetensors::open(path));
    auto node = load(file, verify, arithmetic, family);
    if (!node) return node.error().in(path);
    return node;
  }

  /// The same from bytes that were compiled in (io::Safetensors::parse); they are not needed afterwards.
  static Result<Node> load(const io::Safetensors& file, Verify verify = Verify::yes,
                           const Arithmetic& arithmetic = {.fast = false},
                           models::Loader& family = models::load) {
    QCNET_TRY(Deployment deployment, Deployment::read(file, "node"));
    QCNET_TRY(const Network network, family(file));
    QCNET_TRY(auto halves, network.partition_at(deployment.cut));
    QCNET_TRY(Network network_of_bits, with_encoders(std::move(halves.first), file, deployment.maps()));
    QCNET_TRY(Executor head,
              Executor::make(std::move(network_of_bits), deployment.preprocess.output_shape(), arithmetic));
    QCNET_CHECK(check_maps(head, deployment));
    Node node(std::move(deployment), std::move(head));
    QCNET_CHECK(node.load_quantizers(file));
    if (verify == Verify::yes) QCNET_CHECK(node.verify(file, check_tolerance(arithmetic, 2e-3f)));
    return node;
  }

  /// A frame of the right size, to be used again and again with `encode_into`, which codes its bits too if
  /// asked to.
  Frame make_frame(Coding coding = Coding::none) const {
    return Frame::make(deployment_.hash, deployment_.frame_maps(), coding).value();
  }

  /// One whose bits are coded by models. Error: they are of another deployment.
  Result<Frame> make_frame(const EntropyModels& models) const {
    return Frame::make(deployment_.hash, deployment_.frame_maps(), models);
  }

  /// The next frame's number, 1 at first: a clock's, say, so that a node which starts again is not taken for
  /// a replay.
  void number_from(std::uint64_t first) { sequence_ = first - 1; }

  /// Picture to sealed frame.
  Result<Frame> encode(const vision::ImageView& image) {
    Frame frame = make_frame();
    QCNET_CHECK(encode_into(image, frame));
    return frame;
  }

  /// The same into a frame made by `make_frame`; for pictures of one size nothing is allocated from the
  /// second on. Error: a picture that contradicts itself or is larger than a frame can say, 65535 pixels.
  Result<void> encode_into(const vision::ImageView& image, Frame& frame) {
    constexpr std::size_t most = std::numeric_limits<std::uint16_t>::max();
    if (image.width > most || image.height > most)
      return Error("a picture of " + std::to_string(image.width) + " x " + std::to_string(image.height) +
                   " pixels is too large: a frame can say sizes up to " + std::to_string(most));
    QCNET_CHECK(deployment_.preprocess.apply_into(image, input_, scratch_));
    return encode_into(input_.view(), frame,
                       {static_cast<std::uint16_t>(image.width), static_cast<std::uint16_t>(image.height)});
  }

  /// The same from a preprocessed input `[1, H, W, C]`. A detector's server needs to be told the `picture`'s
  /// size from before.
  Result<void> encode_into(ConstTensorView input, Frame& frame, PictureSize picture = {}) {
    if (head_.outputs() == 0) return Error("the node was moved away");
    if (!(input.shape == head_.input_shape()))
      return Error("expected an input " + head_.input_shape().to_string() + ", found " +
                   input.shape.to_string());
    bool ours = frame.map_count() == head_.outputs() && frame.model_hash() == deployment_.hash;
    for (std::size_t i = 0; ours && i < frame.map_count(); ++i) ours = frame.shape(i) == sent_[i];
    if (!ours) return Error("the frame was not made by this node's make_frame(), or it was moved away");
    if ((picture.width == 0) != (picture.height == 0))
      return Error("the picture of a frame is given a width or a height of 0 pixels, not both");
    if (deployment_.codes)
      code(input, frame);
    else
      compare(input, frame);
    frame.seal(++sequence_, picture);
    return {};
  }

  /// The float map at the cut, before the thresholds, or what an encoder makes of it; valid until the next
  /// call. Maps that cross beside it are then `head().output(i)`.
  Result<ConstTensorView> features(const vision::ImageView& image) & {
    QCNET_CHECK(deployment_.preprocess.apply_into(image, input_, scratch_));
    return head_.run(input_);
  }

  const Deployment& deployment() const { return deployment_; }
  /// Of a map of the frame, the cut's own being the first; empty where features have codes instead.
  const std::vector<float>& thresholds(std::size_t map = 0) const { return thresholds_[map]; }
  const Executor& head() const { return head_; }

  /// Bytes of packed weights, of activations (with the input) and of one frame.
  struct Memory {
    std::size_t weights, activations, frame;
  };
  Memory memory() const {
    return {head_.network().weight_bytes(), head_.workspace_bytes() + input_.span().size_bytes(),
            make_frame().bytes().size()};
  }

 private:
  Node(Deployment deployment, Executor head)
      : deployment_(std::move(deployment)), head_(std::move(head)), input_(head_.input_shape()) {}

  Result<void> load_quantizers(const io::Safetensors& file) {
    for (const CutMap& map : deployment_.maps()) {
      sent_.push_back(deployment_.sent(map));
      thresholds_.emplace_back();
      if (deployment_.codes) {
        QCNET_TRY(auto codes, load_code_planes(file, map.shape, map.planes, map.suffix));
        codes_.push_back(std::move(codes));
      } else {
        QCNET_TRY(thresholds_.back(), load_thresholds(file, map.shape, map.suffix));
      }
    }
    if (!deployment_.codes)
      padded_thresholds_ = pad_thresholds(thresholds_[0], deployment_.feature.channels());
    return {};
  }

  /// One bit a feature.
  void compare(ConstTensorView input, Frame& frame) {
    if (head_.emits_bits())
      head_.run_bits(input, padded_thresholds_, frame.bits(0));
    else
      binarize_into(head_.run(input), thresholds_[0], frame.bits(0));
    for (std::size_t i = 1; i < frame.map_count(); ++i)
      binarize_into(head_.output(i), thresholds_[i], frame.bits(i));
  }

  /// Several, or for some none.
  void code(ConstTensorView input, Frame& frame) {
    head_.run(input);
    for (std::size_t i = 0; i < frame.map_count(); ++i) codes_[i].encode_into(head_.output(i), frame.bits(i));
  }

  /// The maps that the head computes must be those that the metadata tells a server.
  static Result<void> check_maps(const Executor& head, const Deployment& deployment) {
    const std::vector<CutMap> maps = deployment.maps();
    std::string computed, described;
    for (std::size_t i = 1; i < head.outputs(); ++i)
      computed.append(i > 1 ? " " : "").append(head.output_name(i));
    for (std::size_t i = 1; i < maps.size(); ++i) described.append(i > 1 ? " " : "").append(maps[i].name);
    if (computed != described)
      return Error("beside the cut's own map there cross \"" + computed +
                   "\", but metadata \"qcnet.beside\" says \"" + described + "\"");
    for (std::size_t i = 0; i < maps.size(); ++i)
      if (!(head.output_shape(i) == maps[i].shape))
        return Error("the head computes " + head.output_shape(i).to_string() +
                     ", but metadata \"qcnet.feature" + maps[i].suffix + "\" says " +
                     maps[i].shape.to_string());
    return {};
  }

  Result<void> verify(const io::Safetensors& file, float tolerance) {
    if (file.find("qcnet.check.input") == nullptr) return {};
    QCNET_TRY(const Tensor input, load_check_input(file, head_.input_shape()));
    head_.run(input);
    const std::vector<CutMap> maps = deployment_.maps();
    for (std::size_t i = 0; i < maps.size(); ++i) {
      const std::string name = "qcnet.check.map" + maps[i].suffix;
      QCNET_TRY(const Tensor map, load_check_map(file, name, maps[i].shape));  // stored as fp16
      QCNET_CHECK(compare_check(head_.output(i), map, tolerance, name));
    }
    return {};
  }

  Deployment deployment_;
  Executor head_;
  std::vector<Shape> sent_;                     // of each map's bits
  std::vector<std::vector<float>> thresholds_;  // of each map, empty where it has codes
  std::vector<float> padded_thresholds_;        // of the first
  std::vector<CodePlanes> codes_;               // or else these of each map
  Tensor input_;
  vision::Preprocess::Scratch scratch_;
  std::uint64_t sequence_ = 0;
};

}  // namespace qcnet::inline QCNET_ABI
