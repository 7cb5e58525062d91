// Any bytes: an Error, or a .weights file whose convolutions lie within the bytes and are finite.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <qcnet/io/darknet.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = qcnet::io::DarknetWeights::parse(std::as_bytes(std::span(data, size)));
  if (!file.ok()) return 0;
  // The file's own first numbers say what is asked of it: mostly a little, sometimes too much.
  const std::size_t skip = data[0], channels = data[4], filters = data[8], kernel = data[12] % 8u;
  for (const bool batch_norm : {false, true}) {
    const qcnet::io::DarknetConv conv{channels, filters, kernel, batch_norm};
    const auto found = file->convolution(skip, conv);
    if (!found.ok()) continue;
    const std::size_t norm = batch_norm ? filters : 0, weights = filters * channels * kernel * kernel;
    if (found->weights.span().size() != weights || found->scale.span().size() != norm) std::abort();
    if (file->header_bytes() + (skip + conv.floats()) * sizeof(float) > size) std::abort();
    for (const float x : found->weights.span())
      if (!std::isfinite(x)) std::abort();
  }
  return 0;
}
