// A node whose weights are part of the program.
#include <cstddef>
#include <cstdio>
#include <span>

#include <qcnet/node.hpp>

namespace {
const unsigned char weights[] = {
#include "weights.inc"
};
}  // namespace

int main() {
  const auto file = qcnet::io::Safetensors::parse(std::as_bytes(std::span(weights))).value();
  qcnet::Node node = qcnet::Node::load(file).value();
  const qcnet::vision::Image gray{20, 30, 1, std::vector<std::uint8_t>(600, 128)};
  const qcnet::Frame frame = node.encode(gray).value();
  std::printf("%zu bytes\n", frame.bytes().size());
  return frame.bytes().empty() ? 1 : 0;
}
