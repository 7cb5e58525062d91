// A map, its code, and the map again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <qcnet/bits/entropy_model.hpp>

#include <doctest/doctest.h>

namespace qcnet::test {

/// A map's code, by a model or by what is learned on the way.
inline std::vector<std::uint8_t> code_of(ConstBitplaneView map, const bits::EntropyModel* model = nullptr) {
  std::vector<std::uint8_t> code(2 * map.size_bytes() + 64);
  bits::RangeEncoder encoder(code);
  encode_bits(map, model, encoder);
  code.resize(encoder.finish());
  return code;
}

/// Requires that `code` gives `map`, whatever was in its memory, and writes nothing outside it.
inline void require_decodes(std::span<const std::uint8_t> code, ConstBitplaneView map,
                            const bits::EntropyModel* model = nullptr) {
  const std::size_t size = map.size_bytes(), guard = 64;
  std::vector<std::uint8_t> memory(size + 2 * guard, 0xA5);
  bits::RangeDecoder decoder(code);
  decode_bits(decoder, model, BitplaneView(memory.data() + guard, map.shape));
  REQUIRE(decoder.finish());
  REQUIRE(std::equal(map.bytes().begin(), map.bytes().end(), memory.begin() + guard));
  for (std::size_t i = 0; i < guard; ++i) {
    REQUIRE(memory[i] == 0xA5);
    REQUIRE(memory[guard + size + i] == 0xA5);
  }
}

}  // namespace qcnet::test
