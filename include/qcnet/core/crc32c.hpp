// CRC-32C (Castagnoli, RFC 3720), the checksum of a frame.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <qcnet/core/endian.hpp>

namespace qcnet::inline QCNET_ABI {

namespace detail {
/// Entry [k][b] is the CRC of byte b followed by k zero bytes, which lets eight bytes be looked up at once
/// ("slicing by 8": Kounavis & Berry, IEEE Trans. Computers 57(11), 2008).
inline constexpr auto crc32c_tables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0u);
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t shorter = tables[k - 1][byte];
      tables[k][byte] = (shorter >> 8) ^ tables[0][shorter & 0xFF];
    }
  return tables;
}();
}  // namespace detail

/// CRC-32C of `bytes`; to go on from an earlier piece, pass its result as `before`.
inline std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0) {
  const auto& table = detail::crc32c_tables;
  std::uint32_t crc = ~before;
  while (bytes.size() >= 8) {
    const std::uint32_t low = load_le<std::uint32_t>(bytes.data()) ^ crc;
    const std::uint32_t high = load_le<std::uint32_t>(bytes.data() + 4);
    crc = table[7][low & 0xFF] ^ table[6][low >> 8 & 0xFF] ^ table[5][low >> 16 & 0xFF] ^
          table[4][low >> 24] ^ table[3][high & 0xFF] ^ table[2][high >> 8 & 0xFF] ^
          table[1][high >> 16 & 0xFF] ^ table[0][high >> 24];
    bytes = bytes.subspan(8);
  }
  for (const std::byte byte : bytes)
    crc = (crc >> 8) ^ table[0][(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xFF];
  return ~crc;
}

}  // namespace qcnet::inline QCNET_ABI
