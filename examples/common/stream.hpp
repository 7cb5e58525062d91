// Frames on a byte stream, a pipe or a file: each is preceded by its length in bytes, u32 little-endian.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <istream>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/core/endian.hpp>
#include <qcnet/core/result.hpp>

namespace examples {

/// Writes one message and flushes it, so that the reader can begin at once. Error: the stream cannot be
/// written.
inline qcnet::Result<void> write_message(std::ostream& stream, std::span<const std::byte> bytes) {
  char length[4];
  qcnet::store_le(length, static_cast<std::uint32_t>(bytes.size()));
  stream.write(length, sizeof length);
  stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!stream.flush())
    return qcnet::Error("frames cannot be written: the reader has gone or the disk is full");
  return {};
}

/// The next message; nothing at the end of the stream. Error: the stream cannot be read, ends within a
/// message, or announces one of no byte or of more than `longest`, behind which no next message can be found.
/// Memory grows with what comes, not with what is announced.
inline qcnet::Result<std::optional<std::vector<std::byte>>> read_message(std::istream& stream,
                                                                         std::size_t longest) {
  char length[4];
  stream.read(length, sizeof length);
  const qcnet::Error unreadable("the stream cannot be read");
  if (stream.bad()) return unreadable;
  if (stream.gcount() == 0) return std::optional<std::vector<std::byte>>();
  const qcnet::Error cut_off("the stream ends within a frame; was its sender stopped?");
  if (stream.gcount() != sizeof length) return cut_off;
  const std::size_t size = qcnet::load_le<std::uint32_t>(length);
  if (size == 0 || size > longest)
    return qcnet::Error("the next frame claims " + std::to_string(size) + " bytes; at least 1 and at most " +
                        std::to_string(longest) + " are allowed; is this a stream of frames?");
  std::vector<std::byte> bytes;
  while (bytes.size() < size) {
    const std::size_t at = bytes.size(), part = std::min(size - at, std::max<std::size_t>(at, 1 << 16));
    bytes.resize(at + part);
    stream.read(reinterpret_cast<char*>(bytes.data()) + at, static_cast<std::streamsize>(part));
    if (stream.bad()) return unreadable;
    if (static_cast<std::size_t>(stream.gcount()) != part) return cut_off;
  }
  return std::optional(std::move(bytes));
}

}  // namespace examples
