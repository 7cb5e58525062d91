// Pooling: bounded by memory.
#include "common.hpp"

#include <qcnet/kernels/pool.hpp>

using namespace qcnet;
using namespace qcnet::bench;

namespace {

void max_pool(benchmark::State& state) {
  const Tensor input = random_tensor({1, 112, 112, 64});
  Tensor output({1, 56, 56, 64});
  const Meter meter;
  for (auto _ : state) {
    kernels::max_pool(ConvGeometry::square(3, 2, 1), input, output);
    benchmark::ClobberMemory();
  }
  report_bytes(state, meter, input.span().size_bytes() + output.span().size_bytes());
}

void global_average_pool(benchmark::State& state) {
  const Tensor input = random_tensor({1, 7, 7, 2048});
  Tensor output({1, 2048});
  const Meter meter;
  for (auto _ : state) {
    kernels::global_average_pool(input, output);
    benchmark::ClobberMemory();
  }
  report_bytes(state, meter, input.span().size_bytes());
}

}  // namespace

BENCHMARK(max_pool);
BENCHMARK(global_average_pool);
