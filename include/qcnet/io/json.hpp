// A strict JSON reader for as much of JSON as file headers and our own records need.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <qcnet/core/result.hpp>

namespace qcnet::inline QCNET_ABI::io {

/// True if `text` is well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
inline bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) continue;
    const std::size_t more = lead >= 0xC2 && lead < 0xE0   ? 1
                             : lead >= 0xE0 && lead < 0xF0 ? 2
                             : lead >= 0xF0 && lead < 0xF5 ? 3
                                                           : 0;
    if (more == 0 || text.size() - i < more) return false;
    std::uint32_t code = lead & (0x3Fu >> more);
    for (std::size_t k = 0; k < more; ++k) {
      const auto next = static_cast<unsigned char>(text[i++]);
      if ((next & 0xC0) != 0x80) return false;
      code = code << 6 | (next & 0x3Fu);
    }
    const bool overlong = (more == 2 && code < 0x800) || (more == 3 && code < 0x10000);
    if (overlong || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) return false;
  }
  return true;
}

/// Walks over a JSON text from start to end. The caller says what must come next, so nesting in a hostile
/// text is an error, never recursion. The text must be UTF-8 (`is_utf8`). Errors name the byte and `what` it
/// is of.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text, std::string_view what = "header") : text_(text), what_(what) {}

  /// An object: `member(std::string&& key)` reads each value and returns Result<void>. Duplicate keys are
  /// left for `member` to refuse, since it keeps the keys anyway.
  template <class Member>
  Result<void> object(const Member& member) {
    QCNET_CHECK(expect('{'));
    if (accept('}')) return {};
    do {
      QCNET_TRY(std::string key, string());
      QCNET_CHECK(expect(':'));
      QCNET_CHECK(member(std::move(key)));
    } while (accept(','));
    return expect('}');
  }

  /// An array: `element()` reads each element and returns Result<void>.
  template <class Element>
  Result<void> array(const Element& element) {
    QCNET_CHECK(expect('['));
    if (accept(']')) return {};
    do {
      QCNET_CHECK(element());
    } while (accept(','));
    return expect(']');
  }

  /// A string, its escapes resolved.
  Result<std::string> string() {
    QCNET_CHECK(expect('"'));
    std::string value;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return value;
      if (static_cast<unsigned char>(c) < 0x20) return fail("control character in a string");
      if (c == '\\') {
        QCNET_CHECK(escape(value));
      } else {
        value += c;
      }
    }
    return fail("a string that does not end");
  }

  /// A whole number from 0 to 2^64 - 1, without sign, fraction, exponent or leading zero.
  Result<std::uint64_t> integer() {
    skip_space();
    const std::size_t start = at_;
    std::uint64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const auto digit = static_cast<std::uint64_t>(text_[at_] - '0');
      if (value > (std::numeric_limits<std::uint64_t>::max() - digit) / 10)
        return fail("a number above 2^64 - 1");
      value = value * 10 + digit;
    }
    const bool leading_zero = at_ - start > 1 && text_[start] == '0';
    const bool goes_on =
        at_ < text_.size() && std::string_view(".eE").find(text_[at_]) != std::string_view::npos;
    if (at_ == start || leading_zero || goes_on) return fail("not a non-negative whole number");
    return value;
  }

  /// Any finite number within a double's range, not 1e-400; spellings pass that JSON does not know, "01" and
  /// "1.".
  Result<double> number() {
    skip_space();
    const char *const first = text_.data() + at_, *const last = text_.data() + text_.size();
    double value = 0;
    const auto [next, status] = std::from_chars(first, last, value);
    if (status != std::errc{} || !std::isfinite(value)) return fail("not a finite number");
    at_ += static_cast<std::size_t>(next - first);
    return value;
  }

  /// Passes over a value that nobody asks for. Of objects and arrays only strings and the order of brackets
  /// are looked at.
  Result<void> skip() {
    std::string open;  // the brackets to be closed, not the call stack: a hostile text may nest deeply
    do {
      skip_space();
      const char c = at_ < text_.size() ? text_[at_] : '\0';
      if (c == '"') {
        QCNET_CHECK(string());
      } else if (c == '{' || c == '[') {
        open += c == '{' ? '}' : ']';
        ++at_;
      } else if (!open.empty() && (c == open.back() || c == ',' || c == ':')) {
        if (c == open.back()) open.pop_back();
        ++at_;
      } else {
        const std::size_t start = at_;
        at_ = std::min(text_.find_first_of(" \t\r\n,:\"{}[]", at_), text_.size());
        if (at_ == start) return fail("not a value");
      }
    } while (!open.empty());
    return {};
  }

  /// What has not been read yet.
  std::string_view rest() const { return text_.substr(at_); }

 private:
  Error fail(const std::string& what) const {
    return Error(what + " at byte " + std::to_string(at_) + " of the " + std::string(what_));
  }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }

  bool accept(char wanted) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  Result<void> expect(char wanted) {
    if (accept(wanted)) return {};
    return fail(std::string("expected '") + wanted + "'");
  }

  Result<std::uint32_t> hex4() {
    std::uint32_t code = 0;
    for (int i = 0; i < 4; ++i) {
      constexpr std::string_view digits = "0123456789abcdef0123456789ABCDEF";
      const std::size_t digit = at_ < text_.size() ? digits.find(text_[at_]) : std::string_view::npos;
      if (digit == std::string_view::npos) return fail("a \\u escape without four hex digits");
      code = code << 4 | static_cast<std::uint32_t>(digit % 16);
      ++at_;
    }
    return code;
  }

  Result<void> escape(std::string& value) {
    constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    const char letter = at_ < text_.size() ? text_[at_++] : '\0';
    if (const std::size_t i = letters.find(letter); i != std::string_view::npos) {
      value += meanings[i];
      return {};
    }
    if (letter != 'u') return fail("unknown escape");
    QCNET_TRY(std::uint32_t code, hex4());
    if (code >= 0xD800 && code < 0xDC00 && rest().substr(0, 2) == "\\u") {
      at_ += 2;
      QCNET_TRY(const std::uint32_t low, hex4());
      if (low < 0xDC00 || low >= 0xE000) return fail("half a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (code >= 0xD800 && code < 0xE000) return fail("half a surrogate pair");
    const std::uint32_t more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    constexpr std::uint32_t leads[] = {0x00, 0xC0, 0xE0, 0xF0};
    value += static_cast<char>(leads[more] | code >> (6 * more));
    for (std::uint32_t k = more; k-- > 0;) value += static_cast<char>(0x80 | (code >> (6 * k) & 0x3F));
    return {};
  }

  std::string_view text_, what_;
  std::size_t at_ = 0;
};

}  // namespace qcnet::inline QCNET_ABI::io
