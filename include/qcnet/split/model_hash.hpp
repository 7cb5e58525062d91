// The number by which the files of a deployment and its frames know each other, as text.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI {

/// A deployment's or frame's hash as metadata says it, in sixteen hexadecimal digits.
inline std::string hash_text(std::uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

/// The inverse; nothing of any other text.
inline std::optional<std::uint64_t> parse_hash(std::string_view text) {
  std::uint64_t number = 0;
  const auto [next, status] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  if (text.size() != 16 || status != std::errc{} || next != text.data() + text.size()) return {};
  return number;
}

}  // namespace qcnet::inline QCNET_ABI
