// Runs a network over inputs of one shape, in memory planned once.
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/core/workspace.hpp>
#include <qcnet/kernels/gemm.hpp>
#include <qcnet/layers/network.hpp>

namespace qcnet::inline QCNET_ABI {

/// Thresholds padded with +infinity as far as a layer's `forward_bits` may read.
inline std::vector<float> pad_thresholds(std::span<const float> thresholds) {
  std::vector<float> padded(kernels::PackedWeights::padded(thresholds.size()),
                            std::numeric_limits<float>::infinity());
  std::copy(thresholds.begin(), thresholds.end(), padded.begin());
  return padded;
}

/// A network with its workspace. One forward pass at a time; for several at once make several executors,
/// which share the layers. Nothing is allocated after `make`.
class Executor {
 public:
  /// Plans for inputs of shape `input`; an Error names the step whose input does not fit.
  static Result<Executor> make(Network network, const Shape& input) {
    Executor executor(std::move(network));
    executor.shapes_.push_back(input);
    for (const Network::Step& step : executor.network_.steps()) {
      std::array<Shape, Network::max_inputs> shapes;
      for (std::size_t i = 0; i < step.inputs.size(); ++i) shapes[i] = executor.shapes_[step.inputs[i]];
      const std::span<const Shape> inputs(shapes.data(), step.inputs.size());
      auto output = step.layer->output_shape(inputs);
      if (!output) return output.error().in(step.name);
      executor.multiply_adds_ += step.layer->multiply_adds(inputs);
      executor.shapes_.push_back(std::move(output).value());
    }
    executor.plan();
    return executor;
  }

  const Shape& input_shape() const { return shapes_.front(); }
  const Shape& output_shape() const { return shapes_.back(); }
  const Network& network() const { return network_; }
  /// Bytes of all activations.
  std::size_t workspace_bytes() const { return workspace_.bytes(); }
  std::size_t multiply_adds() const { return multiply_adds_; }

  /// The network's output for `input`, which must have the planned shape; valid until the next run.
  ConstTensorView run(ConstTensorView input) {
    run_steps(input, network_.steps().size());
    return value(input, network_.output());
  }

  /// Whether the last layer thresholds in its epilogue; if not, the float output must be binarized by the
  /// caller.
  bool emits_bits() const { return !network_.steps().empty() && network_.steps().back().layer->emits_bits(); }

  /// Runs with the last layer writing the bits output > threshold instead of floats. Only if `emits_bits()`;
  /// `thresholds` come from `pad_thresholds`.
  void run_bits(ConstTensorView input, std::span<const float> thresholds, BitplaneView output) {
    const std::size_t last = network_.steps().size() - 1;
    run_steps(input, last);
    std::array<ConstTensorView, Network::max_inputs> storage;
    network_.steps()[last].layer->forward_bits(arguments(input, last, storage), thresholds, output);
  }

 private:
  explicit Executor(Network network) : network_(std::move(network)) {}

  void plan() {
    const auto& steps = network_.steps();
    std::vector<std::size_t> last_use(shapes_.size(), steps.size());
    for (Network::Value v = 0; v + 1 < shapes_.size(); ++v) {
      last_use[v] = v == 0 ? 0 : v - 1;  // at least the step that makes it
      for (std::size_t s = 0; s < steps.size(); ++s)
        for (const Network::Value used : steps[s].inputs)
          if (used == v) last_use[v] = s;
    }
    WorkspacePlan plan;
    for (Network::Value v = 1; v < shapes_.size(); ++v)
      plan.add(shapes_[v].elements() * sizeof(float), v - 1, last_use[v]);
    plan.place();
    offsets_.push_back(0);  // the input is the caller's
    for (Network::Value v = 1; v < shapes_.size(); ++v) offsets_.push_back(plan.offset(v - 1));
    workspace_ = Workspace(plan);
  }

  TensorView own(Network::Value v) {
    return {reinterpret_cast<float*>(workspace_.at(offsets_[v])), shapes_[v]};
  }
  ConstTensorView value(ConstTensorView input, Network::Value v) {
    return v == Network::input ? input : ConstTensorView(own(v));
  }
  std::span<const ConstTensorView> arguments(ConstTensorView input, std::size_t step,
                                             std::array<ConstTensorView, Network::max_inputs>& storage) {
    const auto& inputs = network_.steps()[step].inputs;
    for (std::size_t i = 0; i < inputs.size(); ++i) storage[i] = value(input, inputs[i]);
    return {storage.data(), inputs.size()};
  }
  void run_steps(ConstTensorView input, std::size_t count) {
    for (std::size_t s = 0; s < count; ++s) {
      std::array<ConstTensorView, Network::max_inputs> storage;
      network_.steps()[s].layer->forward(arguments(input, s, storage), own(s + 1));
    }
  }

  Network network_;
  std::vector<Shape> shapes_;  // of every value
  std::vector<std::size_t> offsets_;
  Workspace workspace_;
  std::size_t multiply_adds_ = 0;
};

inline Result<Tensor> Network::operator()(ConstTensorView image) const {
  QCNET_TRY(Executor executor, Executor::make(*this, image.shape));
  return Tensor(executor.run(image));
}

}  // namespace qcnet::inline QCNET_ABI
