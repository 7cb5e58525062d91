#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include <qcnet/bits/range_coder.hpp>

#include <doctest/doctest.h>
#include <support.hpp>

using namespace qcnet;
using Bytes = std::vector<std::uint8_t>;

namespace {

struct Coded {
  std::vector<bool> bits;
  std::vector<std::uint32_t> probabilities;  // of a one

  Bytes code(std::size_t room = 1 << 16) const {
    Bytes bytes(room);
    bits::RangeEncoder encoder(bytes);
    for (std::size_t i = 0; i < bits.size(); ++i) REQUIRE(encoder.code(bits[i], probabilities[i]) == bits[i]);
    bytes.resize(encoder.finish());
    return bytes;
  }
};

/// Bits that come as they are said to, and every seventh with a probability at the end of the range.
Coded random_sequence(std::size_t size, std::uint32_t seed) {
  std::mt19937 engine(seed);
  Coded sequence;
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint32_t p = i % 7 != 0             ? 1 + static_cast<std::uint32_t>(engine()) % 65535
                            : (engine() & 1u) != 0 ? 1
                                                   : 65535;
    sequence.probabilities.push_back(p);
    sequence.bits.push_back((engine() & 0xFFFF) < p);
  }
  return sequence;
}

}  // namespace

TEST_CASE("range_coder: what was coded is what is read, and bits have no other code") {
  for (std::size_t size = 0; size < 200; ++size) {
    const Coded sequence = random_sequence(size, static_cast<std::uint32_t>(size));
    const Bytes code = sequence.code();
    bits::RangeDecoder decoder(code);
    for (std::size_t i = 0; i < size; ++i)
      REQUIRE(decoder.code(false, sequence.probabilities[i]) == sequence.bits[i]);
    REQUIRE(decoder.finish());

    // Any other bytes are refused, or are the code of other bits.
    const auto check = [&](const Bytes& bytes) {
      bits::RangeDecoder other(bytes);
      Coded read{{}, sequence.probabilities};
      for (std::size_t i = 0; i < size; ++i) read.bits.push_back(other.code(false, read.probabilities[i]));
      REQUIRE(other.finish() == (read.code() == bytes));
    };
    for (std::size_t bit = 0; bit < code.size() * 8; ++bit) {
      Bytes flipped = code;
      flipped[bit / 8] = static_cast<std::uint8_t>(flipped[bit / 8] ^ 1 << bit % 8);
      check(flipped);
    }
    for (std::size_t length = 0; length < code.size(); ++length)
      check(Bytes(code.begin(), code.begin() + static_cast<std::ptrdiff_t>(length)));
    for (const unsigned more : {0x00u, 0x01u, 0xFFu}) {
      Bytes longer = code;
      longer.push_back(static_cast<std::uint8_t>(more));
      check(longer);
    }
    check(Bytes(code.size(), 0xFF));
    check(Bytes(code.size(), 0x00));
  }
}

TEST_CASE("range_coder: the code is as long as the bits are unlikely") {
  const Coded sequence = random_sequence(100'000, 1);
  double information = 0;
  for (std::size_t i = 0; i < sequence.bits.size(); ++i) {
    const double p = sequence.probabilities[i] / 65536.0;
    information -= std::log2(sequence.bits[i] ? p : 1 - p);
  }
  const double size = 8.0 * static_cast<double>(sequence.code().size());
  CHECK(size > information);
  CHECK(size < 1.001 * information + 16);
}

TEST_CASE("range_coder: an interval around the middle, where no byte is certain for long") {
  // Each half of the interval in turn: its ends stay 0x7F... and 0x80... .
  for (std::size_t size = 1; size < 100; ++size) {
    Coded sequence;
    for (std::size_t i = 0; i < size; ++i) {
      sequence.bits.push_back(i != 0);
      sequence.probabilities.push_back(i == 0 ? 32768 : 1);
    }
    const Bytes code = sequence.code();
    bits::RangeDecoder decoder(code);
    for (std::size_t i = 0; i < size; ++i)
      REQUIRE(decoder.code(false, sequence.probabilities[i]) == sequence.bits[i]);
    REQUIRE(decoder.finish());
  }
}

TEST_CASE("range_coder: a code that is too long is counted, and nothing is written behind the end") {
  const Coded sequence = random_sequence(1000, 3);
  const Bytes whole = sequence.code();
  Bytes memory(whole.size(), 0xA5);
  for (std::size_t room = 0; room < whole.size(); ++room) {
    std::ranges::fill(memory, std::uint8_t{0xA5});
    bits::RangeEncoder encoder(std::span<std::uint8_t>(memory).first(room));
    for (std::size_t i = 0; i < sequence.bits.size(); ++i)
      encoder.code(sequence.bits[i], sequence.probabilities[i]);
    REQUIRE(encoder.finish() == whole.size());
    REQUIRE(std::equal(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(room), memory.begin()));
    for (std::size_t i = room; i < memory.size(); ++i) REQUIRE(memory[i] == 0xA5);
  }
}

TEST_CASE("range_coder: zeros up to the least size belong to a code, others do not") {
  const Coded sequence = random_sequence(40, 4);
  const Bytes code = sequence.code();
  const auto accepts = [&](const Bytes& bytes, std::size_t least) {
    bits::RangeDecoder decoder(bytes);
    for (const std::uint32_t p : sequence.probabilities) decoder.code(false, p);
    return decoder.finish(least);
  };
  Bytes padded = code;
  padded.resize(code.size() + 3);
  CHECK(accepts(code, code.size()));
  CHECK(accepts(padded, padded.size()));
  CHECK_FALSE(accepts(padded, padded.size() - 1));
  CHECK_FALSE(accepts(padded, padded.size() + 1));
  CHECK_FALSE(accepts(code, code.size() + 1));
  padded.back() = 1;
  CHECK_FALSE(accepts(padded, padded.size()));
}
