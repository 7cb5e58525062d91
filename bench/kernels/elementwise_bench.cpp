// What runs between the products of a transformer: GB/s read and written.
#include "common.hpp"

#include <vector>

#include <qcnet/kernels/gelu.hpp>
#include <qcnet/kernels/layer_norm.hpp>

using namespace qcnet;
using namespace qcnet::bench;

namespace {

Shape rows_and_channels(const benchmark::State& state) {
  return {static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1))};
}

void layer_norm(benchmark::State& state) {
  const Tensor input = random_tensor(rows_and_channels(state));
  const std::vector<float> gamma(input.shape().channels(), 1.1f), beta(input.shape().channels(), 0.1f);
  Tensor output(input.shape());
  const Meter meter;
  for (auto _ : state) {
    kernels::layer_norm(input, gamma, beta, 1e-6f, output);
    benchmark::ClobberMemory();
  }
  report_bytes(state, meter, 2 * input.span().size_bytes());
}

void gelu(benchmark::State& state) {
  const Tensor input = random_tensor(rows_and_channels(state));
  Tensor output(input.shape());
  const Meter meter;
  for (auto _ : state) {
    kernels::gelu(input, output);
    benchmark::ClobberMemory();
  }
  report_bytes(state, meter, 2 * input.span().size_bytes());
}

}  // namespace

BENCHMARK(layer_norm)->ArgNames({"rows", "channels"})->Args({197, 768})->Args({3136, 96});
BENCHMARK(gelu)->ArgNames({"rows", "channels"})->Args({197, 3072});
