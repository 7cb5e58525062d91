// Thresholding and packing: GB/s of float map read, beside plain reading of the same memory.
#include "common.hpp"

#include <vector>

#include <qcnet/bits/pack.hpp>

namespace {

using namespace qcnet;

void binarize(benchmark::State& state) {
  const Shape shape{static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1))};
  const Tensor map = bench::random_tensor(shape);
  const std::vector<float> thresholds(shape.channels(), 0.1f);
  Bitplane bits(shape);
  const bench::Meter meter;
  for (auto _ : state) {
    binarize_into(map, thresholds, bits);
    benchmark::DoNotOptimize(bits.bytes().data());
    benchmark::ClobberMemory();
  }
  bench::report_bytes(state, meter, shape.elements() * sizeof(float));
}
BENCHMARK(binarize)->Apply(bench::map_sizes);

void read_limit(benchmark::State& state) {
  const Tensor map = bench::random_tensor({static_cast<std::size_t>(state.range(0)) * 256});
  const bench::Meter meter;
  for (auto _ : state) {
    vec a = vec::zero(), b = a, c = a, d = a;
    for (const float* p = map.data(); p != map.data() + map.span().size(); p += 4 * vec::size) {
      a = a + vec::load(p);
      b = b + vec::load(p + vec::size);
      c = c + vec::load(p + 2 * vec::size);
      d = d + vec::load(p + 3 * vec::size);
    }
    benchmark::DoNotOptimize(a + b + c + d);
  }
  bench::report_bytes(state, meter, map.span().size_bytes());
}
BENCHMARK(read_limit)->Arg(512)->Arg(8192);

}  // namespace
