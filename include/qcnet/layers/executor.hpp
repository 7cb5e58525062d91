// Runs a network over inputs of one shape, in memory planned once.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/core/workspace.hpp>
#include <qcnet/kernels/gemm.hpp>
#include <qcnet/layers/network.hpp>

namespace qcnet::inline QCNET_ABI {

/// Thresholds for each of `channels`, or for those of each pixel, padded with +infinity as far as a layer's
/// `forward_bits` may read.
inline std::vector<float> pad_thresholds(std::span<const float> thresholds, std::size_t channels) {
  if (channels == 0 || thresholds.empty() || thresholds.size() % channels != 0)
    raise(Error(std::to_string(thresholds.size()) + " thresholds are not those of " +
                std::to_string(channels) + " channels"));
  const std::size_t pixels = thresholds.size() / channels, stride = kernels::PackedWeights::padded(channels);
  std::vector<float> padded(pixels * stride, std::numeric_limits<float>::infinity());
  for (std::size_t p = 0; p < pixels; ++p)
    std::copy_n(&thresholds[p * channels], channels, &padded[p * stride]);
  return padded;
}

/// A network with its workspace. One forward pass at a time; for several at once make several executors,
/// which share the layers. Nothing is allocated after `make`. Scratch memory is for as many threads as are
/// set when the executor is made; with more, a layer that needs it still uses as many.
class Executor {
 public:
  /// Limits, so that no small file can ask for all the memory there is: floats of an input, of a step's
  /// output and of its scratch memory, enough for 64 channels of 4096 x 4096 pixels; and bytes of the
  /// workspace, four times as many, enough for a residual block of such maps. A sixteenth of that on machines
  /// of 32 bits.
  static constexpr std::size_t most_floats = std::size_t{1} << (sizeof(std::size_t) > 4 ? 30 : 26);
  static constexpr std::size_t most_bytes = std::size_t{1} << (sizeof(std::size_t) > 4 ? 34 : 30);
  /// Nor for minutes of all processors: multiply-adds of a pass, six times a ResNet50's over 4096 x 4096
  /// pixels.
  static constexpr std::uint64_t most_multiply_adds = std::uint64_t{1} << 43;
  /// Each value that a step reads or writes takes no longer than so many multiply-adds, also where channels
  /// are too few for a vector; of layers that count none.
  static constexpr std::uint64_t multiply_adds_a_value = 64;
  /// Nor for minutes of planning, which looks at all pairs of steps; a ViT-H has some 300.
  static constexpr std::size_t most_steps = std::size_t{1} << 14;

  /// Plans for inputs of these shapes, with layers turned into what is fastest for them within the
  /// `arithmetic` allowed (Layer::faster_for). An Error names the step whose input does not fit, or that
  /// needs more memory or time than the limits allow.
  static Result<Executor> make(Network network, std::span<const Shape> inputs,
                               const Arithmetic& arithmetic = {}) {
    if (arithmetic.bf16 && !has_bf16)
      return Error(
          "this build has no instructions for bfloat16: compile for a processor that has them (x86: "
          "-mavx512bf16; ARM: -march=armv8.6-a), or do without");
    if (inputs.size() != network.inputs())
      return Error("the network takes " + std::to_string(network.inputs()) + " inputs, found " +
                   std::to_string(inputs.size()));
    QCNET_CHECK(check_graph(network));
    for (const Shape& input : inputs)
      QCNET_CHECK(check_size(input.elements(), "an input " + input.to_string()));
    Executor executor(std::move(network));
    std::uint64_t values = 0;
    executor.shapes_.assign(inputs.begin(), inputs.end());
    executor.inputs_.resize(inputs.size());
    for (std::size_t s = 0; s < executor.network_.steps().size(); ++s) {
      const Network::Step& step = executor.network_.steps()[s];
      std::array<Shape, Network::max_inputs> shapes;
      for (std::size_t i = 0; i < step.inputs.size(); ++i) shapes[i] = executor.shapes_[step.inputs[i]];
      const std::span<const Shape> arguments(shapes.data(), step.inputs.size());
      auto output = step.layer->output_shape(arguments);
      if (!output) return output.error().in(step.name);
      QCNET_CHECK(check_size(output->elements(), step.name + ": an output " + output->to_string()));
      executor.multiply_adds_ += step.layer->multiply_adds(arguments);
      if (executor.multiply_adds_ > most_multiply_adds)
        return Error(step.name + ": up to here the network takes " + std::to_string(executor.multiply_adds_) +
                     " multiply-adds, of which " + std::to_string(most_multiply_adds) +
                     " are supported; give it a smaller input");
      values += output->elements();
      for (const Shape& argument : arguments) values += argument.elements();
      if (values > most_multiply_adds / multiply_adds_a_value)
        return Error(step.name + ": up to here the steps of the network read and write " +
                     std::to_string(values) + " values, of which " +
                     std::to_string(most_multiply_adds / multiply_adds_a_value) +
                     " are supported; give it a smaller input");
      if (auto faster = step.layer->faster_for(arguments, arithmetic))
        executor.network_.replace(s, std::move(faster));
      executor.scratch_floats_.push_back(step.layer->scratch_floats(arguments));
      QCNET_CHECK(check_size(executor.scratch_floats_.back(),
                             step.name + ": the scratch memory for an output " + output->to_string()));
      executor.shapes_.push_back(std::move(output).value());
    }
    QCNET_CHECK(executor.plan());
    return executor;
  }
  /// The same for a network of one input.
  static Result<Executor> make(Network network, const Shape& input, const Arithmetic& arithmetic = {}) {
    return make(std::move(network), std::span(&input, 1), arithmetic);
  }

  /// Raises if there is no such input, as after it was moved away.
  const Shape& input_shape(std::size_t input = 0) const {
    if (input >= inputs_.size()) raise(Error("executor: has no input " + std::to_string(input)));
    return shapes_[input];
  }
  /// Number of outputs.
  std::size_t outputs() const { return outputs_.size(); }
  const Shape& output_shape(std::size_t output = 0) const { return shapes_[outputs_[output]]; }
  /// Its cut's or layer's name.
  std::string output_name(std::size_t output) const { return network_.name_of(outputs_[output]); }
  const Network& network() const { return network_; }
  /// Bytes of all activations and of scratch memory.
  std::size_t workspace_bytes() const { return workspace_.bytes(); }
  std::uint64_t multiply_adds() const { return multiply_adds_; }

  /// The network's (first) output for `input`, valid until the next run. Raises, here and below, unless
  /// inputs are as many and of the shapes as planned.
  ConstTensorView run(ConstTensorView input) & { return run(std::span<const ConstTensorView>(&input, 1)); }
  /// The same for a network of several inputs.
  ConstTensorView run(std::span<const ConstTensorView> inputs) & {
    run_steps(inputs, network_.steps().size());
    return output();
  }
  /// The same, and calls `after(step, value)` as soon as a step of `network()` has made its value, which
  /// later steps may overwrite: to see maps inside the network, or the time between them. A step that is
  /// computed together with the pooling behind it makes none.
  template <class After>
  ConstTensorView run(std::span<const ConstTensorView> inputs, const After& after) & {
    run_steps(inputs, network_.steps().size(), after);
    return output();
  }

  /// An output of the last run, valid until the next one; of `run_bits` not the first, which was never made.
  ConstTensorView output(std::size_t output = 0) const { return value(outputs_[output]); }

  /// Whether the last layer makes the (first) output and thresholds in its epilogue; if not, the float output
  /// must be binarized by the caller.
  bool emits_bits() const {
    return !network_.steps().empty() && outputs_[0] == network_.output() &&
           network_.steps().back().layer->emits_bits();
  }

  /// Runs with the last layer writing the bits output > threshold instead of floats. The other outputs are
  /// floats as ever. `thresholds` come from `pad_thresholds`, those of each pixel for a batch of one. Raises
  /// unless `emits_bits()`, and if `bits` or `thresholds` are not of the output.
  void run_bits(ConstTensorView input, std::span<const float> thresholds, BitplaneView bits) {
    const std::size_t row = kernels::PackedWeights::padded(output_shape().channels());
    if (!emits_bits() || !(bits.shape == output_shape()) ||
        (thresholds.size() != row &&
         (output_shape()[0] != 1 || thresholds.size() != row * output_shape().pixels())))
      raise(Error("executor: bits " + bits.shape.to_string() + " by " + std::to_string(thresholds.size()) +
                  " thresholds cannot be made of the output " + output_shape().to_string()));
    const std::size_t last = network_.steps().size() - 1;
    run_steps(std::span(&input, 1), last);
    std::array<ConstTensorView, Network::max_inputs> storage;
    network_.steps()[last].layer->forward_bits(arguments(last, storage), thresholds, bits, scratch(last));
  }

 private:
  explicit Executor(Network network) : network_(std::move(network)), outputs_(network_.outputs()) {}

  /// Of a network that someone wired by hand: every step has a layer, and reads what was made before.
  static Result<void> check_graph(const Network& network) {
    if (network.inputs() == 0) return Error("a network needs an input");
    if (network.steps().size() > most_steps)
      return Error("the network has " + std::to_string(network.steps().size()) + " steps, of which " +
                   std::to_string(most_steps) + " are supported");
    for (std::size_t s = 0; s < network.steps().size(); ++s) {
      const Network::Step& step = network.steps()[s];
      if (step.layer == nullptr) return Error(step.name + ": has no layer");
      if (step.inputs.size() > Network::max_inputs)
        return Error(step.name + ": reads " + std::to_string(step.inputs.size()) + " values, at most " +
                     std::to_string(Network::max_inputs) + " are possible");
      for (const Network::Value value : step.inputs)
        if (value >= network.inputs() + s)
          return Error(step.name + ": reads value " + std::to_string(value) +
                       ", which no step before it makes");
    }
    for (const Network::Value value : network.outputs())
      if (value > network.output())
        return Error("value " + std::to_string(value) + " is to be an output, but no step makes it");
    return {};
  }

  static Result<void> check_size(std::size_t floats, const std::string& what) {
    if (floats <= most_floats) return {};
    return Error(what + " is more than " + std::to_string(most_floats) +
                 " values, the most that is supported; give the network a smaller input");
  }

  /// The last step that reads the value of each step, or the number of steps if the caller does.
  std::vector<std::size_t> last_uses() const {
    const auto& steps = network_.steps();
    std::vector<std::size_t> last(steps.size());
    for (std::size_t s = 0; s < steps.size(); ++s) {
      last[s] = s;
      for (const Network::Value used : steps[s].inputs)
        if (used >= inputs_.size()) last[used - inputs_.size()] = s;
    }
    for (const Network::Value output : outputs_)
      if (output >= inputs_.size()) last[output - inputs_.size()] = steps.size();
    return last;
  }

  /// The step whose value this one may replace where it lies; the number of steps if there is none.
  std::size_t replaced_by(std::size_t step, std::span<const std::size_t> last_uses) const {
    const Network::Step& here = network_.steps()[step];
    for (std::size_t i = 0; i < here.inputs.size(); ++i) {
      const Network::Value v = here.inputs[i];
      if (v >= inputs_.size() && here.layer->may_overwrite(i) && last_uses[v - inputs_.size()] == step &&
          std::count(here.inputs.begin(), here.inputs.end(), v) == 1 &&
          shapes_[v] == shapes_[inputs_.size() + step])
        return v - inputs_.size();
    }
    return network_.steps().size();
  }

  /// Whether a step and the next, which alone reads its value and pools it, are computed at once.
  bool is_pooled_by_next(std::size_t step, std::span<const std::size_t> last_uses) const {
    if (last_uses[step] != step + 1 || step + 1 == network_.steps().size()) return false;
    const Network::Step& here = network_.steps()[step];
    const ConvGeometry* const windows = network_.steps()[step + 1].layer->max_pool_windows();
    std::array<Shape, Network::max_inputs> shapes;
    for (std::size_t i = 0; i < here.inputs.size(); ++i) shapes[i] = shapes_[here.inputs[i]];
    return windows != nullptr && here.layer->can_max_pool(*windows, {shapes.data(), here.inputs.size()});
  }

  Result<void> plan() {
    const std::size_t steps = network_.steps().size();
    const std::vector<std::size_t> last = last_uses();
    for (std::size_t s = 0; s < steps; ++s) pooled_by_next_.push_back(is_pooled_by_next(s, last));
    WorkspacePlan plan;
    std::vector<std::size_t> buffers;  // every step's output, then every step's scratch memory
    for (std::size_t s = 0; s < steps; ++s) {
      const std::size_t replaced = replaced_by(s, last);
      if (pooled_by_next_[s]) {
        buffers.push_back(plan.add(0, s, s));
      } else if (s > 0 && pooled_by_next_[s - 1]) {
        buffers.push_back(plan.add(shapes_[inputs_.size() + s].elements() * sizeof(float), s - 1, last[s]));
      } else if (replaced < steps) {
        buffers.push_back(buffers[replaced]);
        plan.extend(buffers[s], last[s]);
      } else {
        buffers.push_back(plan.add(shapes_[inputs_.size() + s].elements() * sizeof(float), s, last[s]));
      }
    }
    for (std::size_t s = 0; s < steps; ++s)
      buffers.push_back(plan.add(scratch_floats_[s] * sizeof(float), s, s));
    if (!plan.place(most_bytes))
      return Error("the network's maps need more than " + std::to_string(most_bytes >> 30) +
                   " GiB at a time, the most that is supported; give it a smaller input");
    for (const std::size_t buffer : buffers) offsets_.push_back(plan.offset(buffer));
    workspace_ = Workspace(plan);
    return {};
  }

  ConstTensorView value(Network::Value v) const {
    if (v < inputs_.size()) return inputs_[v];
    return {reinterpret_cast<const float*>(workspace_.at(offsets_[v - inputs_.size()])), shapes_[v]};
  }
  std::span<float> scratch(std::size_t step) {
    std::byte* at = workspace_.at(offsets_[network_.steps().size() + step]);
    return {reinterpret_cast<float*>(at), scratch_floats_[step]};
  }
  std::span<const ConstTensorView> arguments(
      std::size_t step, std::array<ConstTensorView, Network::max_inputs>& storage) const {
    const auto& inputs = network_.steps()[step].inputs;
    for (std::size_t i = 0; i < inputs.size(); ++i) storage[i] = value(inputs[i]);
    return {storage.data(), inputs.size()};
  }
  void run_steps(std::span<const ConstTensorView> inputs, std::size_t count) {
    run_steps(inputs, count, [](std::size_t, ConstTensorView) {});
  }
  template <class After>
  void run_steps(std::span<const ConstTensorView> inputs, std::size_t count, const After& after) {
    if (inputs.size() != inputs_.size())
      raise(Error("executor: expected " + std::to_string(inputs_.size()) + " inputs, found " +
                  std::to_string(inputs.size())));
    for (std::size_t i = 0; i < inputs.size(); ++i)
      if (!(inputs[i].shape == shapes_[i]))
        raise(Error("executor: expected an input " + shapes_[i].to_string() + ", found " +
                    inputs[i].shape.to_string()));
    std::copy(inputs.begin(), inputs.end(), inputs_.begin());
    for (std::size_t s = 0; s < count; ++s) {
      std::array<ConstTensorView, Network::max_inputs> storage;
      const std::size_t made_for = pooled_by_next_[s] ? s + 1 : s;
      const TensorView made{reinterpret_cast<float*>(workspace_.at(offsets_[made_for])),
                            shapes_[inputs_.size() + made_for]};
      const Layer& layer = *network_.steps()[s].layer;
      if (pooled_by_next_[s])
        layer.forward_max_pooled(arguments(s, storage), made, scratch(s));
      else
        layer.forward(arguments(s, storage), made, scratch(s));
      s = made_for;
      after(s, ConstTensorView(made));
    }
  }

  Network network_;
  std::vector<Network::Value> outputs_;
  std::vector<Shape> shapes_;                // of every value
  std::vector<ConstTensorView> inputs_;      // the caller's
  std::vector<std::size_t> scratch_floats_;  // of every step
  std::vector<bool> pooled_by_next_;         // every step
  std::vector<std::size_t> offsets_;         // of every step's output, then of every step's scratch memory
  Workspace workspace_;
  std::uint64_t multiply_adds_ = 0;
};

inline Result<std::vector<Tensor>> Network::run(std::span<const ConstTensorView> inputs) const {
  std::vector<Shape> shapes;
  for (const ConstTensorView& map : inputs) shapes.push_back(map.shape);
  // For one run it would take longer to transform weights than to do without.
  QCNET_TRY(Executor executor, Executor::make(*this, shapes, {.fast = false}));
  executor.run(inputs);
  std::vector<Tensor> outputs;
  for (std::size_t i = 0; i < executor.outputs(); ++i) outputs.emplace_back(executor.output(i));
  return outputs;
}

inline Result<Tensor> Network::operator()(ConstTensorView image) const {
  if (outputs().size() != 1)
    return Error("the network has " + std::to_string(outputs().size()) + " outputs, ask for all by run()");
  QCNET_TRY(auto outputs, run(std::span(&image, 1)));
  return std::move(outputs.front());
}

}  // namespace qcnet::inline QCNET_ABI
