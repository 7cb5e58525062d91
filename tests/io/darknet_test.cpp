#include "files.hpp"
#include "support.hpp"

#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include <qcnet/io/darknet.hpp>

using qcnet::Shape;
using qcnet::io::DarknetConv;
using qcnet::io::DarknetWeights;
using qcnet::test::contains;

namespace {

template <class T>
std::string raw(const std::vector<T>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T)};
}

std::string header(std::int32_t major, std::int32_t minor) {
  const std::string version = raw<std::int32_t>({major, minor, 5});
  return version + (major * 10 + minor >= 2 ? raw<std::uint64_t>({1ull << 40}) : raw<std::uint32_t>({77}));
}

std::vector<float> counted(std::uint64_t count) {
  std::vector<float> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0.0f);
  return numbers;
}

std::string error_of(const std::string& bytes) {
  const auto file = DarknetWeights::parse(as_bytes(bytes));
  return file.ok() ? "no error" : file.error().message();
}

}  // namespace

TEST_CASE("darknet: both headers, and a convolution's numbers in the file's order") {
  const DarknetConv with{2, 3, 3, true}, without{3, 4, 1, false};
  CHECK(with.floats() == 3 * 4 + 3 * 2 * 9);
  CHECK(without.floats() == 4 + 4 * 3);
  for (const auto& [major, minor, size] : {std::tuple{0, 1, 16}, {0, 2, 20}, {1, 0, 20}, {0, 12, 20}}) {
    const std::string bytes = header(major, minor) + raw(counted(with.floats() + without.floats()));
    const DarknetWeights file = DarknetWeights::parse(as_bytes(bytes)).value();
    CHECK(file.header_bytes() == static_cast<std::size_t>(size));
    CHECK(file.seen() == (size == 20 ? 1ull << 40 : 77));
    CHECK(file.check_size(with.floats() + without.floats()).ok());

    const auto first = file.convolution(0, with).value();
    CHECK(first.bias[2] == 2.0f);
    CHECK(first.scale[0] == 3.0f);
    CHECK(first.mean[0] == 6.0f);
    CHECK(first.variance[2] == 11.0f);
    CHECK(first.weights.shape() == Shape{3, 2, 3, 3});
    CHECK(first.weights[0] == 12.0f);
    const auto second = file.convolution(with.floats(), without).value();
    CHECK(second.bias[0] == 66.0f);
    CHECK(second.scale.span().empty());
    CHECK(second.weights[11] == 81.0f);
  }
}

TEST_CASE("darknet: a file on disk") {
  const DarknetConv conv{1, 2, 1, false};
  const TemporaryFile stored("darknet", header(0, 2) + raw(counted(4)));
  const DarknetWeights file = DarknetWeights::open(stored.path).value();
  CHECK(file.convolution(0, conv).value().weights[1] == 3.0f);
  std::filesystem::resize_file(stored.path, 30);
  CHECK(contains(file.convolution(0, conv).error().message(), "was cut from 36 to 30 bytes"));
  CHECK(contains(DarknetWeights::open(stored.path + "x").error().message(), "cannot be opened"));
  const TemporaryFile text("darknet_text", "not a weights file, but long enough");
  CHECK(contains(DarknetWeights::open(text.path).error().message(), text.path + ": Darknet has no version"));
}

TEST_CASE("darknet: files of another size or kind are refused") {
  const std::string bytes = header(0, 2) + raw(counted(10));
  const auto said = [](const std::string& content, std::size_t floats) {
    return DarknetWeights::parse(as_bytes(content)).value().check_size(floats).error().message();
  };
  CHECK(said(bytes, 11) == "the file has 60 bytes, the network's weights take 64: it is 4 bytes too short");
  CHECK(said(bytes, 9) == "the file has 60 bytes, the network's weights take 56: it is 4 bytes too long");
  CHECK(said(bytes + "x", 10) ==
        "the file has 61 bytes, the network's weights take 60: it is 1 bytes too long");
  CHECK(said(header(0, 2), 1) ==
        "the file has 20 bytes, the network's weights take 24: it is 4 bytes too short");

  for (std::size_t size = 0; size < 20; ++size)
    CHECK(error_of(bytes.substr(0, size)) ==
          std::to_string(size) + " bytes are too few for a Darknet weights file");
  CHECK(error_of(header(0, 1)) == "no error");
  CHECK(error_of(header(1000, 0)) == "Darknet has no version 1000.0: this is not a weights file of it");
  CHECK(error_of(raw<std::int32_t>({0, -1, 0, 0, 0})) ==
        "Darknet has no version 0.-1: this is not a weights file of it");

  // Without a check of the size, what lies behind the file is still not read.
  const DarknetWeights file = DarknetWeights::parse(as_bytes(bytes)).value();
  CHECK(file.convolution(0, {1, 6, 1, false}).error().message() ==
        "the file ends at number 10, the convolution at 12");
  CHECK_FALSE(file.convolution(11, {1, 1, 1, false}).ok());
  std::string nan = bytes;
  const float bad = NAN;
  std::memcpy(nan.data() + 20 + 4 * 3, &bad, sizeof bad);
  const DarknetWeights holed = DarknetWeights::parse(as_bytes(nan)).value();
  CHECK(holed.convolution(0, {1, 2, 1, false}).error().message() ==
        "holds NaN or infinity, a weight must be finite");
}
