// What an untrusted file says, fit for a message.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI::io::detail {

/// A name out of an untrusted file, fit for a message: no control characters, not endless, still UTF-8.
inline std::string printable(std::string_view name) {
  constexpr std::size_t longest = 200;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(name[i]); };
  std::size_t end = std::min(name.size(), longest);
  while (end > 0 && end < name.size() && (byte(end) & 0xC0u) == 0x80) --end;  // not within a character
  std::string text;
  for (std::size_t i = 0; i < end; ++i) {
    // U+0080 to U+009F control a terminal, too.
    const bool two_bytes = byte(i) == 0xC2 && i + 1 < end && (byte(i + 1) & 0xE0u) == 0x80;
    text += byte(i) < 0x20 || byte(i) == 0x7F || two_bytes ? '?' : name[i];
    if (two_bytes) ++i;
  }
  return end < name.size() ? text + "..." : text;
}

}  // namespace qcnet::inline QCNET_ABI::io::detail
