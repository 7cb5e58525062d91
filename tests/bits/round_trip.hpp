// A map, its code, and the map again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <qcnet/bits/entropy_model.hpp>

namespace qcnet::test {

/// A map's code, by a model or by what is learned on the way.
inline std::vector<std::uint8_t> code_of(ConstBitplaneView map, const bits::EntropyModel* model = nullptr) {
  std::vector<std::uint8_t> code(2 * map.size_bytes() + 64);
  bits::RangeEncoder encoder(code);
  encode_bits(map, model, encoder);
  code.resize(encoder.finish());
  return code;
}

/// Whether `code` gives `map`, whatever was in its memory, and nothing is written outside it.
inline bool decodes(std::span<const std::uint8_t> code, ConstBitplaneView map,
                    const bits::EntropyModel* model = nullptr) {
  const std::size_t size = map.size_bytes(), guard = 64;
  std::vector<std::uint8_t> memory(size + 2 * guard, 0xA5), expected = memory;
  std::copy_n(map.data, size, expected.begin() + guard);
  bits::RangeDecoder decoder(code);
  decode_bits(decoder, model, BitplaneView(memory.data() + guard, map.shape));
  return decoder.finish() && memory == expected;
}

}  // namespace qcnet::test
