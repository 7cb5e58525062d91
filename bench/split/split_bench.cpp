// ResNet50 whole and split: what quantizing costs the node and what the QCNet costs the server. Random
// weights.
#include "common.hpp"
#include "weights_file.hpp"

#include <string>
#include <vector>

#include <qcnet/bits/pack.hpp>
#include <qcnet/models/resnet.hpp>
#include <qcnet/split/conv_compensator.hpp>

using namespace qcnet;
using namespace qcnet::bench;

namespace {

using test::WeightsFile;

void add_conv(WeightsFile& file, const std::string& conv, const std::string& batch_norm, std::size_t cout,
              std::size_t cin, std::size_t kernel) {
  file.set(conv + ".weight", {cout, cin, kernel, kernel}, random_weights(cin * kernel * kernel));
  for (const char* name : {".weight", ".running_var"}) file.set(batch_norm + name, {cout}, {1.0f});
  for (const char* name : {".bias", ".running_mean"}) file.set(batch_norm + name, {cout}, {0.0f});
}

Network resnet50() {
  WeightsFile file;
  add_conv(file, "conv1", "bn1", 64, 3, 7);
  std::size_t channels = 64;
  const std::size_t depths[] = {3, 4, 6, 3};
  for (std::size_t stage = 0; stage < 4; ++stage)
    for (std::size_t b = 0; b < depths[stage]; ++b) {
      const std::string name = "layer" + std::to_string(stage + 1) + "." + std::to_string(b);
      const std::size_t width = std::size_t{64} << stage;
      add_conv(file, name + ".conv1", name + ".bn1", width, channels, 1);
      add_conv(file, name + ".conv2", name + ".bn2", width, width, 3);
      add_conv(file, name + ".conv3", name + ".bn3", 4 * width, width, 1);
      if (b == 0) add_conv(file, name + ".downsample.0", name + ".downsample.1", 4 * width, channels, 1);
      channels = 4 * width;
    }
  file.set("fc.weight", {1000, channels}, random_weights(channels));
  file.set("fc.bias", {1000});
  return file.with(models::resnet).value();
}

const Network& shared_resnet50() {
  static const Network network = resnet50();
  return network;
}

constexpr const char* cuts[] = {"maxpool", "layer1", "layer2", "layer3"};

struct Split {
  Executor head, tail;
  Tensor image, map;
  std::vector<float> thresholds;
  Bitplane bits;

  static Split at(const std::string& cut) {
    auto halves = shared_resnet50().partition_at(cut).value();
    Tensor image = random_tensor({1, 224, 224, 3});
    Executor head = Executor::make(halves.first, image.shape(), {.fast = false}).value();  // as a Node does
    Executor tail = Executor::make(halves.second, head.output_shape()).value();
    Tensor map(head.run(image));
    const std::vector<float> thresholds(map.shape().channels(), 0.5f);
    Bitplane bits = binarize(map, thresholds);
    auto padded = pad_thresholds(thresholds, thresholds.size());
    return {std::move(head), std::move(tail),   std::move(image),
            std::move(map),  std::move(padded), std::move(bits)};
  }
};

void whole(benchmark::State& state) {
  Executor network = Executor::make(shared_resnet50(), {1, 224, 224, 3}).value();
  const Tensor image = random_tensor({1, 224, 224, 3});
  const Meter meter;
  for (auto _ : state) benchmark::DoNotOptimize(network.run(image).data);
  report_flops(state, meter, network.multiply_adds());
}

void head(benchmark::State& state) {
  Split s = Split::at(cuts[state.range(0)]);
  state.SetLabel(cuts[state.range(0)]);
  for (auto _ : state) benchmark::DoNotOptimize(s.head.run(s.image).data);
}

void head_to_bits(benchmark::State& state) {
  Split s = Split::at(cuts[state.range(0)]);
  state.SetLabel(std::string(cuts[state.range(0)]) + (s.head.emits_bits() ? ", fused" : ", apart"));
  for (auto _ : state) {
    if (s.head.emits_bits())
      s.head.run_bits(s.image, s.thresholds, s.bits);
    else
      binarize_into(s.head.run(s.image), {s.thresholds.data(), s.map.shape().channels()}, s.bits);
    benchmark::ClobberMemory();
  }
}

void tail(benchmark::State& state) {
  Split s = Split::at(cuts[state.range(0)]);
  state.SetLabel(cuts[state.range(0)]);
  for (auto _ : state) benchmark::DoNotOptimize(s.tail.run(s.map).data);
}

/// Body width C / 4, one residual block: the default.
void qcnet_and_tail(benchmark::State& state) {
  Split s = Split::at(cuts[state.range(0)]);
  state.SetLabel(cuts[state.range(0)]);
  const std::size_t channels = s.map.shape().channels(), width = channels / 4;
  WeightsFile file;
  const std::string body = "qcnet.compensator.";
  add_conv(file, body + "input.conv", body + "input.bn", width, channels, 1);
  add_conv(file, body + "blocks.0.conv", body + "blocks.0.bn", width, width, 3);
  file.set(body + "output.weight", {channels, width, 1, 1}, random_weights(width));
  file.set(body + "output.bias", {channels});
  file.set(body + "scale", {channels}, {1.0f});
  file.set("qcnet.levels", {2, channels}, {1.0f});
  const auto compensator =
      file.with([&](const io::Safetensors& weights) {
            return ConvCompensator::load(weights, s.map.shape(), s.map.shape(), Activation::relu);
          })
          .value();
  for (auto _ : state) {
    compensator->reconstruct_into(s.bits, s.map);
    benchmark::DoNotOptimize(s.tail.run(s.map).data);
  }
  state.counters["MMAC_qcnet"] = static_cast<double>(compensator->multiply_adds()) * 1e-6;
  state.counters["MMAC_tail"] = static_cast<double>(s.tail.multiply_adds()) * 1e-6;
}

}  // namespace

BENCHMARK(whole)->Unit(benchmark::kMillisecond);
BENCHMARK(head)->DenseRange(0, 3)->Unit(benchmark::kMillisecond);
BENCHMARK(head_to_bits)->DenseRange(0, 3)->Unit(benchmark::kMillisecond);
BENCHMARK(tail)->DenseRange(0, 3)->Unit(benchmark::kMillisecond);
BENCHMARK(qcnet_and_tail)->DenseRange(0, 3)->Unit(benchmark::kMillisecond);
