// The machine's own limit, measured in the same run, beside every figure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <random>
#include <utility>
#include <vector>

#include <qcnet/core/parallel.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/simd/vec.hpp>

#include <benchmark/benchmark.h>

namespace qcnet::bench {

inline Tensor random_tensor(const Shape& shape, std::uint32_t seed = 1) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  Tensor tensor(shape);
  for (float& x : tensor.span()) x = normal(engine);
  return tensor;
}

/// Values to fill weights with, of a size that keeps a network's in range.
inline std::vector<float> random_weights(std::size_t fan_in) {
  const Tensor values = random_tensor({8191});
  std::vector<float> scaled(values.span().begin(), values.span().end());
  for (float& x : scaled) x /= std::sqrt(static_cast<float>(fan_in));
  return scaled;
}

/// Time spent since it was made: of this thread alone where only it works, so that a busy machine disturbs
/// less; else on the wall.
class Meter {
 public:
  double seconds() const { return now() - start_; }

 private:
  static double now() {
    if (num_threads() == 1) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  double start_ = now();
};

/// One round of fused multiply-adds on independent registers; returns the GFLOP/s of this thread.
template <std::size_t... I>
double fma_round(std::index_sequence<I...>) {
  constexpr std::size_t rounds = 1'000'000;
  vec acc[] = {vec::broadcast(static_cast<float>(I))...};
  vec factor = vec::broadcast(0.999f), addend = vec::broadcast(0.001f);
  benchmark::DoNotOptimize(factor);
  benchmark::DoNotOptimize(addend);
  const std::clock_t start = std::clock();
  for (std::size_t r = 0; r < rounds; ++r) ((acc[I] = fma(acc[I], factor, addend)), ...);
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  vec total = vec::zero();
  ((total = total + acc[I]), ...);
  benchmark::DoNotOptimize(total);
  return 2.0 * static_cast<double>(rounds * sizeof...(I) * vec::size) / seconds * 1e-9;
}

/// FMA peak of one thread in GFLOP/s, the best of several rounds; measured once.
inline double fma_peak() {
  static const double peak = [] {
    double best = 0.0;
    for (int i = 0; i < 30; ++i) best = std::max(best, fma_round(std::make_index_sequence<10>{}));
    return best;
  }();
  return peak;
}

/// Reports `multiply_adds` an iteration as GFLOP/s and as a share of the peak of the threads in use.
inline void report_flops(benchmark::State& state, const Meter& meter, std::uint64_t multiply_adds) {
  const double flop = 2.0 * static_cast<double>(multiply_adds) * static_cast<double>(state.iterations());
  const double rate = flop / meter.seconds() * 1e-9;
  state.counters["GFLOP/s"] = rate;
  state.counters["%peak"] = 100.0 * rate / (fma_peak() * num_threads());
}

/// Reports `bytes` an iteration as GB/s.
inline void report_bytes(benchmark::State& state, const Meter& meter, std::size_t bytes) {
  state.counters["GB/s"] =
      static_cast<double>(bytes) * static_cast<double>(state.iterations()) / meter.seconds() * 1e-9;
}

/// Arguments of a benchmark over feature maps: pixels, channels. 512 KiB lie in the L2 cache, 8 MiB do not.
inline void map_sizes(benchmark::internal::Benchmark* b) {
  for (const int kib : {512, 8192})
    for (const int channels : {16, 64, 256}) b->Args({kib * 256 / channels, channels});
  b->Args({512 * 256 / 3, 3});
}

}  // namespace qcnet::bench
