// Coding a map's bits, by what is learned on the way or by an entropy model: ns a bit, and how much of the
// bits is left. The shipped models' cuts are from 6k to 43k bits; what coding saves on their real maps:
// bench/compare/compression.py.
#include "common.hpp"

#include <cstdint>
#include <random>
#include <vector>

#include <qcnet/bits/entropy_model.hpp>

namespace {

using namespace qcnet;

/// Blobs, as features have them, with noise: they code to about what the shipped models' maps do.
Bitplane blobs(const Shape& shape) {
  std::mt19937 engine(1);
  Bitplane map(shape);
  for (std::size_t pixel = 0; pixel < shape.pixels(); ++pixel)
    for (std::size_t c = 0; c < shape.channels(); ++c) {
      const std::size_t y = pixel / shape[2] * 8 / shape[1], x = pixel % shape[2] * 8 / shape[2];
      map.set(pixel, c, ((y * 31 + x * 17 + c * 7) % 11 < 3) != (engine() % 12 == 0));
    }
  return map;
}

Shape map_shape(const benchmark::State& state) {
  const auto side = static_cast<std::size_t>(state.range(0));
  return {1, side, side, static_cast<std::size_t>(state.range(1))};
}

void report(benchmark::State& state, const bench::Meter& meter, const Bitplane& map, std::size_t code) {
  const double bits = static_cast<double>(map.shape().elements());
  state.counters["ns/bit"] = 1e9 * meter.seconds() / (bits * static_cast<double>(state.iterations()));
  state.counters["coded/raw"] = static_cast<double>(code) / static_cast<double>(map.bytes().size());
}

/// Made-up weights take the time of real ones, but save nothing.
bits::EntropyModel made_up_model(std::size_t channels) {
  std::mt19937 engine(2);
  std::vector<std::int16_t> bias(5 * channels), weights(2 * channels * channels), own(channels * channels);
  for (std::int16_t& w : weights) w = static_cast<std::int16_t>(engine() % 7) - std::int16_t{3};
  for (std::size_t i = 0; i < channels; ++i)
    for (std::size_t c = i + 1; c < channels; ++c)
      own[i * channels + c] = static_cast<std::int16_t>(engine() % 7);
  return bits::EntropyModel::make(channels, {{0, -1}, {-1, 0}}, bias, weights, own).value();
}

void measure_encode(benchmark::State& state, const bits::EntropyModel* model) {
  const Bitplane map = blobs(map_shape(state));
  std::vector<std::uint8_t> code(2 * map.bytes().size());
  std::size_t size = 0;
  const bench::Meter meter;
  for (auto _ : state) {
    bits::RangeEncoder encoder(code);
    encode_bits(map, model, encoder);
    size = encoder.finish();
    benchmark::ClobberMemory();
  }
  report(state, meter, map, size);
}

void measure_decode(benchmark::State& state, const bits::EntropyModel* model) {
  const Bitplane map = blobs(map_shape(state));
  std::vector<std::uint8_t> code(4 * map.bytes().size());
  bits::RangeEncoder encoder(code);
  encode_bits(map, model, encoder);
  code.resize(encoder.finish());
  Bitplane read(map.shape());
  const bench::Meter meter;
  for (auto _ : state) {
    bits::RangeDecoder decoder(code);
    decode_bits(decoder, model, read);
    benchmark::ClobberMemory();
  }
  report(state, meter, map, code.size());
}

void encode(benchmark::State& state) {
  measure_encode(state, nullptr);
}
void decode(benchmark::State& state) {
  measure_decode(state, nullptr);
}
void encode_by_model(benchmark::State& state) {
  const auto model = made_up_model(static_cast<std::size_t>(state.range(1)));
  measure_encode(state, &model);
}
void decode_by_model(benchmark::State& state) {
  const auto model = made_up_model(static_cast<std::size_t>(state.range(1)));
  measure_decode(state, &model);
}

/// Side, channels: the cuts of the shipped ResNet, ConvNeXt and YOLO, and of ResNet50 behind layer2.
void cuts(benchmark::internal::Benchmark* b) {
  b->Args({32, 16})->Args({16, 32})->Args({8, 80})->Args({52, 16})->Args({28, 512});
}
BENCHMARK(encode)->Apply(cuts);
BENCHMARK(decode)->Apply(cuts);
BENCHMARK(encode_by_model)->Apply(cuts);
BENCHMARK(decode_by_model)->Apply(cuts);

}  // namespace
