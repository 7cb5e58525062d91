// Any bytes: an Error, or a frame that making it anew from its parts gives byte for byte; and its bits come
// back from the other form, coded or not.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include <qcnet/split/frame.hpp>

#include <split/documented_model.hpp>

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

/// Of the maps that the corpus has such frames of.
const qcnet::EntropyModels& models() {
  static const auto made =
      qcnet::test::loaded(qcnet::test::documented_model({{"layer2", 9}, {"images", 12}, {"class", 20}}));
  return made;
}

template <class Coding>
qcnet::Frame remade(const qcnet::Frame& frame, const Coding& coding) {
  std::vector<qcnet::MapSpec> maps;
  for (std::size_t i = 0; i < frame.map_count(); ++i) maps.push_back({frame.name(i), frame.shape(i)});
  auto again = qcnet::Frame::make(frame.model_hash(), maps, coding).value();
  for (std::size_t i = 0; i < maps.size(); ++i)
    std::ranges::copy(frame.bits(i).bytes(), again.bits(i).bytes().begin());
  again.seal(frame.sequence(), frame.picture());
  return again;
}

void check(std::span<const std::byte> bytes) {
  const auto frame = qcnet::Frame::parse(bytes, {.models = &models()});
  if (!frame.ok()) return;
  if (frame->modeled()) return require(std::ranges::equal(bytes, remade(*frame, models()).bytes()));
  const auto plain = remade(*frame, qcnet::Coding::none), coded = remade(*frame, qcnet::Coding::context);
  require(std::ranges::equal(bytes, (frame->coded() ? coded : plain).bytes()));
  const auto other = qcnet::Frame::parse((frame->coded() ? plain : coded).bytes()).value();
  for (std::size_t i = 0; i < frame->map_count(); ++i)
    require(std::ranges::equal(frame->bits(i).bytes(), other.bits(i).bytes()));
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
