// ViT-B/16 and ConvNeXt-Tiny, whole, with random weights (ResNet50 is in split/, beside its halves).
#include "common.hpp"
#include "weights.hpp"

#include <string>
#include <vector>

#include <qcnet/layers/executor.hpp>
#include <qcnet/models/convnext.hpp>
#include <qcnet/models/vit.hpp>

using namespace qcnet;
using namespace qcnet::bench;

namespace {

Network vit_b_16() {
  constexpr std::size_t width = 768, hidden = 3072, tokens = 197;
  WeightsFile file;
  add_weights(file, "conv_proj", {width, 3, 16, 16});
  file.set("class_token", {1, 1, width}, {0.1f});
  file.set("encoder.pos_embedding", {1, tokens, width}, {0.1f, -0.1f});
  for (std::size_t i = 0; i < 12; ++i)
    add_encoder_block(file, "encoder.layers.encoder_layer_" + std::to_string(i), width, hidden);
  add_norm(file, "encoder.ln", width);
  add_weights(file, "heads.head", {1000, width});
  return file.with(models::vit).value();
}

Network convnext_tiny() {
  constexpr std::size_t depths[] = {3, 3, 9, 3};
  WeightsFile file;
  std::size_t width = 96;
  add_weights(file, "features.0.0", {width, 3, 4, 4});
  add_norm(file, "features.0.1", width);
  for (std::size_t stage = 0; stage < 4; ++stage) {
    if (stage > 0) {
      const std::string downsampling = "features." + std::to_string(2 * stage);
      add_norm(file, downsampling + ".0", width);
      add_weights(file, downsampling + ".1", {2 * width, width, 2, 2});
      width *= 2;
    }
    for (std::size_t b = 0; b < depths[stage]; ++b) {
      const std::string block = "features." + std::to_string(2 * stage + 1) + "." + std::to_string(b);
      add_weights(file, block + ".block.0", {width, 1, 7, 7});
      add_norm(file, block + ".block.2", width);
      add_weights(file, block + ".block.3", {4 * width, width});
      add_weights(file, block + ".block.5", {width, 4 * width});
      file.set(block + ".layer_scale", {width, 1, 1}, {0.1f});
    }
  }
  add_norm(file, "classifier.0", width);
  add_weights(file, "classifier.2", {1000, width});
  return file.with(models::convnext).value();
}

constexpr Arithmetic bf16{.bf16 = true};

template <class Make>
void whole(benchmark::State& state, const Make& make, const Arithmetic& arithmetic = {}) {
  auto planned = Executor::make(make(), {1, 224, 224, 3}, arithmetic);
  if (!planned) return state.SkipWithError(planned.error().message().c_str());
  Executor& network = *planned;
  const Tensor image = random_tensor({1, 224, 224, 3});
  const Meter meter;
  for (auto _ : state) benchmark::DoNotOptimize(network.run(image).data);
  report_flops(state, meter, network.multiply_adds());
}

}  // namespace

BENCHMARK_CAPTURE(whole, vit_b_16, vit_b_16)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(whole, vit_b_16_bf16, vit_b_16, bf16)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(whole, convnext_tiny, convnext_tiny)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(whole, convnext_tiny_bf16, convnext_tiny, bf16)->Unit(benchmark::kMillisecond);
