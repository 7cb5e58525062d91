// Multi-head self-attention between its projections: GFLOP/s of its two products, softmax included.
#include "common.hpp"

#include <qcnet/kernels/attention.hpp>

using namespace qcnet;
using namespace qcnet::bench;

namespace {

void attention(benchmark::State& state) {
  const auto tokens = static_cast<std::size_t>(state.range(0)),
             channels = static_cast<std::size_t>(state.range(1));
  const Tensor qkv = random_tensor({1, tokens, 3 * channels});
  Tensor output({1, tokens, channels});
  const Meter meter;
  for (auto _ : state) {
    kernels::attention(qkv, static_cast<std::size_t>(state.range(2)), output);
    benchmark::ClobberMemory();
  }
  report_flops(state, meter, 2 * tokens * tokens * channels);
}

}  // namespace

// ViT-B/16 at 224 and at 384 pixels, and a small ViT on CIFAR-10.
BENCHMARK(attention)
    ->ArgNames({"tokens", "channels", "heads"})
    ->Args({197, 768, 12})
    ->Args({577, 768, 12})
    ->Args({65, 128, 4});
