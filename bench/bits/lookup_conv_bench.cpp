// Convolution of bits: GFLOP/s that a float convolution would need to be as quick, and their share of what
// the machine's fused multiply-adds allow. 200 % is twice the limit of any direct float convolution.
#include "common.hpp"

#include <random>

#include <qcnet/bits/lookup_conv.hpp>

namespace {

using namespace qcnet;

// Arguments: height (and width), input channels, output channels, kernel.
void lookup_conv(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0)),
             channels = static_cast<std::size_t>(state.range(1));
  const auto outputs = static_cast<std::size_t>(state.range(2)),
             kernel = static_cast<std::size_t>(state.range(3));
  const Tensor weights = bench::random_tensor({outputs, kernel, kernel, channels});
  const auto conv =
      LookupConv2d::make(weights, {}, ConvGeometry::square(kernel, 1, kernel / 2), true).value();
  Bitplane bits({1, size, size, channels});
  std::mt19937 random(1);
  for (std::size_t i = 0; i < bits.shape().elements(); ++i)
    bits.set(i / channels, i % channels, random() % 2 != 0);
  Tensor out(conv.output_shape(bits.shape()).value());
  const bench::Meter meter;
  for (auto _ : state) {
    conv.forward_into(bits, out);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  bench::report_flops(state, meter, out.shape().elements() * weights.span().size() / outputs);
  state.counters["table KiB"] = static_cast<double>(conv.table_bytes()) / 1024;
}
BENCHMARK(lookup_conv)
    ->Args({56, 64, 64, 1})
    ->Args({28, 128, 128, 1})
    ->Args({28, 512, 128, 1})
    ->Args({56, 64, 64, 3})
    ->Args({14, 256, 256, 3})
    ->Args({16, 64, 16, 1})
    ->Args({16, 64, 32, 1})
    ->Args({14, 32, 8, 1})
    ->Args({16, 16, 16, 3})
    ->Args({16, 32, 32, 3});

}  // namespace
