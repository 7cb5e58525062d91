#include <string_view>
#include <vector>

#include <qcnet/core/crc32c.hpp>

#include <doctest/doctest.h>

using qcnet::crc32c;

namespace {
std::vector<std::byte> ramp(std::size_t size, int first, int step) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<std::byte>(first + static_cast<int>(i) * step);
  return bytes;
}
}  // namespace

TEST_CASE("crc32c: known values") {
  const std::string_view digits = "123456789";
  CHECK(crc32c(std::as_bytes(std::span(digits))) == 0xE3069283u);
  CHECK(crc32c({}) == 0u);
  // RFC 3720, B.4
  CHECK(crc32c(ramp(32, 0, 0)) == 0x8A9136AAu);
  CHECK(crc32c(ramp(32, 0xFF, 0)) == 0x62A8AB43u);
  CHECK(crc32c(ramp(32, 0, 1)) == 0x46DD794Eu);
  CHECK(crc32c(ramp(32, 31, -1)) == 0x113FDB5Cu);
  auto scsi_read = ramp(48, 0, 0);
  const std::pair<std::size_t, int> set[] = {{0, 0x01},  {1, 0xC0},  {16, 0x14}, {22, 0x04},
                                             {27, 0x14}, {31, 0x18}, {32, 0x28}, {40, 0x02}};
  for (const auto& [at, value] : set) scsi_read[at] = static_cast<std::byte>(value);
  CHECK(crc32c(scsi_read) == 0xD9963A56u);
}

TEST_CASE("crc32c: equals the bitwise definition for every length and start, and in pieces") {
  const auto bytes = ramp(80, 17, 29);
  for (std::size_t start = 0; start < 9; ++start)
    for (std::size_t size = 0; start + size <= bytes.size(); ++size) {
      const auto part = std::span(bytes).subspan(start, size);
      std::uint32_t expected = 0xFFFFFFFFu;
      for (const std::byte byte : part) {
        expected ^= std::to_integer<std::uint32_t>(byte);
        for (int bit = 0; bit < 8; ++bit)
          expected = (expected >> 1) ^ ((expected & 1) != 0 ? 0x82F63B78u : 0u);
      }
      REQUIRE(crc32c(part) == ~expected);
      REQUIRE(crc32c(part.subspan(size / 3), crc32c(part.first(size / 3))) == ~expected);
    }
}
