// A network: layers wired into a graph, with the named places where it may be cut.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/layers/layer.hpp>

namespace qcnet::inline QCNET_ABI {

/// Steps in the order they run, each producing one value. The first values are the network's inputs, mostly
/// one; then come the outputs of the steps. The last value is the network's output unless `set_outputs` names
/// others. Cheap to copy: layers are shared.
class Network {
 public:
  using Value = std::size_t;
  static constexpr Value input = 0;
  static constexpr std::size_t max_inputs = 4;  // of a step

  struct Step {
    std::string name;
    std::shared_ptr<const Layer> layer;
    std::vector<Value> inputs;
  };
  /// `beside`: what crosses together with `value`, as later steps read it too. `before_activation`: what
  /// crosses is what the activation that ends `value`'s step is given; the tail begins with it.
  struct Cut {
    std::string name;
    Value value;
    std::vector<Value> beside;
    bool before_activation = false;
  };

  explicit Network(std::size_t inputs = 1) : inputs_(inputs) {}

  /// Appends a step under its module's name; `inputs` are values that exist, at most `max_inputs`.
  Value add(std::string name, std::shared_ptr<const Layer> layer, std::vector<Value> inputs) {
    steps_.push_back({std::move(name), std::move(layer), std::move(inputs)});
    return output();
  }

  /// Puts another layer, which computes the same, into a step.
  void replace(std::size_t step, std::shared_ptr<const Layer> layer) {
    steps_[step].layer = std::move(layer);
  }

  /// Names `value` as a cut point. A value may bear several names.
  void name_cut(std::string name, Value value, std::vector<Value> beside = {}) {
    cuts_.push_back({std::move(name), value, std::move(beside)});
  }

  /// Names what the activation that ends the last step is given as a cut point.
  void name_cut_before_activation(std::string name) {
    cuts_.push_back({std::move(name), output(), {}, true});
  }

  /// Several outputs, or one that is not the last value.
  void set_outputs(std::vector<Value> values) { outputs_ = std::move(values); }

  const std::vector<Step>& steps() const { return steps_; }
  const std::vector<Cut>& cuts() const { return cuts_; }
  /// Number of inputs: the values below it are inputs, value `inputs() + i` is the output of step i.
  std::size_t inputs() const { return inputs_; }
  /// The value added last.
  Value output() const { return inputs_ + steps_.size() - 1; }
  std::vector<Value> outputs() const { return outputs_.empty() ? std::vector{output()} : outputs_; }

  /// The cut's name that a value bears first, or else its step's; an input without one has none.
  std::string name_of(Value value) const {
    for (const Cut& cut : cuts_)
      if (cut.value == value && !cut.before_activation) return cut.name;
    return value < inputs_ ? std::string() : steps_[value - inputs_].name;
  }

  /// "relu, layer1.0, layer1.1, layer1, ..."
  std::string cut_names() const {
    std::string names;
    for (const Cut& cut : cuts_) names += (names.empty() ? "" : ", ") + cut.name;
    return names;
  }

  /// The two halves, head and tail; the head's outputs are the tail's inputs: the cut's value and what was
  /// named to cross beside it. An Error if there is no such cut, or if more than that would have to cross.
  Result<std::pair<Network, Network>> partition_at(const std::string& cut_name) const {
    for (const Cut& cut : cuts_)
      if (cut.name == cut_name) {
        if (cut.value > output())
          return Error("the cut point \"" + cut_name + "\" is at no value of this network");
        if (!cut.before_activation) return partition_after(cut);
        QCNET_TRY(const Network apart, with_activation_apart(cut.value));
        return apart.partition_at(cut_name);
      }
    return Error("there is no cut point \"" + cut_name + "\"; this network has: " + cut_names());
  }

  /// The same network behind one more step, which its first input goes through.
  Network behind(std::string name, std::shared_ptr<const Layer> layer) const {
    Network made = *this;
    made.outputs_ = outputs();
    const auto renumber = [this](Value& value) {
      if (value == input)
        value = inputs_;  // what the step makes of it
      else if (value >= inputs_)
        ++value;
    };
    for (Step& step : made.steps_) std::for_each(step.inputs.begin(), step.inputs.end(), renumber);
    for (Cut& cut : made.cuts_) {
      renumber(cut.value);
      std::for_each(cut.beside.begin(), cut.beside.end(), renumber);
    }
    std::for_each(made.outputs_.begin(), made.outputs_.end(), renumber);
    made.steps_.insert(made.steps_.begin(), {std::move(name), std::move(layer), {input}});
    if (made.outputs_ == std::vector{made.output()}) made.outputs_.clear();
    return made;
  }

  /// Plans, runs and forgets: for a single image, by a network of one input and one output. To run many, use
  /// an Executor (layers/executor.hpp, where this is too).
  Result<Tensor> operator()(ConstTensorView image) const;

  /// The same for any number of inputs and outputs.
  Result<std::vector<Tensor>> run(std::span<const ConstTensorView> inputs) const;

  std::size_t weight_bytes() const {
    std::size_t total = 0;
    for (const Step& step : steps_) total += step.layer->weight_bytes();
    return total;
  }

 private:
  /// The same network, but what computes `value` is two steps, the second of them the activation.
  Result<Network> with_activation_apart(Value value) const {
    if (value < inputs_) return Error("a cut before the activation of an input, which has none");
    Network made = *this;
    const auto step = made.steps_.begin() + static_cast<std::ptrdiff_t>(value - inputs_);
    auto parts = step->layer->apart_from_activation();
    if (!parts) return Error(step->name + ": a cut before its activation, but it has none");
    const auto renumber = [value](Value& other) { other += other >= value ? 1 : 0; };
    for (Step& later : made.steps_) std::for_each(later.inputs.begin(), later.inputs.end(), renumber);
    for (Cut& cut : made.cuts_) {
      std::for_each(cut.beside.begin(), cut.beside.end(), renumber);
      if (cut.value == value && cut.before_activation)
        cut.before_activation = false;
      else
        renumber(cut.value);
    }
    std::for_each(made.outputs_.begin(), made.outputs_.end(), renumber);
    step->layer = std::move(parts->first);
    made.steps_.insert(step + 1, {step->name + ".activation", std::move(parts->second), {value}});
    return made;
  }

  Result<std::pair<Network, Network>> partition_after(const Cut& at) const {
    const std::size_t head_steps = at.value < inputs_ ? 0 : at.value + 1 - inputs_;
    std::vector<Value> crossing = {at.value};
    crossing.insert(crossing.end(), at.beside.begin(), at.beside.end());
    Network head(inputs_), tail(crossing.size());
    const auto middle = steps_.begin() + static_cast<std::ptrdiff_t>(head_steps);
    head.steps_.assign(steps_.begin(), middle);
    tail.steps_.assign(middle, steps_.end());
    if (crossing != std::vector{head.output()}) head.outputs_ = crossing;

    // A value of the whole as the tail numbers it; false if it does not cross.
    const auto renumber = [&](Value& value) {
      if (value >= inputs_ + head_steps) {
        value = value - inputs_ - head_steps + tail.inputs_;
        return true;
      }
      const auto found = std::find(crossing.begin(), crossing.end(), value);
      value = static_cast<Value>(found - crossing.begin());
      return found != crossing.end();
    };
    bool all_cross = true;
    for (Step& step : tail.steps_)
      for (Value& value : step.inputs) all_cross = renumber(value) && all_cross;
    tail.outputs_ = outputs();
    for (Value& value : tail.outputs_) all_cross = renumber(value) && all_cross;
    if (tail.outputs_ == std::vector{tail.output()}) tail.outputs_.clear();
    if (!all_cross)
      return Error(
          "more than " +
          (at.beside.empty() ? "one tensor crosses" : std::to_string(crossing.size()) + " tensors cross") +
          " the cut point \"" + at.name + "\"");
    for (Cut cut : cuts_) {
      if (cut.value <= at.value) head.cuts_.push_back(cut);
      if (cut.value <= at.value || !renumber(cut.value)) continue;
      // A cut of the tail that something would pass beside which never came in is none.
      bool comes_in = true;
      for (Value& value : cut.beside) comes_in = renumber(value) && comes_in;
      if (comes_in) tail.cuts_.push_back(std::move(cut));
    }
    return std::pair{std::move(head), std::move(tail)};
  }

  std::size_t inputs_;
  std::vector<Step> steps_;
  std::vector<Cut> cuts_;
  std::vector<Value> outputs_;  // empty: the last value
};

}  // namespace qcnet::inline QCNET_ABI
