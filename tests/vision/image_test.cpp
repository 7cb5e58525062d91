#include <vector>

#include <qcnet/vision/image.hpp>

#include <doctest/doctest.h>

using qcnet::vision::Image;
using qcnet::vision::ImageView;

TEST_CASE("An image that contradicts itself is refused") {
  CHECK(check(Image{2, 3, 3, std::vector<std::uint8_t>(18)}).ok());
  CHECK(check(Image{}).error().message() == "the image [0, 0, 0] has no pixels");
  CHECK(
      check(Image{2, 3, 4, std::vector<std::uint8_t>(24)}).error().message() ==
      "the image [2, 3, 4] has neither 1 channel (gray) nor 3 (RGB); convert_pixels_into() drops the fourth");
  CHECK(check(Image{2, 3, 3, std::vector<std::uint8_t>(17)}).error().message() ==
        "the image [2, 3, 3] needs 18 bytes, found 17");
  CHECK(check(Image{2, 3, 3, std::vector<std::uint8_t>(24)}).error().message() ==
        "the image [2, 3, 3] needs 18 bytes, found 24; rows that are apart need a stride");
  CHECK_FALSE(check(Image{SIZE_MAX, SIZE_MAX, 3, {}}).ok());
}

TEST_CASE("Rows that are apart must be in the buffer") {
  const std::vector<std::uint8_t> bytes(100);
  const auto of = [&](std::size_t height, std::size_t size, std::size_t stride) {
    return check(ImageView{height, 3, 3, {bytes.data(), size}, stride});
  };
  CHECK(of(4, 39, 10).ok());   // the last row needs no gap behind it
  CHECK(of(4, 100, 10).ok());  // there may be more
  CHECK(of(4, 36, 9).ok());
  CHECK(of(1, 9, SIZE_MAX).ok());
  CHECK(of(4, 38, 10).error().message() ==
        "the image [4, 3, 3] with rows 10 bytes apart is larger than its 38 bytes");
  CHECK_FALSE(of(1, 8, 10).ok());
  CHECK_FALSE(of(3, 100, SIZE_MAX / 2 + 5).ok());
  CHECK(of(4, 100, 8).error().message() == "the image [4, 3, 3] with rows 8 bytes apart: a row has 9");
}

TEST_CASE("Channels are converted as PIL does") {
  const std::uint8_t rgba[] = {255, 0, 0, 9, 0, 255, 0, 9, 0, 0, 255, 9, 255, 255, 255, 9};
  std::uint8_t gray[4], rgb[12];
  qcnet::vision::convert_pixels_into(rgba, 4, 4, 1, gray);
  CHECK(std::vector<int>(gray, gray + 4) == std::vector<int>{76, 150, 29, 255});
  qcnet::vision::convert_pixels_into(rgba, 4, 4, 3, rgb);
  CHECK(std::vector<int>(rgb, rgb + 6) == std::vector<int>{255, 0, 0, 0, 255, 0});
  qcnet::vision::convert_pixels_into(gray, 2, 2, 3, rgb);
  CHECK(std::vector<int>(rgb, rgb + 6) == std::vector<int>{76, 76, 76, 29, 29, 29});
}
