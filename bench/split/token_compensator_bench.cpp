// Tokens rebuilt from their bits, as behind a block of ViT-B/16.
#include "weights.hpp"

#include <string>
#include <vector>

#include <qcnet/bits/pack.hpp>
#include <qcnet/split/token_compensator.hpp>

using namespace qcnet;
using namespace qcnet::bench;

namespace {

const Shape map{1, 197, 768};

Bitplane random_bits() {
  return binarize(random_tensor(map), std::vector<float>(map.channels(), 0.0f));
}

/// One transformer block of a quarter or half of the tokens' width; levels for each position.
void attention_qcnet(benchmark::State& state) {
  const auto width = static_cast<std::size_t>(state.range(0));
  const std::size_t channels = map.channels();
  const std::string body = "qcnet.compensator.";
  WeightsFile file;
  add_weights(file, body + "input", {width, channels});
  file.set(body + "positions", {1, map[1], width}, {0.1f, -0.1f});
  add_encoder_block(file, body + "blocks.0", width, 2 * width);
  add_norm(file, body + "norm", width);
  add_weights(file, body + "output", {channels, width});
  file.set(body + "scale", {channels}, {1.0f});
  file.set("qcnet.levels", {2, map[1], channels}, {-1.0f, 1.0f});
  file.set_metadata(body + "heads", std::to_string(width / 64));
  const auto compensator = file.with([](const io::Safetensors& weights) {
                                 return TokenCompensator::load(weights, map, map, kernels::Activation::none);
                               })
                               .value();
  const Bitplane bits = random_bits();
  Tensor tokens(map);
  const Meter meter;
  for (auto _ : state) compensator->reconstruct_into(bits, tokens);
  report_flops(state, meter, compensator->multiply_adds());
}

void dequantized_tokens(benchmark::State& state) {
  const std::vector<float> low(map.elements(), -1.0f), high(map.elements(), 1.0f);
  const Bitplane bits = random_bits();
  Tensor tokens(map);
  const Meter meter;
  for (auto _ : state) {
    expand_into(bits, low, high, tokens);
    benchmark::ClobberMemory();
  }
  report_bytes(state, meter, 3 * tokens.span().size_bytes());
}

}  // namespace

BENCHMARK(attention_qcnet)->ArgName("width")->Arg(192)->Arg(384);
BENCHMARK(dequantized_tokens);
