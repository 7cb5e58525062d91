// Times the library for compare.py: a model or an operation, once for each line of standard input.
//
//   qcnet_engine model WEIGHTS.safetensors SIDE    a whole model, of pictures SIDE x SIDE
//   qcnet_engine OPERATION REPEATS                 one of `operations`
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

#include <qcnet/kernels/attention.hpp>
#include <qcnet/kernels/depthwise.hpp>
#include <qcnet/kernels/gelu.hpp>
#include <qcnet/kernels/layer_norm.hpp>
#include <qcnet/kernels/linear.hpp>
#include <qcnet/layers/conv2d.hpp>
#include <qcnet/layers/executor.hpp>
#include <qcnet/models/model.hpp>

namespace {

using namespace qcnet;
using bench::random_tensor;

/// What is timed, and its multiply-adds.
struct Work {
  std::function<void()> run;
  std::uint64_t multiply_adds = 0;
};

Work executor(Network network, const Shape& shape) {
  auto planned = std::make_shared<Executor>(Executor::make(std::move(network), shape).value());
  auto input = std::make_shared<Tensor>(random_tensor(shape));
  return {[planned, input] { planned->run(*input); }, planned->multiply_adds()};
}

Work convolution(std::size_t cin, std::size_t cout, std::size_t kernel, std::size_t side) {
  ConvWeights weights{random_tensor({cout, kernel, kernel, cin}), std::vector<float>(cout)};
  Network network;
  network.add(
      "conv",
      Conv2d::make(weights, "conv", ConvGeometry::square(kernel, 1, kernel / 2), cin, Activation::none)
          .value(),
      {network.output()});
  return executor(std::move(network), {1, side, side, cin});
}

/// What `apply(input, output)` does, where the two have one shape.
template <class Apply>
Work between(const Shape& shape, std::uint64_t multiply_adds, Apply apply) {
  auto input = std::make_shared<Tensor>(random_tensor(shape)), output = std::make_shared<Tensor>(shape);
  return {[=] { apply(*input, *output); }, multiply_adds};
}

Work depthwise() {
  constexpr std::size_t side = 56, channels = 96, kernel = 7;
  const auto packed = kernels::PackedDepthwise::make(random_tensor({channels, kernel, kernel, 1}), {},
                                                     ConvGeometry::square(kernel, 1, kernel / 2))
                          .value();
  return between({1, side, side, channels}, side * side * channels * kernel * kernel,
                 [packed](const Tensor& in, Tensor& out) { kernels::depthwise_conv2d(packed, in, out); });
}

constexpr std::size_t tokens = 197, width = 768, heads = 12;

kernels::PackedConv2d linear_weights(std::size_t in, std::size_t out) {
  return kernels::pack_linear(random_tensor({out, in}), std::vector<float>(out)).value();
}

Work linear() {
  const auto packed = linear_weights(width, 4 * width);
  auto input = std::make_shared<Tensor>(random_tensor({1, tokens, width}));
  auto output = std::make_shared<Tensor>(Shape{1, tokens, 4 * width});
  return {[=] { kernels::linear(packed, *input, *output); }, tokens * width * 4 * width};
}

Work multi_head_attention() {
  const auto in = linear_weights(width, 3 * width), out = linear_weights(width, width);
  auto qkv = std::make_shared<Tensor>(Shape{1, tokens, 3 * width});
  auto mixed = std::make_shared<Tensor>(Shape{1, tokens, width});
  return between({1, tokens, width}, 4 * tokens * width * width + 2 * tokens * tokens * width,
                 [=](const Tensor& input, Tensor& output) {
                   kernels::linear(in, input, *qkv);
                   kernels::attention(*qkv, heads, *mixed);
                   kernels::linear(out, *mixed, output);
                 });
}

Work layer_norm() {
  const std::vector<float> gamma(width, 1.1f), beta(width, 0.1f);
  return between({1, tokens, width}, 0, [=](const Tensor& input, Tensor& output) {
    kernels::layer_norm(input, gamma, beta, 1e-6f, output);
  });
}

Work gelu() {
  return between({1, tokens, 4 * width}, 0,
                 [](const Tensor& input, Tensor& output) { kernels::gelu(input, output); });
}

const std::map<std::string, std::function<Work()>> operations = {
    {"conv3x3-64-56", [] { return convolution(64, 64, 3, 56); }},
    {"conv1x1-256-64-56", [] { return convolution(256, 64, 1, 56); }},
    {"conv3x3-256-14", [] { return convolution(256, 256, 3, 14); }},
    {"depthwise7x7-96-56", depthwise},
    {"linear-768-3072", linear},
    {"attention-768", multi_head_attention},
    {"layer-norm-768", layer_norm},
    {"gelu-3072", gelu},
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

  /// Kind, inputs, output and multiply-adds of each, as JSON.
  std::string describe() {
    std::vector<Shape> shapes = {picture_.shape()};
    std::string all;
    walk([&](std::size_t s, ConstTensorView made) {
      const Network::Step& step = executor_.network().steps()[s];
      std::vector<Shape> inputs;
      for (const Network::Value value : step.inputs) inputs.push_back(shapes[value]);
      shapes.push_back(made.shape);
      all +=
          (s == 0 ? "[" : ", ") + ("{\"kind\": \"" + std::string(step.layer->kind())) + "\", \"inputs\": [";
      for (std::size_t i = 0; i < inputs.size(); ++i) all += (i == 0 ? "" : ", ") + inputs[i].to_string();
      all += "], \"output\": " + made.shape.to_string() +
             ", \"multiply_adds\": " + std::to_string(step.layer->multiply_adds(inputs)) + "}";
    });
    return all + "]";
  }

  /// Milliseconds of each, as JSON.
  std::string run() {
    std::string all;
    auto start = std::chrono::steady_clock::now();
    walk([&](std::size_t s, ConstTensorView) {
      const auto end = std::chrono::steady_clock::now();
      all += (s == 0 ? "[" : ", ") + std::to_string(milliseconds(end - start));
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
  const Work work = model ? executor(load(argv[2]), picture) : operation->second();
  const std::size_t repeats = model ? 1 : number;
  return serve(std::to_string(work.multiply_adds), [&] {
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < repeats; ++i) work.run();
    const auto spent = std::chrono::steady_clock::now() - start;
    return std::to_string(milliseconds(spent) / static_cast<double>(repeats));
  });
}
