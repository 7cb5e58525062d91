// Convolution of bits with weights of one bit: Tbit/s compared and counted, their share of what the kernel's
// own instructions reach on registers alone, and how many times the float convolution takes.
#include "common.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <utility>
#include <vector>

#include <qcnet/bits/binary_conv.hpp>
#include <qcnet/bits/pack.hpp>
#include <qcnet/kernels/conv2d.hpp>

namespace {

using namespace qcnet;
using bits::BinaryPadding;
using bits::PackedBinaryConv2d;
namespace popcount = bits::popcount;

/// One round of comparing and counting on independent registers; returns the Tbit/s of this thread.
template <std::size_t... I>
double count_round(std::index_sequence<I...>) {
  constexpr std::size_t rounds = 1'000'000;
  alignas(64) const std::uint8_t bytes[64] = {3, 1, 4, 1, 5, 9, 2, 6};
  const popcount::Register input = popcount::load_input(bytes + 8);
  popcount::Register sums[] = {(static_cast<void>(I), popcount::load_weights(bytes))...};
  const std::clock_t start = std::clock();
  // The sums are the weights as well, so that no round is like the one before.
  for (std::size_t r = 0; r < rounds; ++r)
    ((sums[I] = popcount::in_register(popcount::add_mismatches(sums[I], input, sums[I]))), ...);
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  popcount::Register total = popcount::zero();
  ((total = popcount::add_mismatches(total, input, sums[I])), ...);
  benchmark::DoNotOptimize(total);
  return static_cast<double>(rounds * sizeof...(I) * popcount::lanes * popcount::lane_bits) / seconds * 1e-12;
}

/// The limit of one thread in Tbit/s, the best of several rounds; measured once.
double count_limit() {
  static const double limit = [] {
    double best = 0.0;
    for (int i = 0; i < 30; ++i) best = std::max(best, count_round(std::make_index_sequence<12>{}));
    return best;
  }();
  return limit;
}

void report_bits(benchmark::State& state, const bench::Meter& meter, std::size_t products) {
  const double rate =
      static_cast<double>(products) * static_cast<double>(state.iterations()) / meter.seconds() * 1e-12;
  state.counters["Tbit/s"] = rate;
  state.counters["%limit"] = 100.0 * rate / (count_limit() * num_threads());
}

Tensor random_signs(const Shape& shape) {
  Tensor signs = bench::random_tensor(shape);
  for (float& w : signs.span()) w = w > 0.0f ? 1.0f : -1.0f;
  return signs;
}

/// Seconds that `run` takes, the best of many times 20 calls: the clock ticks in microseconds.
template <class Run>
double seconds(const Run& run) {
  double best = 1.0;
  for (int i = 0; i < 20; ++i) {
    const bench::Meter meter;
    for (int call = 0; call < 20; ++call) run();
    best = std::min(best, meter.seconds() / 20);
  }
  return best;
}

// Arguments: rows, depth, columns. Nothing but counts.
void binary_gemm(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0)),
             depth = static_cast<std::size_t>(state.range(1)),
             columns = static_cast<std::size_t>(state.range(2));
  const auto conv =
      PackedBinaryConv2d::make(random_signs({columns, 1, 1, depth}), {}, BinaryPadding::zero).value();
  const Bitplane in = binarize(bench::random_tensor({1, rows, 1, depth}, 2), std::vector<float>(depth));
  std::vector<std::int32_t> counts(rows * columns);
  const bench::Meter meter;
  for (auto _ : state) {
    conv.counts_into(in, counts);
    benchmark::ClobberMemory();
  }
  report_bits(state, meter, rows * depth * columns);
}
BENCHMARK(binary_gemm)
    ->ArgNames({"rows", "depth", "columns"})
    ->Args({196, 2304, 256})
    ->Args({256, 1024, 1024})
    ->Args({1024, 256, 256})
    ->Args({64, 8192, 512});

struct Problem {
  Tensor weights, map;
  ConvGeometry geometry;
  Bitplane bits;
  PackedBinaryConv2d conv;
  Shape shape;
  std::size_t products;
  std::vector<float> ones, zeros;

  explicit Problem(const benchmark::State& state) {
    const auto at = [&](std::size_t i) { return static_cast<std::size_t>(state.range(i)); };
    const std::size_t side = at(0), cin = at(1), cout = at(2), kernel = at(3);
    weights = random_signs({cout, kernel, kernel, cin});
    geometry = ConvGeometry::square(kernel, at(4), kernel / 2);
    map = random_signs({1, side, side, cin});
    bits = binarize(map, std::vector<float>(cin));
    conv = PackedBinaryConv2d::make(weights, geometry, BinaryPadding::zero).value();
    shape = conv.output_shape(bits.shape()).value();
    products = shape.elements() * kernel * kernel * cin;
    ones.assign(cout, 1.0f);
    zeros.assign(cout, 0.0f);
  }
  bits::CountScale scale() const { return {ones, zeros}; }
};

/// Bits in, floats out: what stands in for a float convolution. "xdirect" and "xwinograd": how many times
/// quicker than that one it is.
void binary_conv2d(benchmark::State& state) {
  const Problem p(state);
  Tensor out(p.shape);
  const double own = seconds([&] { p.conv.forward_into(p.bits, p.scale(), out); });
  for (const bool winograd : {false, true}) {
    auto packed = kernels::PackedConv2d::make(p.weights, {}, p.geometry).value();
    if (winograd && !kernels::is_winograd_possible(p.geometry)) continue;
    if (winograd) packed = packed.with(kernels::ConvAlgorithm::winograd_4x4).value();
    AlignedBuffer<float> scratch(kernels::scratch_floats(packed, p.shape));
    const double other =
        seconds([&] { kernels::conv2d(packed, p.map, out, kernels::Activation::none, {}, scratch.span()); });
    state.counters[winograd ? "xwinograd" : "xdirect"] = other / own;
  }
  const bench::Meter meter;
  for (auto _ : state) {
    p.conv.forward_into(p.bits, p.scale(), out);
    benchmark::ClobberMemory();
  }
  report_bits(state, meter, p.products);
}

/// Bits in, bits out, by whole-numbered thresholds.
void binary_conv2d_bits(benchmark::State& state) {
  const Problem p(state);
  const auto thresholds = bits::CountThresholds::make(p.ones, p.zeros, p.zeros, p.conv.most_count()).value();
  Bitplane out(p.shape);
  const bench::Meter meter;
  for (auto _ : state) {
    p.conv.bits_into(p.bits, thresholds, out);
    benchmark::ClobberMemory();
  }
  report_bits(state, meter, p.products);
}

void layer_sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"side", "cin", "cout", "kernel", "stride"})
      ->Args({14, 256, 256, 3, 1})
      ->Args({56, 64, 64, 3, 1})
      ->Args({16, 64, 64, 3, 1})
      ->Args({16, 32, 32, 3, 1})
      ->Args({8, 64, 128, 3, 1})
      ->Args({16, 64, 128, 3, 2})
      ->Args({14, 256, 256, 1, 1});
}
BENCHMARK(binary_conv2d)->Apply(layer_sizes);
BENCHMARK(binary_conv2d_bits)->Apply(layer_sizes);

}  // namespace
