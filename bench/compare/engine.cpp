// Times the library for compare.py: a model or an operation, once for each line of standard input.
//
//   qcnet_engine model WEIGHTS.safetensors SIDE    a whole model, of pictures SIDE x SIDE
//   qcnet_engine OPERATION REPEATS                 one of `operations`
//
// Prints "ready", multiply-adds of a run and the FMA peak of a thread in GFLOP/s; then milliseconds, a line a
// run.
#include "common.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>

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
  std::size_t multiply_adds = 0;
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
Work between(const Shape& shape, std::size_t multiply_adds, Apply apply) {
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

Work load(const std::string& path, std::size_t side) {
  return executor(models::load(io::Safetensors::open(path).value()).value(), {1, side, side, 3});
}

}  // namespace

int main(int argc, char** argv) {
  const bool model = argc == 4 && std::string(argv[1]) == "model";
  const auto operation = operations.find(argc == 3 ? argv[1] : "");
  if (!model && operation == operations.end()) {
    std::cerr << "usage: qcnet_engine model WEIGHTS.safetensors SIDE | OPERATION REPEATS, where OPERATION is "
                 "one of";
    for (const auto& [name, make] : operations) std::cerr << ' ' << name;
    std::cerr << '\n';
    return 2;
  }
  const Work work = model ? load(argv[2], std::strtoul(argv[3], nullptr, 10)) : operation->second();
  const std::size_t repeats = model ? 1 : std::strtoul(argv[2], nullptr, 10);
  std::printf("ready %zu %.1f\n", work.multiply_adds, bench::fma_peak());
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < repeats; ++i) work.run();
    const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
    std::printf("%.6f\n", spent.count() / static_cast<double>(repeats));
    std::fflush(stdout);
  }
}
