// Numbers in metadata: "0.485 0.456 0.406".
#pragma once

#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI::io {

/// Numbers separated by single spaces; nothing if the text is anything else, or one is NaN, infinite or out
/// of range.
template <class Number>
std::optional<std::vector<Number>> parse_numbers(std::string_view text) {
  std::vector<Number> found;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    Number number{};
    const auto [next, status] = std::from_chars(at, end, number);
    if (status != std::errc{} || (next != end && (*next != ' ' || next + 1 == end))) return std::nullopt;
    if constexpr (std::is_floating_point_v<Number>)
      if (!std::isfinite(number)) return std::nullopt;
    found.push_back(number);
    at = next == end ? end : next + 1;
  }
  return found;
}

/// The same of one number alone.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  const auto found = parse_numbers<Number>(text);
  return found && found->size() == 1 ? std::optional(found->front()) : std::nullopt;
}

}  // namespace qcnet::inline QCNET_ABI::io
