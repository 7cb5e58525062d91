// Float convolution, direct and by Winograd's algorithm, and linear layers, also by Strassen's; and the price
// of thresholding in their epilogue.
#include "common.hpp"

#include <limits>
#include <vector>

#include <qcnet/kernels/conv2d.hpp>
#include <qcnet/kernels/linear.hpp>

using namespace qcnet;
using namespace qcnet::bench;

namespace {

struct Problem {
  Tensor input, output;
  kernels::PackedConv2d packed;
  std::size_t multiply_adds;

  Problem(std::size_t side, std::size_t cin, std::size_t cout, std::size_t kernel, std::size_t stride)
      : input(random_tensor({1, side, side, cin})) {
    const Tensor weights = random_tensor({cout, kernel, kernel, cin}, 2);
    packed = kernels::PackedConv2d::make(
                 weights, {}, ConvGeometry::square(kernel, stride, kernel == stride ? 0 : kernel / 2))
                 .value();
    output = Tensor(packed.output_shape(input.shape()).value());
    multiply_adds = output.shape().elements() * kernel * kernel * cin;
  }
  explicit Problem(const benchmark::State& state)
      : Problem(static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)),
                static_cast<std::size_t>(state.range(2)), static_cast<std::size_t>(state.range(3)),
                static_cast<std::size_t>(state.range(4))) {}
};

void conv2d(benchmark::State& state) {
  Problem p(state);
  const Meter meter;
  for (auto _ : state) {
    kernels::conv2d(p.packed, p.input, p.output, kernels::Activation::relu);
    benchmark::ClobberMemory();
  }
  report_flops(state, meter, p.multiply_adds);
}

/// Reports nominal FLOP, those of the direct algorithm: more than 100 % of the peak is no mistake.
void winograd(benchmark::State& state) {
  Problem p(state);
  const auto algorithm =
      state.range(5) == 2 ? kernels::ConvAlgorithm::winograd_2x2 : kernels::ConvAlgorithm::winograd_4x4;
  p.packed = p.packed.with(algorithm).value();
  AlignedBuffer<float> scratch(kernels::scratch_floats(p.packed, p.output.shape()));
  const Meter meter;
  for (auto _ : state) {
    kernels::conv2d(p.packed, p.input, p.output, kernels::Activation::relu, {}, scratch.span());
    benchmark::ClobberMemory();
  }
  report_flops(state, meter, p.multiply_adds);
  state.counters["weights_MB"] = static_cast<double>(p.packed.bytes()) * 1e-6;
}

void conv2d_bits(benchmark::State& state) {
  Problem p(state);
  const std::size_t channels = p.output.shape().channels();
  std::vector<float> thresholds(kernels::PackedWeights::padded(channels),
                                std::numeric_limits<float>::infinity());
  std::fill_n(thresholds.begin(), channels, 0.5f);
  Bitplane bits(p.output.shape());
  const Meter meter;
  for (auto _ : state) {
    kernels::conv2d_bits(p.packed, p.input, bits, thresholds, kernels::Activation::relu);
    benchmark::ClobberMemory();
  }
  report_flops(state, meter, p.multiply_adds);
}

template <class Multiply>
void time_linear(benchmark::State& state, kernels::ConvAlgorithm algorithm, const Multiply& multiply) {
  const auto rows = static_cast<std::size_t>(state.range(0)), in = static_cast<std::size_t>(state.range(1)),
             out = static_cast<std::size_t>(state.range(2));
  const auto packed = kernels::pack_linear(random_tensor({out, in}), {}).value().with(algorithm).value();
  const Tensor input = random_tensor({rows, in}, 2);
  Tensor output({rows, out});
  AlignedBuffer<float> scratch(kernels::scratch_floats(packed, rows));
  const Meter meter;
  for (auto _ : state) {
    multiply(packed, input, output, scratch.span());
    benchmark::ClobberMemory();
  }
  report_flops(state, meter, rows * in * out);
}

constexpr auto multiply = [](const kernels::PackedConv2d& packed, const Tensor& input, Tensor& output,
                             std::span<float> scratch) {
  kernels::linear(packed, input, output, kernels::Activation::none, {}, scratch);
};

void linear(benchmark::State& state) {
  time_linear(state, kernels::ConvAlgorithm::direct, multiply);
}

#if QCNET_ISA_AVX512
/// Nominal FLOP as in `winograd`.
void strassen(benchmark::State& state) {
  time_linear(state, kernels::ConvAlgorithm::strassen, multiply);
}
#endif

void linear_gelu(benchmark::State& state) {
  time_linear(state, kernels::ConvAlgorithm::direct,
              [](const auto& packed, const Tensor& input, Tensor& output, std::span<float> scratch) {
                kernels::linear_gelu(packed, input, output, scratch);
              });
}

}  // namespace

// ResNet50's: the first three are the ones the project is measured by.
BENCHMARK(conv2d)
    ->ArgNames({"side", "cin", "cout", "kernel", "stride"})
    ->Args({56, 64, 64, 3, 1})
    ->Args({56, 256, 64, 1, 1})
    ->Args({14, 256, 256, 3, 1})
    ->Args({224, 3, 64, 7, 2})
    ->Args({56, 64, 256, 1, 1})
    ->Args({28, 128, 128, 3, 1})
    ->Args({14, 256, 1024, 1, 1})
    ->Args({7, 512, 512, 3, 1})
    ->Args({32, 16, 16, 3, 1})  // the shipped small ResNets'
    ->Args({16, 32, 32, 3, 1})
    ->Args({13, 512, 1024, 3, 1})  // YOLOv3-Tiny's
    ->Args({26, 256, 512, 3, 1})
    ->Args({26, 384, 256, 3, 1})
    ->Args({208, 16, 32, 3, 1})
    ->Args({224, 3, 768, 16, 16})  // patches: ViT-B/16's, ConvNeXt's stem and downsampling
    ->Args({224, 3, 96, 4, 4})
    ->Args({56, 96, 192, 2, 2});
BENCHMARK(winograd)
    ->ArgNames({"side", "cin", "cout", "kernel", "stride", "tile"})
    ->Args({56, 64, 64, 3, 1, 4})
    ->Args({28, 128, 128, 3, 1, 4})
    ->Args({14, 256, 256, 3, 1, 4})
    ->Args({7, 512, 512, 3, 1, 4})
    ->Args({7, 512, 512, 3, 1, 2})
    ->Args({32, 16, 16, 3, 1, 4})
    ->Args({16, 32, 32, 3, 1, 4})
    ->Args({13, 512, 1024, 3, 1, 4})
    ->Args({26, 256, 512, 3, 1, 4})
    ->Args({26, 384, 256, 3, 1, 4})
    ->Args({208, 16, 32, 3, 1, 4});
BENCHMARK(conv2d_bits)
    ->ArgNames({"side", "cin", "cout", "kernel", "stride"})
    ->Args({56, 64, 256, 1, 1})
    ->Args({28, 128, 512, 1, 1})
    ->Args({32, 16, 16, 3, 1})
    ->Args({16, 32, 32, 3, 1});
// The head of ResNet50; ViT-B/16's; the first and the last stage of ConvNeXt-Tiny.
BENCHMARK(linear)
    ->ArgNames({"rows", "in", "out"})
    ->Args({1, 2048, 1000})
    ->Args({197, 768, 3072})
    ->Args({197, 3072, 768})
    ->Args({197, 768, 768})
    ->Args({197, 768, 2304})
    ->Args({3136, 96, 384})
    ->Args({3136, 384, 96})
    ->Args({49, 3072, 768});
#if QCNET_ISA_AVX512
// ViT-B/16's, 1x1 convolutions of ResNet50, and two for which it does not pay.
BENCHMARK(strassen)
    ->ArgNames({"rows", "in", "out"})
    ->Args({197, 768, 3072})
    ->Args({197, 3072, 768})
    ->Args({197, 768, 768})
    ->Args({197, 768, 2304})
    ->Args({196, 256, 1024})
    ->Args({196, 1024, 256})
    ->Args({3136, 256, 64})
    ->Args({8, 1024, 1024});
#endif
BENCHMARK(linear_gelu)->ArgNames({"rows", "in", "out"})->Args({197, 768, 3072})->Args({3136, 96, 384});
