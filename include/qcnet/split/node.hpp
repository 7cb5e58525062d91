// The node's side of a deployment: picture in, frame out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/bits/pack.hpp>
#include <qcnet/layers/executor.hpp>
#include <qcnet/models/model.hpp>
#include <qcnet/split/check.hpp>
#include <qcnet/split/deployment.hpp>
#include <qcnet/split/frame.hpp>
#include <qcnet/split/quantizer.hpp>

namespace qcnet::inline QCNET_ABI {

/// Runs the head of a model and compares its last feature map with the thresholds: one bit per feature. The
/// comparison sits in the last convolution's epilogue, so quantizing costs the node nothing. One picture at a
/// time.
class Node {
 public:
  /// Loads a `.node.safetensors` file. Error: what the file lacks, by name.
  static Result<Node> load(const std::string& path, Verify verify = Verify::yes) {
    QCNET_TRY(const io::Safetensors file, io::Safetensors::open(path));
    auto node = load(file, verify);
    if (!node) return node.error().in(path);
    return node;
  }

  /// The same from bytes that were compiled in (io::Safetensors::parse); they are not needed afterwards.
  static Result<Node> load(const io::Safetensors& file, Verify verify = Verify::yes) {
    QCNET_TRY(Deployment deployment, Deployment::read(file, "node"));
    QCNET_TRY(const Network network, models::load(file));
    QCNET_TRY(auto halves, network.partition_at(deployment.cut));
    QCNET_TRY(Executor head, Executor::make(std::move(halves.first), deployment.preprocess.output_shape()));
    if (!(head.output_shape() == deployment.feature))
      return Error("the head computes " + head.output_shape().to_string() +
                   ", but metadata \"qcnet.feature\" says " + deployment.feature.to_string());
    QCNET_TRY(auto thresholds, load_thresholds(file, deployment.feature.channels()));
    Node node(std::move(deployment), std::move(head), std::move(thresholds));
    if (verify == Verify::yes) QCNET_CHECK(node.verify(file));
    return node;
  }

  /// A frame of the right size, to be used again and again with `encode_into`.
  Frame make_frame() const {
    const MapSpec map[] = {{deployment_.cut, deployment_.feature}};
    return Frame::make(deployment_.hash, map).value();
  }

  /// Picture to sealed frame. Frames are numbered from 1.
  Result<Frame> encode(const vision::Image& image) {
    Frame frame = make_frame();
    QCNET_CHECK(encode_into(image, frame));
    return frame;
  }

  /// The same into a frame made by `make_frame`; for pictures of one size nothing is allocated from the
  /// second on.
  Result<void> encode_into(const vision::Image& image, Frame& frame) {
    QCNET_CHECK(deployment_.preprocess.apply_into(image, input_, scratch_));
    return encode_into(input_.view(), frame);
  }

  /// The same from a preprocessed input `[1, H, W, C]`.
  Result<void> encode_into(ConstTensorView input, Frame& frame) {
    if (!(input.shape == head_.input_shape()))
      return Error("expected an input " + head_.input_shape().to_string() + ", found " +
                   input.shape.to_string());
    if (frame.model_hash() != deployment_.hash || frame.map_count() != 1 ||
        !(frame.shape(0) == deployment_.feature))
      return Error("the frame was not made by this node's make_frame()");
    if (head_.emits_bits())
      head_.run_bits(input, padded_thresholds_, frame.bits(0));
    else
      binarize_into(head_.run(input), thresholds_, frame.bits(0));
    frame.seal(++sequence_);
    return {};
  }

  /// The float map at the cut, before the thresholds; valid until the next call.
  Result<ConstTensorView> features(const vision::Image& image) {
    QCNET_CHECK(deployment_.preprocess.apply_into(image, input_, scratch_));
    return head_.run(input_);
  }

  const Deployment& deployment() const { return deployment_; }
  const std::vector<float>& thresholds() const { return thresholds_; }
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
  Node(Deployment deployment, Executor head, std::vector<float> thresholds)
      : deployment_(std::move(deployment)),
        head_(std::move(head)),
        thresholds_(std::move(thresholds)),
        padded_thresholds_(pad_thresholds(thresholds_)),
        input_(head_.input_shape()) {}

  Result<void> verify(const io::Safetensors& file) {
    if (file.find("qcnet.check.input") == nullptr) return {};
    QCNET_TRY(const Tensor input, load_check_map(file, "qcnet.check.input", head_.input_shape()));
    QCNET_TRY(const Tensor map, load_check_map(file, "qcnet.check.map", head_.output_shape()));
    return compare_check(head_.run(input), map, 2e-3f, "qcnet.check.map");  // stored as fp16
  }

  Deployment deployment_;
  Executor head_;
  std::vector<float> thresholds_, padded_thresholds_;
  Tensor input_;
  vision::Preprocess::Scratch scratch_;
  std::uint64_t sequence_ = 0;
};

}  // namespace qcnet::inline QCNET_ABI
