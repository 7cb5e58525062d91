// Reads the files of tests/golden/make_image.py.
#pragma once

#include "files.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <qcnet/vision/image.hpp>

class GoldenFile {
 public:
  explicit GoldenFile(const std::string& name) : bytes_(read_file(QCNET_TEST_DATA "/golden/" + name)) {}
  bool at_end() const { return position_ == bytes_.size(); }
  std::size_t size() { return read<std::uint32_t>(1)[0]; }
  template <class T>
  std::vector<T> read(std::size_t count) {
    std::vector<T> values(count);
    if (count * sizeof(T) > bytes_.size() - position_) std::abort();
    std::memcpy(values.data(), bytes_.data() + position_, count * sizeof(T));
    position_ += count * sizeof(T);
    return values;
  }

 private:
  std::string bytes_;
  std::size_t position_ = 0;
};

/// The picture that `noise` of make_image.py makes.
inline qcnet::vision::Image noise(std::size_t height, std::size_t width, std::size_t channels) {
  qcnet::vision::Image image{height, width, channels, std::vector<std::uint8_t>(height * width * channels)};
  auto state = static_cast<std::uint32_t>(height * 65536 + width * 16 + channels);
  for (std::uint8_t& value : image.pixels) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<std::uint8_t>(state >> 24);
  }
  return image;
}
