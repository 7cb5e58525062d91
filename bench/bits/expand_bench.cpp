// Expansion of bits to two levels: GB/s of float map written, beside plain writing of the same memory.
#include "common.hpp"

#include <vector>

#include <qcnet/bits/expand.hpp>

namespace {

using namespace qcnet;

void expand(benchmark::State& state) {
  const Shape shape{static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1))};
  Bitplane bits(shape);
  for (std::size_t i = 0; i < shape.elements(); i += 3)
    bits.set(i / shape.channels(), i % shape.channels(), true);
  const std::vector<float> low(shape.channels(), 0.1f), high(shape.channels(), 0.9f);
  Tensor map(shape);
  const bench::Meter meter;
  for (auto _ : state) {
    expand_into(bits, low, high, map);
    benchmark::DoNotOptimize(map.data());
    benchmark::ClobberMemory();
  }
  bench::report_bytes(state, meter, shape.elements() * sizeof(float));
}
BENCHMARK(expand)->Apply(bench::map_sizes);

void write_limit(benchmark::State& state) {
  Tensor map({static_cast<std::size_t>(state.range(0)) * 256});
  const bench::Meter meter;
  for (auto _ : state) {
    for (std::size_t i = 0; i < map.span().size(); i += vec::size) vec::zero().store(map.data() + i);
    benchmark::ClobberMemory();
  }
  bench::report_bytes(state, meter, map.span().size_bytes());
}
BENCHMARK(write_limit)->Arg(512)->Arg(8192);

}  // namespace
