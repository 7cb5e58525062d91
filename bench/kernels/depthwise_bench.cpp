// Depthwise convolution: GFLOP/s. Of small kernels, loads and stores are the limit.
#include "common.hpp"

#include <qcnet/kernels/depthwise.hpp>

using namespace qcnet;
using namespace qcnet::bench;

namespace {

void depthwise_conv2d(benchmark::State& state) {
  const auto side = static_cast<std::size_t>(state.range(0)),
             channels = static_cast<std::size_t>(state.range(1)),
             kernel = static_cast<std::size_t>(state.range(2));
  const Tensor input = random_tensor({1, side, side, channels});
  const Tensor weights = random_tensor({channels, kernel, kernel, 1}, 2);
  const auto packed =
      kernels::PackedDepthwise::make(weights, {}, ConvGeometry::square(kernel, 1, kernel / 2)).value();
  Tensor output(input.shape());
  const Meter meter;
  for (auto _ : state) {
    kernels::depthwise_conv2d(packed, input, output);
    benchmark::ClobberMemory();
  }
  report_flops(state, meter, output.shape().elements() * kernel * kernel);
}

}  // namespace

// The four stages of ConvNeXt-Tiny, and a 3x3.
BENCHMARK(depthwise_conv2d)
    ->ArgNames({"side", "channels", "kernel"})
    ->Args({56, 96, 7})
    ->Args({28, 192, 7})
    ->Args({14, 384, 7})
    ->Args({7, 768, 7})
    ->Args({56, 96, 3});
