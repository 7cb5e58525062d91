// Times the library for compare.py: a model or an operation, once for each line of standard input.
//
//   qcnet_engine model WEIGHTS.safetensors SIDE    a whole model, of pictures SIDE x SIDE
//   qcnet_engine OPERATION REPEATS                 so many layers of one of `operations`, behind each other
//   qcnet_engine layers WEIGHTS.safetensors SIDE   a whole model, layer by layer
//
// Prints "ready", the FMA peak of a thread in GFLOP/s and the multiply-adds of a run, of layers a list of
// what they are; then milliseconds, of layers a list of them, a line a run.
#include "common.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/kernels/gelu.hpp>
#include <qcnet/layers/attention.hpp>
#include <qcnet/layers/conv2d.hpp>
#include <qcnet/layers/depthwise.hpp>
#include <qcnet/layers/executor.hpp>
#include <qcnet/layers/layer_norm.hpp>
#include <qcnet/layers/linear.hpp>
#include <qcnet/models/model.hpp>

namespace {

using namespace qcnet;
using bench::random_tensor;

/// Adds a layer that reads what was added last.
void append(Network& network, std::shared_ptr<const Layer> layer) {
  network.add("layer " + std::to_string(network.steps().size()), std::move(layer), {network.output()});
}

std::shared_ptr<const Layer> convolution(std::size_t cin, std::size_t cout, std::size_t kernel) {
  const ConvWeights weights{random_tensor({cout, kernel, kernel, cin}), std::vector<float>(cout)};
  const auto geometry = ConvGeometry::square(kernel, 1, kernel / 2);
  return Conv2d::make(weights, "conv", geometry, cin, Activation::none).value();
}

std::shared_ptr<const Layer> depthwise(std::size_t channels, std::size_t kernel) {
  return std::make_shared<const DepthwiseConv2d>(
      kernels::PackedDepthwise::make(random_tensor({channels, kernel, kernel, 1}), {},
                                     ConvGeometry::square(kernel, 1, kernel / 2))
          .value());
}

std::shared_ptr<const Layer> linear(std::size_t in, std::size_t out) {
  return Linear::make({random_tensor({out, in}), Tensor(Shape{out})}).value();
}

/// GELU alone; models have it behind a linear layer.
class Gelu final : public Layer {
 public:
  std::string_view kind() const override { return "gelu"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override { return inputs[0]; }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    kernels::gelu(inputs[0], output);
  }
};

/// An operation of workloads.py: the shape that goes in, and what adds one of its layers.
struct Operation {
  Shape input;
  std::function<void(Network&)> add;

  /// `count` layers behind each other, each with weights of its own, as the other engines have them.
  Network chain(std::size_t count) const {
    Network network;
    for (std::size_t i = 0; i < count; ++i) add(network);
    return network;
  }
};

constexpr std::size_t tokens = 197, width = 768, heads = 12;

const std::map<std::string, Operation> operations = {
    {"conv3x3-64-56", {{1, 56, 56, 64}, [](Network& n) { append(n, convolution(64, 64, 3)); }}},
    {"conv1x1-256-64-56", {{1, 56, 56, 256}, [](Network& n) { append(n, convolution(256, 64, 1)); }}},
    {"conv3x3-256-14", {{1, 14, 14, 256}, [](Network& n) { append(n, convolution(256, 256, 3)); }}},
    {"depthwise7x7-96-56", {{1, 56, 56, 96}, [](Network& n) { append(n, depthwise(96, 7)); }}},
    {"linear-768-3072", {{1, tokens, width}, [](Network& n) { append(n, linear(width, 4 * width)); }}},
    {"attention-768",
     {{1, tokens, width},
      [](Network& n) {
        append(n, linear(width, 3 * width));
        append(n, std::make_shared<const SelfAttention>(heads));
        append(n, linear(width, width));
      }}},
    {"layer-norm-768",
     {{1, tokens, width},
      [](Network& n) {
        append(n, std::make_shared<const LayerNorm>(random_tensor({width}), Tensor(Shape{width}), 1e-6f));
      }}},
    {"gelu-3072", {{1, tokens, 4 * width}, [](Network& n) { append(n, std::make_shared<const Gelu>()); }}},
};

Network load(const std::string& path) {
  return models::load(io::Safetensors::open(path).value()).value();
}

double milliseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

/// Says what there is to run, then runs it for each line of standard input.
template <class Run>
int serve(const std::string& about, const Run& run) {
  std::printf("ready %.1f %s\n", bench::fma_peak(), about.c_str());
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    std::printf("%s\n", run().c_str());
    std::fflush(stdout);
  }
  return 0;
}

/// Times a model's layers while it runs.
class Layers {
 public:
  Layers(const Network& network, const Shape& shape)
      : executor_(Executor::make(network, shape).value()), picture_(random_tensor(shape)) {}

  /// Kind, inputs, output, multiply-adds of each and whether the next one is computed with it, as JSON.
  std::string describe() {
    std::vector<Shape> shapes = {picture_.shape()};
    std::string all;
    walk([&](std::size_t last, ConstTensorView made) {
      const std::size_t first = shapes.size() - 1;
      const Network::Step& step = executor_.network().steps()[first];
      std::vector<Shape> inputs;
      for (const Network::Value value : step.inputs) inputs.push_back(shapes[value]);
      const Shape output = step.layer->output_shape(inputs).value();
      shapes.push_back(output);
      if (first < last) shapes.push_back(made.shape);
      all += (first == 0 ? "[" : ", ") + ("{\"kind\": \"" + std::string(step.layer->kind())) +
             "\", \"inputs\": [";
      for (std::size_t i = 0; i < inputs.size(); ++i) all += (i == 0 ? "" : ", ") + inputs[i].to_string();
      all += "], \"output\": " + output.to_string() + ", \"pooled\": " + (first < last ? "true" : "false") +
             ", \"multiply_adds\": " + std::to_string(step.layer->multiply_adds(inputs)) + "}";
    });
    return all + "]";
  }

  /// Milliseconds of each, as JSON.
  std::string run() {
    std::string all;
    auto start = std::chrono::steady_clock::now();
    walk([&](std::size_t, ConstTensorView) {
      const auto end = std::chrono::steady_clock::now();
      all += (all.empty() ? "[" : ", ") + std::to_string(milliseconds(end - start));
      start = std::chrono::steady_clock::now();
    });
    return all + "]";
  }

 private:
  template <class After>
  void walk(const After& after) {
    const ConstTensorView input = picture_;
    executor_.run(std::span(&input, 1), after);
  }

  Executor executor_;
  Tensor picture_;
};

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const bool model = argc == 4 && what == "model", layers = argc == 4 && what == "layers";
  const auto operation = operations.find(argc == 3 ? what : "");
  if (!model && !layers && operation == operations.end()) {
    std::cerr << "usage: qcnet_engine model|layers WEIGHTS.safetensors SIDE | OPERATION REPEATS, where "
                 "OPERATION is one of";
    for (const auto& [name, make] : operations) std::cerr << ' ' << name;
    std::cerr << '\n';
    return 2;
  }
  const std::size_t number = std::strtoul(argv[argc - 1], nullptr, 10);
  const Shape picture{1, number, number, 3};
  if (layers) {
    Layers all(load(argv[2]), picture);
    return serve(all.describe(), [&] { return all.run(); });
  }
  const Tensor input = random_tensor(model ? picture : operation->second.input);
  Executor network =
      Executor::make(model ? load(argv[2]) : operation->second.chain(number), input.shape()).value();
  const std::size_t repeats = model ? 1 : number;
  return serve(std::to_string(network.multiply_adds() / repeats), [&] {
    const auto start = std::chrono::steady_clock::now();
    network.run(input);
    const auto spent = std::chrono::steady_clock::now() - start;
    return std::to_string(milliseconds(spent) / static_cast<double>(repeats));
  });
}
