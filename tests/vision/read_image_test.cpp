#include "files.hpp"
#include "vision/golden.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>

#include <qcnet/vision/read_image.hpp>

#include <doctest/doctest.h>

using qcnet::vision::decode_image;
using qcnet::vision::ImageLimits;
using qcnet::vision::read_image;

static const std::string corpus = QCNET_TEST_DATA "/corpus/image/";

TEST_CASE("Good pictures decode to what PIL decodes") {
  GoldenFile golden("pictures.bin");
  int pictures = 0;
  for (; !golden.at_end(); ++pictures) {
    const std::string name(golden.read<char>(32).data());
    CAPTURE(name);
    const std::size_t height = golden.size(), width = golden.size();
    const auto expected = golden.read<std::uint8_t>(height * width * 3);
    const auto image = read_image(corpus + "good/" + name).value();
    CHECK(image.height == height);
    CHECK(image.width == width);
    REQUIRE(image.pixels.size() == expected.size());
    int largest = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
      largest = std::max(largest, std::abs(image.pixels[i] - expected[i]));
    // stb_image and libjpeg round the cosine transform and the chroma interpolation differently.
    CHECK(largest <= (name.ends_with(".jpg") ? 4 : 0));

    const auto gray = read_image(corpus + "good/" + name, 1).value();
    REQUIRE(gray.pixels.size() == height * width);
    for (std::size_t i = 0; i < gray.pixels.size(); ++i)
      if (gray.pixels[i] != qcnet::vision::luma(&image.pixels[3 * i])) FAIL_CHECK("pixel " << i);
  }
  CHECK(pictures == 20);
}

TEST_CASE("Each bad picture gives a sentence that says why") {
  const std::pair<const char*, const char*> cases[] = {
      {"empty.png", "the file is empty"},
      {"text.jpg", "not a JPEG, PNG or BMP"},
      {"gif.png", "not a JPEG, PNG or BMP"},
      {"psd.png", "not a JPEG, PNG or BMP"},
      {"hdr.png", "not a JPEG, PNG or BMP"},
      {"tga.bmp", "not a JPEG, PNG or BMP"},
      {"pnm.png", "not a JPEG, PNG or BMP"},
      {"magic_only.jpg", "ends too early"},
      {"magic_only.png", "ends too early"},
      {"magic_only.bmp", "ends too early"},
      {"truncated.jpg", "ends too early"},
      {"truncated_in_header.jpg", "ends too early"},
      {"without_end.jpg", "ends too early"},
      {"truncated_progressive.jpg", "ends too early"},
      {"many_codes.jpg", "Huffman table has more than 256 codes"},
      {"codes_past_segment.jpg", "Huffman table has more than 256 codes"},
      {"truncated.png", "ends too early"},
      {"truncated.bmp", "ends too early"},
      {"huge.jpg", "too large: 65535 x 65535"},
      {"huge.png", "header is corrupt, or of an unsupported kind or size"},
      {"huge.bmp", "too large: 2147483647 x 2147483647"},
      {"wide.png", "too large: 20000 x 1"},
      {"many_pixels.png", "too large: 16384 x 16384"},
      {"most_negative.bmp", "too large: 11 x -2147483648"},
      {"negative_width.bmp", "too large: -11 x 9"},
      {"zero.jpg", "header is corrupt, or of"},
      {"zero.png", "header is corrupt, or of"},
      {"zero.bmp", "no pixels: 0 x 9"},
      {"few_rows.png", "not enough pixels"},
      {"bomb.png", "(stb_image: outofmem)"},
      {"huge_chunk.png", "ends too early"},
      {"bad_color.png", "header is corrupt, or of"},
      {"rle.bmp", "header is corrupt, or of"},
  };
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(corpus + "bad")) ++files;
  CHECK(files == std::size(cases));
  for (const auto& [name, reason] : cases) {
    const std::string path = corpus + "bad/" + name;
    const auto image = read_image(path);
    CAPTURE(path);
    REQUIRE_FALSE(image.ok());
    CHECK(image.error().message().starts_with(path + ": "));
    CHECK_MESSAGE(image.error().message().find(reason) != std::string::npos, image.error().message());
  }
}

TEST_CASE("Files that cannot be read, and limits") {
  CHECK(read_image("no/such.jpg").error().message() ==
        "no/such.jpg: cannot be opened: No such file or directory");
  CHECK(read_image(corpus).error().message().find("cannot be read") != std::string::npos);
  const std::string path = corpus + "good/rgb.png";  // 45 x 37
  CHECK_FALSE(read_image(path, 2).ok());
  CHECK_FALSE(read_image(path, 3, ImageLimits{.max_width = 44}).ok());
  CHECK_FALSE(read_image(path, 3, ImageLimits{.max_height = 36}).ok());
  CHECK_FALSE(read_image(path, 3, ImageLimits{.max_pixels = 45 * 37 - 1}).ok());
  CHECK_FALSE(read_image(path, 3, ImageLimits{.max_file_bytes = 100}).ok());
  CHECK(read_image(path, 3, ImageLimits{45, 37, 45 * 37, 4000}).ok());
}

TEST_CASE("A JPEG of scans without end is refused, for each is a pass over all pixels") {
  const std::string bytes = read_file(corpus + "good/progressive.jpg");
  const std::string again("\xFF\xDA\x00\x08\x01\x01\x00\x00\x3F\x00", 10);
  const auto with = [&](std::size_t scans) {
    std::string more = bytes.substr(0, bytes.size() - 2);  // before the end of the image
    for (std::size_t i = 0; i < scans; ++i) more += again;
    return decode_image(as_bytes(more + "\xFF\xD9"));
  };
  CHECK(decode_image(as_bytes(bytes)).ok());
  CHECK(with(65).error().message() ==
        "the picture has more than 64 scans, the most that are read; save it again as a baseline JPEG");
  CHECK_FALSE(with(40).error().message().starts_with("the picture has more than 64 scans"));
}

TEST_CASE("No cut of a picture crashes or passes for the whole") {
  for (const char* name : {"420.jpg", "progressive.jpg", "palette.png", "16_bit.png", "rgb.bmp"}) {
    CAPTURE(name);
    const std::string bytes = read_file(corpus + "good/" + name);
    std::size_t accepted = 0;
    for (std::size_t n = 0; n < bytes.size(); ++n)
      accepted += decode_image(as_bytes(std::string(bytes, 0, n))).ok();  // a copy, for the address sanitizer
    // What stands behind the last pixel: the check sum of a PNG's end, the padding of a BMP's last row.
    CHECK(accepted <= 8);
  }
}

TEST_CASE("A chunk's name is no command to a terminal") {
  std::string png = read_file(corpus + "good/rgb.png");
  png.insert(33, std::string("\0\0\0\0\x1b"
                             "cAA\0\0\0\0",
                             12));  // behind IHDR, and critical
  const std::string said = decode_image(as_bytes(png)).error().message();
  CHECK(said.find("chunk \"?cAA\" is of no PNG that is read here") != std::string::npos);
  CHECK(said.find('\x1b') == std::string::npos);
}

// A PNG's chunk, its check sum 0.
static std::string chunk(const std::string& name, const std::string& data) {
  std::string length(4, '\0');
  for (std::size_t i = 0; i < 4; ++i) length[i] = static_cast<char>(data.size() >> (24 - 8 * i) & 0xFF);
  return length + name + data + std::string(4, '\0');
}

TEST_CASE("Colors that a palette lacks are black") {
  const auto number = [](std::size_t x, std::size_t bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(x >> 8 * i & 0xFF);
    return text;
  };
  const auto pixels = [](const std::string& picture) {
    const auto image = decode_image(as_bytes(picture));
    REQUIRE_MESSAGE(image.ok(), image.error().message());
    return image->pixels;
  };
  using Pixels = std::vector<std::uint8_t>;
  const std::string gray = "\x11\x11\x11", blue("\x00\x00\xFF", 3);
  SUBCASE("PNG") {
    // One row of three pixels, 0, 1 and 200, stored as it is (of zlib and deflate the headers, and no sum).
    const std::string row("\x00\x00\x01\xC8", 4);
    const std::string data = std::string("\x78\x01\x01\x04\x00\xFB\xFF", 7) + row + std::string(4, '\0');
    const auto png = [&](const std::string& palette) {
      return "\x89PNG\r\n\x1A\n" +
             chunk("IHDR", std::string("\x00\x00\x00\x03\x00\x00\x00\x01\x08\x03\x00\x00\x00", 13)) +
             chunk("PLTE", palette) + chunk("IDAT", data) + chunk("IEND", "");
    };
    CHECK(pixels(png(gray + blue)) == Pixels{0x11, 0x11, 0x11, 0, 0, 0xFF, 0, 0, 0});
    const std::string once = png(gray), palette = chunk("PLTE", gray);
    CHECK(decode_image(as_bytes(once.substr(0, 33) + palette + once.substr(33))).error().message() ==
          "the picture is corrupt: it has more than one palette");
    std::string whole = gray + blue + std::string(254 * 3, '\x22');
    CHECK(pixels(png(whole)) == Pixels{0x11, 0x11, 0x11, 0, 0, 0xFF, 0x22, 0x22, 0x22});
  }
  SUBCASE("BMP, of Windows and of OS/2") {
    for (const std::size_t colors : {2u, 16u, 253u, 256u, 300u})
      for (const std::size_t header : {40u, 12u}) {
        CAPTURE(colors);
        CAPTURE(header);
        const std::size_t bytes = header == 12 ? 3 : 4, side = header == 12 ? 2 : 4;
        std::string bmp = "BM" + number(0, 8) + number(14 + header + colors * bytes, 4) + number(header, 4) +
                          number(3, side) + number(1, side) + number(1, 2) + number(8, 2);
        bmp.resize(14 + header);
        for (std::size_t i = 0; i < colors; ++i) {  // blue, green, red
          const char shade = static_cast<char>(i);
          bmp += std::string{shade, 0, static_cast<char>(255 - shade)} + std::string(bytes - 3, '\0');
        }
        bmp += std::string("\x01\xC8\xFE\x00", 4);  // 1, 200 and 254, padded to four bytes
        Pixels expected;
        for (const std::size_t i : {1u, 200u, 254u})
          for (const std::size_t channel : {255 - i, std::size_t{0}, i})
            expected.push_back(static_cast<std::uint8_t>(i < colors ? channel : 0));
        CHECK(pixels(bmp) == expected);
      }
  }
}

TEST_CASE("What only another thread or format would have said") {
  std::string bmp = read_file(corpus + "good/gray.bmp");
  bmp[10] = 20, bmp[11] = 0;
  CHECK(decode_image(as_bytes(bmp)).error().message() ==
        "the picture is corrupt: its pixels begin within its header");
  std::string jpeg = read_file(corpus + "good/420.jpg");
  const std::size_t tables = jpeg.find("\xFF\xC4");
  REQUIRE(tables != std::string::npos);
  jpeg[tables + 3] = static_cast<char>(jpeg[tables + 3] - 1);  // the segment's length
  CHECK(decode_image(as_bytes(jpeg)).error().message() ==
        "the picture is corrupt, truncated or of an unsupported kind");
}
