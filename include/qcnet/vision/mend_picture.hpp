// What stb_image takes from a picture's bytes but should not: refused, or made whole, before it decodes them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qcnet/core/endian.hpp>
#include <qcnet/core/result.hpp>
#include <qcnet/io/printable.hpp>

namespace qcnet::inline QCNET_ABI::vision::detail {

inline const char* const picture_ends_early = "the picture is truncated or corrupt: its data ends too early";

inline bool starts_with(std::span<const std::byte> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

// Bytes of a picture that go to stb_image in the place of those of the file; none where these are fine.
using Mended = std::vector<std::byte>;

inline void append(Mended& to, std::span<const std::byte> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

// Refuses two things in a JPEG. Huffman tables of more than 256 codes: before 2.28 (Debian 12 has 2.27)
// stb_image writes them past the end of its arrays. Scans without end: each of ten bytes costs it a pass over
// all pixels; progressive encoders write a dozen. The walk visits every segment that stb_image can reach: it
// looks for markers in the same way, and stb_image gives up at segments that do not keep to their length.
inline Result<void> check_jpeg(std::span<const std::byte> jpeg) {
  constexpr std::size_t most_scans = 64;
  const auto byte = [&](std::size_t i) { return std::to_integer<std::size_t>(jpeg[i]); };
  std::size_t at = 0, scans = 0;
  while (at + 4 <= jpeg.size()) {
    const std::size_t marker = byte(at + 1);
    // No marker, a fill byte, or a marker without a segment: escaped data (0), restarts and start of image.
    if (byte(at) != 0xFF || marker == 0xFF || marker <= 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
      at += byte(at) == 0xFF && marker != 0xFF ? 2 : 1;
      continue;
    }
    if (marker == 0xD9) break;  // end of image
    if (marker == 0xDA && ++scans > most_scans)
      return Error("the picture has more than " + std::to_string(most_scans) +
                   " scans, the most that are read; save it again as a baseline JPEG");
    const std::size_t end = std::min(at + 2 + byte(at + 2) * 256 + byte(at + 3), jpeg.size());
    if (marker == 0xC4)
      for (std::size_t table = at + 4; table < end;) {  // the last one may reach past the segment
        std::size_t codes = 0;
        for (std::size_t i = table + 1; i < std::min(table + 17, jpeg.size()); ++i) codes += byte(i);
        if (codes > 256) return Error("the picture is corrupt: a Huffman table has more than 256 codes");
        table += 17 + codes;
      }
    at = std::max(end, at + 4);
  }
  return {};
}

// Refuses critical chunks that stb_image does not know, for it keeps their names in a buffer that all threads
// share, and chunks beyond the end, behind some of which it reads on. Gives a palette all of its 256 colors,
// those that it lacks black as libpng's: pixels may name them, and stb_image then shows bytes of the stack.
inline Result<Mended> mend_png(std::span<const std::byte> png) {
  constexpr std::size_t signature = 8, whole = 768;  // of 256 colors
  Mended mended;
  std::size_t copied = 0;
  bool has_palette = false;
  for (std::size_t at = signature; at + 8 <= png.size();) {
    const auto name = png.subspan(at + 4, 4);
    std::size_t length = 0;
    for (const std::byte digit : png.subspan(at, 4))
      length = length << 8 | std::to_integer<std::size_t>(digit);
    const auto is = [&](std::string_view known) { return std::memcmp(name.data(), known.data(), 4) == 0; };
    if (is("IEND")) break;
    const bool critical = (name[0] & std::byte{0x20}) == std::byte{0};
    if (critical && !is("IHDR") && !is("PLTE") && !is("IDAT") && !is("CgBI"))
      return Error("the picture's chunk \"" +
                   io::detail::printable({reinterpret_cast<const char*>(name.data()), 4}) +
                   "\" is of no PNG that is read here; save it again");
    if (length > png.size() - at - 8) return Error(picture_ends_early);
    const std::size_t end = at + 8 + length;
    if (is("PLTE") && std::exchange(has_palette, true))  // each might become 65 times as long
      return Error("the picture is corrupt: it has more than one palette");
    if (is("PLTE") && length < whole && length % 3 == 0) {
      append(mended, png.subspan(copied, at - copied));
      for (const unsigned digit : {0u, 0u, unsigned{whole >> 8}, unsigned{whole & 0xFF}})
        mended.push_back(std::byte(digit));
      append(mended, png.subspan(at + 4, 4 + length));
      mended.resize(mended.size() + whole - length);  // stb_image does not look at the check sum behind it
      copied = end;
    }
    at = std::min(end + 4, png.size());
  }
  if (copied != 0) append(mended, png.subspan(copied));
  return mended;
}

// Gives a palette all of its 256 colors, as above, where the file has another number of them than pixels of
// so many bits can name. Of OS/2's bitmaps, whose header has 12 bytes, stb_image takes four colors too few.
inline Result<Mended> mend_bmp(std::span<const std::byte> bmp) {
  constexpr std::size_t file_header = 14, least = file_header + 16;
  if (bmp.size() < least) return Mended{};
  const std::size_t offset = load_le<std::uint32_t>(&bmp[10]), header = load_le<std::uint32_t>(&bmp[14]);
  const bool os2 = header == 12;
  const unsigned bits = load_le<std::uint16_t>(&bmp[os2 ? 24 : 28]);
  if (offset < file_header || offset - file_header < header)
    return Error("the picture is corrupt: its pixels begin within its header");
  const std::size_t begin = file_header + header, color = os2 ? 3 : 4, whole = 256 * color;
  const std::size_t given = (offset - begin) / color;
  if (offset > bmp.size() || bits > 8 || (!os2 && given >= (std::size_t{1} << bits) && given <= 256))
    return Mended{};
  const std::size_t uncounted = os2 ? 12 : 0;  // it takes the header for 24 bytes long when it counts colors
  Mended mended(bmp.begin(),
                bmp.begin() + static_cast<std::ptrdiff_t>(begin + std::min(given * color, whole)));
  mended.resize(begin + whole + uncounted);
  store_le(&mended[10], static_cast<std::uint32_t>(mended.size()));
  append(mended, bmp.subspan(offset));
  return mended;
}

// The same for any of the three formats.
inline Result<Mended> mend(std::span<const std::byte> picture) {
  if (starts_with(picture, "BM")) return mend_bmp(picture);
  if (starts_with(picture, "\x89PNG")) return mend_png(picture);
  QCNET_CHECK(check_jpeg(picture));
  return Mended{};
}

}  // namespace qcnet::inline QCNET_ABI::vision::detail
