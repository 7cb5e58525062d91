// Text in a JSON document.
#pragma once

#include <string>

namespace examples {

/// As a JSON string; control characters are left out.
inline std::string json_quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + '"';
}

}  // namespace examples
