// Codes recorded frames once more and prints what that takes, for each FRAMES without and, if there is one
// beside it, with its FRAMES.entropy.safetensors: frames, bytes of bits and of code a frame, ms to code and
// to decode one, ns a bit for each. For compression.py, which compares with zlib and LZMA.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
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
  void add(const Frame& frame, const EntropyModels* models) {
    constexpr int times = 5;
    std::size_t size = 0;
    std::vector<Bitplane> read;
    std::vector<const bits::EntropyModel*> by;
    for (std::size_t i = 0; i < frame.map_count(); ++i) {
      size += frame.bits(i).size_bytes();
      bits += frame.shape(i).elements();
      read.emplace_back(frame.shape(i));
      by.push_back(models ? models->find(frame.name(i), frame.shape(i).channels()).value() : nullptr);
    }
    std::vector<std::uint8_t> bytes(2 * size + 64);
    std::size_t coded = 0;
    double start = now_ms();
    for (int t = 0; t < times; ++t) {
      bits::RangeEncoder encoder(bytes);
      for (std::size_t i = 0; i < read.size(); ++i) encode_bits(frame.bits(i), by[i], encoder);
      coded = encoder.finish();
    }
    encode_ms.push_back((now_ms() - start) / times);
    start = now_ms();
    for (int t = 0; t < times; ++t) {
      bits::RangeDecoder decoder(std::span<const std::uint8_t>(bytes).first(coded));
      for (std::size_t i = 0; i < read.size(); ++i) decode_bits(decoder, by[i], read[i]);
    }
    decode_ms.push_back((now_ms() - start) / times);
    raw += size;
    code += std::min(coded + (models ? 4 : 0), size);  // as it is sent
    ++frames;
  }

  void print(const char* name) const {
    const double count = static_cast<double>(frames), a_frame = static_cast<double>(bits) / count;
    const double encode = median(encode_ms), decode = median(decode_ms);
    std::printf("%s\t%zu\t%.1f\t%.1f\t%.4f\t%.4f\t%.2f\t%.2f\n", name, frames,
                static_cast<double>(raw) / count, static_cast<double>(code) / count, encode, decode,
                1e6 * encode / a_frame, 1e6 * decode / a_frame);
  }
};

int fail(const char* path, const Error& error) {
  return std::fprintf(stderr, "recode: %s: %s\n", path, error.message().c_str()), 1;
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::string stream((std::istreambuf_iterator<char>(file)), {});
    const auto beside = std::filesystem::path(argv[i]).replace_extension(".entropy.safetensors");
    std::optional<EntropyModels> models;
    if (std::filesystem::exists(beside)) {
      auto loaded = EntropyModels::load(beside);
      if (!loaded) return fail(argv[i], loaded.error());
      models = *std::move(loaded);
    }
    Recoded plain, modeled;
    for (std::size_t at = 0; at + 4 <= stream.size();) {
      const std::size_t size = load_le<std::uint32_t>(stream.data() + at);
      const auto bytes = std::as_bytes(std::span(stream)).subspan(at + 4);
      const auto frame = Frame::parse(bytes.first(std::min(size, bytes.size())));
      if (!frame) return fail(argv[i], frame.error());
      plain.add(*frame, nullptr);
      if (models && models->model_hash() != frame->model_hash())
        return fail(argv[i], Error("its entropy models are of another node"));
      if (models) modeled.add(*frame, &*models);
      at += 4 + size;
    }
    if (plain.frames == 0) return fail(argv[i], Error("there are no frames"));
    plain.print(argv[i]);
    if (models) modeled.print(argv[i]);
  }
}
