// Codes recorded frames once more and prints what that takes: FILE, frames, bytes of bits and of code a
// frame, ms to code and to decode one, ns a bit for each. For compression.py, which compares with zlib and
// LZMA.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <qcnet/split/frame.hpp>

namespace {

using namespace qcnet;

/// Of this thread alone: a busy machine disturbs less.
double now_ms() {
  return 1e3 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Recoded {
  std::size_t frames = 0, bits = 0, raw = 0, code = 0;
  std::vector<double> encode_ms, decode_ms;

  /// Five times each: the clock counts microseconds.
  void add(const Frame& frame) {
    constexpr int times = 5;
    std::size_t size = 0;
    std::vector<Bitplane> read;
    for (std::size_t i = 0; i < frame.map_count(); ++i) {
      size += frame.bits(i).size_bytes();
      bits += frame.shape(i).elements();
      read.emplace_back(frame.shape(i));
    }
    std::vector<std::uint8_t> bytes(2 * size + 64);
    std::size_t coded = 0;
    double start = now_ms();
    for (int t = 0; t < times; ++t) {
      bits::RangeEncoder encoder(bytes);
      for (std::size_t i = 0; i < read.size(); ++i) encode_bits(frame.bits(i), encoder);
      coded = encoder.finish();
    }
    encode_ms.push_back((now_ms() - start) / times);
    start = now_ms();
    for (int t = 0; t < times; ++t) {
      bits::RangeDecoder decoder(std::span<const std::uint8_t>(bytes).first(coded));
      for (Bitplane& map : read) decode_bits(decoder, map);
    }
    decode_ms.push_back((now_ms() - start) / times);
    raw += size;
    code += std::min(coded, size);  // as it is sent
    ++frames;
  }
};

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::string stream((std::istreambuf_iterator<char>(file)), {});
    Recoded all;
    for (std::size_t at = 0; at + 4 <= stream.size();) {
      const std::size_t size = load_le<std::uint32_t>(stream.data() + at);
      const auto bytes = std::as_bytes(std::span(stream)).subspan(at + 4);
      const auto frame = Frame::parse(bytes.first(std::min(size, bytes.size())));
      if (!frame)
        return std::fprintf(stderr, "recode: %s: %s\n", argv[i], frame.error().message().c_str()), 1;
      all.add(*frame);
      at += 4 + size;
    }
    if (all.frames == 0) return std::fprintf(stderr, "recode: %s: there are no frames\n", argv[i]), 1;
    const double frames = static_cast<double>(all.frames), bits = static_cast<double>(all.bits) / frames;
    const double encode = median(all.encode_ms), decode = median(all.decode_ms);
    std::printf("%s\t%zu\t%.1f\t%.1f\t%.4f\t%.4f\t%.2f\t%.2f\n", argv[i], all.frames,
                static_cast<double>(all.raw) / frames, static_cast<double>(all.code) / frames, encode, decode,
                1e6 * encode / bits, 1e6 * decode / bits);
  }
}
