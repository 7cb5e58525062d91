// Any bytes: an Error, or entropy models by which maps come back.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include <qcnet/split/entropy_models.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = qcnet::io::Safetensors::parse(std::as_bytes(std::span(data, size)));
  if (!file.ok()) return 0;
  const auto models = qcnet::EntropyModels::load(*file);
  if (!models.ok()) return 0;
  for (const auto& [name, model] : models->maps()) {
    qcnet::Bitplane map({1, 3, 4, model.channels()}), again(map.shape());
    for (std::size_t i = 0; i < map.shape().elements(); ++i)
      map.set(i / model.channels(), i % model.channels(), i * i % 7 < 3);
    std::vector<std::uint8_t> code(4 * map.bytes().size() + 64);
    qcnet::bits::RangeEncoder encoder(code);
    qcnet::encode_bits(map, &model, encoder);
    code.resize(encoder.finish());
    qcnet::bits::RangeDecoder decoder(code);
    qcnet::decode_bits(decoder, &model, again);
    if (!decoder.finish() || !std::ranges::equal(map.bytes(), again.bytes())) std::abort();
  }
  return 0;
}
