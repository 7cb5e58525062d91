// What packets cost beside a frame: a node gathers each bit, a server scatters it. ns a bit.
#include "common.hpp"

#include <cstdint>
#include <vector>

#include <qcnet/bits/interleave.hpp>

namespace {

using namespace qcnet;

void report(benchmark::State& state, const bench::Meter& meter) {
  state.counters["ns/bit"] =
      1e9 * meter.seconds() / (8.0 * static_cast<double>(state.range(0) * state.iterations()));
}

void gather(benchmark::State& state) {
  const std::vector<std::uint8_t> bits(static_cast<std::size_t>(state.range(0)), std::uint8_t{0x55});
  std::vector<std::uint8_t> interleaved(bits.size());
  const Interleaving order(bits.size());
  const bench::Meter meter;
  for (auto _ : state) {
    order.gather(bits, 0, interleaved);
    benchmark::ClobberMemory();
  }
  report(state, meter);
}

void scatter(benchmark::State& state) {
  const std::vector<std::uint8_t> interleaved(static_cast<std::size_t>(state.range(0)), std::uint8_t{0x55});
  std::vector<std::uint8_t> bits(interleaved.size());
  const Interleaving order(bits.size());
  const bench::Meter meter;
  for (auto _ : state) {
    order.scatter(interleaved, 0, bits);
    benchmark::ClobberMemory();
  }
  report(state, meter);
}

}  // namespace

BENCHMARK(gather)->Arg(640)->Arg(2048)->Arg(5408);
BENCHMARK(scatter)->Arg(640)->Arg(2048)->Arg(5408);
