// A picture from anywhere, through decoding and preprocessing: an Error or a tensor, nothing else.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <qcnet/vision/preprocess.hpp>
#include <qcnet/vision/read_image.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Small limits: the fuzzer looks for wrong turns, not for long ones.
  const qcnet::vision::ImageLimits limits{512, 512, 1 << 14};
  const auto image = qcnet::vision::decode_image(std::as_bytes(std::span(data, size)), 3, limits);
  if (!image.ok()) return 0;
  const qcnet::vision::Preprocess preprocess{12, 10, 11, {0.5f}, {0.25f}};
  if (!preprocess(*image).ok()) std::abort();
  return 0;
}
