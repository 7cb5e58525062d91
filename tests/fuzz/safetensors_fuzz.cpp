// Any bytes: an Error, or a file whose every tensor can be read and lies within the bytes.
#include <cstdint>
#include <cstdlib>
#include <span>

#include <qcnet/io/safetensors.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = qcnet::io::Safetensors::parse(bytes);
  if (!file.ok()) return 0;
  std::size_t total = 0;
  for (const auto& [name, info] : file->tensors()) {
    total += info.data.size();
    if (info.data.size() != info.shape.elements() * qcnet::io::dtype_bytes(info.dtype)) std::abort();
    const auto tensor = file->tensor(name, info.shape);
    if (tensor.ok() && tensor->span().size() != info.shape.elements()) std::abort();
  }
  if (total > size) std::abort();
  return 0;
}
