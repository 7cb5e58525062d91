// One call of a kernel, or several: neon_instructions.sh counts what each executes under qemu.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <qcnet/bits/binary_conv.hpp>
#include <qcnet/bits/expand.hpp>
#include <qcnet/bits/lookup_conv.hpp>
#include <qcnet/bits/pack.hpp>
#include <qcnet/kernels/attention.hpp>
#include <qcnet/kernels/depthwise.hpp>
#include <qcnet/kernels/gelu.hpp>
#include <qcnet/kernels/linear.hpp>

namespace {

using namespace qcnet;

Tensor values(const Shape& shape) {
  Tensor tensor(shape);
  for (std::size_t i = 0; i < tensor.span().size(); ++i)
    tensor[i] = static_cast<float>(i * 7919 % 251) / 125.0f - 1.0f;
  return tensor;
}

/// A kernel, and what it does in all: multiply-adds, or elements where there are none.
struct Kernel {
  std::size_t work;
  std::function<void()> run;
};

Kernel linear() {
  const auto weights = kernels::pack_linear(values({64, 128}), std::vector<float>(64)).value();
  return {48 * 128 * 64,
          [=, x = values({48, 128}), y = Tensor({48, 64})]() mutable { kernels::linear(weights, x, y); }};
}
Kernel convolution(kernels::ConvAlgorithm algorithm) {
  const auto packed =
      kernels::PackedConv2d::make(values({32, 3, 3, 32}), {}, ConvGeometry::square(3, 1, 1), algorithm)
          .value();
  const Shape shape{1, 16, 16, 32};
  std::vector<float> scratch(kernels::scratch_floats(packed, shape));
  return {256 * 9 * 32 * 32, [=, x = values(shape), y = Tensor(shape)]() mutable {
            kernels::conv2d(packed, x, y, kernels::Activation::relu, {}, scratch);
          }};
}
Kernel depthwise() {
  const auto packed =
      kernels::PackedDepthwise::make(values({32, 7, 7, 1}), {}, ConvGeometry::square(7, 1, 3)).value();
  const Shape shape{1, 14, 14, 32};
  return {196 * 49 * 32,
          [=, x = values(shape), y = Tensor(shape)]() mutable { kernels::depthwise_conv2d(packed, x, y); }};
}
Kernel attention() {
  return {2 * 65 * 65 * 128,
          [x = values({1, 65, 384}), y = Tensor({1, 65, 128})]() mutable { kernels::attention(x, 4, y); }};
}
Kernel gelu() {
  return {4096, [x = values({4096}), y = Tensor({4096})]() mutable { kernels::gelu(x, y); }};
}
Kernel binarize_map() {
  const Shape shape{1, 16, 16, 64};
  return {16384, [x = values(shape), bits = Bitplane(shape), thresholds = std::vector<float>(64)]() mutable {
            binarize_into(x, thresholds, bits);
          }};
}
Kernel expand_map() {
  const Shape shape{1, 16, 16, 64};
  return {16384, [bits = binarize(values(shape), std::vector<float>(64)), low = std::vector<float>(64),
                  high = std::vector<float>(64, 1.0f),
                  y = Tensor(shape)]() mutable { expand_into(bits, low, high, y); }};
}
Kernel lookup() {
  const auto conv = LookupConv2d::make(values({32, 1, 1, 64}), {}, ConvGeometry::square(1), true).value();
  const Bitplane bits = binarize(values({1, 16, 16, 64}), std::vector<float>(64));
  return {256 * 64 * 32, [=, y = Tensor({1, 16, 16, 32})]() mutable { conv.forward_into(bits, y); }};
}
Kernel popcount() {
  Tensor signs = values({64, 3, 3, 64});
  for (float& w : signs.span()) w = w > 0 ? 1.0f : -1.0f;
  const auto conv =
      bits::PackedBinaryConv2d::make(signs, ConvGeometry::square(3, 1, 1), bits::BinaryPadding::zero).value();
  const Bitplane bits = binarize(values({1, 8, 8, 64}), std::vector<float>(64));
  return {64 * 9 * 64 * 64, [=, scale = std::vector<float>(64, 0.1f), bias = std::vector<float>(64),
                             y = Tensor({1, 8, 8, 64})]() mutable {
            conv.forward_into(bits, {scale, bias}, y);
          }};
}

const std::map<std::string, std::function<Kernel()>> all = {
    {"linear 128 -> 64, 48 rows", linear},
    {"convolution 3x3 32 -> 32, 16x16", [] { return convolution(kernels::ConvAlgorithm::direct); }},
    {"convolution, by Winograd's algorithm",
     [] { return convolution(kernels::ConvAlgorithm::winograd_4x4); }},
    {"depthwise 7x7, 32 channels, 14x14", depthwise},
    {"attention, 65 tokens, 4 heads of 32", attention},
    {"GELU, 4096", gelu},
    {"binarize 16x16x64", binarize_map},
    {"expand 16x16x64", expand_map},
    {"bit-input convolution 1x1 64 -> 32, 16x16", lookup},
    {"popcount convolution 3x3 64 -> 64, 8x8", popcount}};

}  // namespace

/// neon_instructions NAME CALLS; without arguments prints the names and how much each does.
int main(int argc, char** argv) {
  if (argc != 3) {
    for (const auto& [name, make] : all) std::printf("%zu\t%s\n", make().work, name.c_str());
    return 0;
  }
  const Kernel kernel = all.at(argv[1])();
  for (int i = 0; i < std::atoi(argv[2]); ++i) kernel.run();
}
