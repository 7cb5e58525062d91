// Any bytes: an Error, or a frame that making it anew from its parts gives byte for byte.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include <qcnet/split/frame.hpp>

namespace {

void check(std::span<const std::byte> bytes) {
  const auto frame = qcnet::Frame::parse(bytes);
  if (!frame.ok()) return;
  std::vector<qcnet::MapSpec> maps;
  for (std::size_t i = 0; i < frame->map_count(); ++i) maps.push_back({frame->name(i), frame->shape(i)});
  auto again = qcnet::Frame::make(frame->model_hash(), maps).value();
  for (std::size_t i = 0; i < maps.size(); ++i) {
    const auto bits = frame->bits(i).bytes();
    std::copy(bits.begin(), bits.end(), again.bits(i).bytes().begin());
  }
  again.seal(frame->sequence(), frame->picture());
  if (!std::equal(bytes.begin(), bytes.end(), again.bytes().begin(), again.bytes().end())) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check(std::as_bytes(std::span(data, size)));
  // The same with a checksum that fits, or the fuzzer would never see what lies behind that check.
  std::vector<std::uint8_t> sealed(data, data + size);
  if (size >= 4) {
    const auto body = std::as_bytes(std::span(sealed)).first(size - 4);
    qcnet::store_le(sealed.data() + body.size(), qcnet::crc32c(body));
    check(std::as_bytes(std::span(sealed)));
  }
  return 0;
}
