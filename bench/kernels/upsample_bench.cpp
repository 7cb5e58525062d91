// Upsampling and joining, as between YOLOv3-Tiny's two detection maps, and the pixels of patches that a cut
// sends: bounded by memory.
#include "common.hpp"

#include <qcnet/kernels/concat.hpp>
#include <qcnet/kernels/depth_to_space.hpp>
#include <qcnet/kernels/upsample.hpp>

using namespace qcnet;
using namespace qcnet::bench;

namespace {

void upsample_by_2(benchmark::State& state) {
  const Tensor input = random_tensor({1, 13, 13, 128});
  Tensor output({1, 26, 26, 128});
  const Meter meter;
  for (auto _ : state) {
    kernels::upsample_by_2(input, output);
    benchmark::ClobberMemory();
  }
  report_bytes(state, meter, input.span().size_bytes() + output.span().size_bytes());
}

void concat_channels(benchmark::State& state) {
  const Tensor upsampled = random_tensor({1, 26, 26, 128}), skip = random_tensor({1, 26, 26, 256});
  const ConstTensorView inputs[] = {upsampled, skip};
  Tensor output({1, 26, 26, 384});
  const Meter meter;
  for (auto _ : state) {
    kernels::concat_channels(inputs, output);
    benchmark::ClobberMemory();
  }
  report_bytes(state, meter, 2 * output.span().size_bytes());
}

void depth_to_space(benchmark::State& state) {
  const Tensor input = random_tensor({1, 13, 13, 4 * 256});
  Tensor output({1, 26, 26, 256});
  const Meter meter;
  for (auto _ : state) {
    kernels::depth_to_space(2, input, output);
    benchmark::ClobberMemory();
  }
  report_bytes(state, meter, 2 * output.span().size_bytes());
}

}  // namespace

BENCHMARK(upsample_by_2);
BENCHMARK(depth_to_space);
BENCHMARK(concat_channels);
