// A network: layers wired into a graph, with the named places where it may be cut.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/layers/layer.hpp>

namespace qcnet::inline QCNET_ABI {

/// Steps in the order they run, each producing one value; value 0 is the network's input, value i + 1 the
/// output of step i, and the last value is the network's output. Cheap to copy: layers are shared.
class Network {
 public:
  using Value = std::size_t;
  static constexpr Value input = 0;
  static constexpr std::size_t max_inputs = 4;

  struct Step {
    std::string name;
    std::shared_ptr<const Layer> layer;
    std::vector<Value> inputs;
  };
  struct Cut {
    std::string name;
    Value value;
  };

  /// Appends a step under its module's name; `inputs` are values that exist, at most `max_inputs`.
  Value add(std::string name, std::shared_ptr<const Layer> layer, std::vector<Value> inputs) {
    steps_.push_back({std::move(name), std::move(layer), std::move(inputs)});
    return steps_.size();
  }

  /// Names `value` as a cut point. A value may bear several names.
  void name_cut(std::string name, Value value) { cuts_.push_back({std::move(name), value}); }

  const std::vector<Step>& steps() const { return steps_; }
  const std::vector<Cut>& cuts() const { return cuts_; }
  Value output() const { return steps_.size(); }

  /// "relu, layer1.0, layer1.1, layer1, ..."
  std::string cut_names() const {
    std::string names;
    for (const Cut& cut : cuts_) names += (names.empty() ? "" : ", ") + cut.name;
    return names;
  }

  /// The two halves, head and tail; the head's output is the tail's input. An Error if there is no such cut,
  /// or if more than this one tensor would have to cross it.
  Result<std::pair<Network, Network>> partition_at(const std::string& cut_name) const {
    for (const Cut& cut : cuts_)
      if (cut.name == cut_name) return partition_after(cut.value, cut_name);
    return Error("there is no cut point \"" + cut_name + "\"; this network has: " + cut_names());
  }

  /// Plans, runs and forgets: for a single image. To run many, use an Executor (layers/executor.hpp, where
  /// this is too).
  Result<Tensor> operator()(ConstTensorView image) const;

  std::size_t weight_bytes() const {
    std::size_t total = 0;
    for (const Step& step : steps_) total += step.layer->weight_bytes();
    return total;
  }

 private:
  Result<std::pair<Network, Network>> partition_after(Value crossing, const std::string& cut_name) const {
    Network head, tail;
    head.steps_.assign(steps_.begin(), steps_.begin() + static_cast<std::ptrdiff_t>(crossing));
    tail.steps_.assign(steps_.begin() + static_cast<std::ptrdiff_t>(crossing), steps_.end());
    for (Step& step : tail.steps_)
      for (Value& value : step.inputs) {
        if (value < crossing) return Error("more than one tensor crosses the cut point \"" + cut_name + "\"");
        value -= crossing;
      }
    for (const Cut& cut : cuts_) {
      if (cut.value <= crossing) head.cuts_.push_back(cut);
      if (cut.value > crossing) tail.cuts_.push_back({cut.name, cut.value - crossing});
    }
    return std::pair{std::move(head), std::move(tail)};
  }

  std::vector<Step> steps_;
  std::vector<Cut> cuts_;
};

}  // namespace qcnet::inline QCNET_ABI
