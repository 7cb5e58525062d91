// Darknet's `.weights`: numbers without names or shapes, layer behind layer.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <qcnet/core/endian.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/io/mapped_file.hpp>

namespace qcnet::inline QCNET_ABI::io {

/// A convolution as the network's cfg has it, which is all that tells where its numbers are.
struct DarknetConv {
  std::size_t channels, filters, kernel;
  bool batch_norm;

  /// Numbers that the file holds of it.
  std::uint64_t floats() const {
    return filters * ((batch_norm ? 4 : 1) + std::uint64_t{channels} * kernel * kernel);
  }
};

/// What a file holds of a convolution, in the file's order; scale, mean and variance are the batch
/// normalization's, and empty without one.
struct DarknetConvWeights {
  Tensor bias, scale, mean, variance;  // [filters]
  Tensor weights;                      // [filters, channels, kernel, kernel]
};

/// A `.weights` file. Its header is major, minor and revision of the version as int32, then the number of
/// pictures it was trained on, in 8 bytes from version 0.2 on and in 4 before; behind it are float32.
/// Everything is little-endian. Nothing in it says which network it is for: only its size can disagree.
class DarknetWeights {
 public:
  /// Maps the file; its pages are read when they are needed.
  static Result<DarknetWeights> open(const std::string& path) {
    QCNET_TRY(MappedFile mapped, MappedFile::open(path));
    Result<DarknetWeights> file = parse(mapped.bytes());
    if (!file.ok()) return file.error().in(path);
    file->file_ = std::move(mapped);
    return file;
  }

  /// Not the bytes of a vector that nobody keeps.
  template <class Owner>
  requires(std::is_same_v<Owner, std::vector<std::byte>>) static Result<DarknetWeights> parse(Owner&&) =
      delete;
  /// Reads borrowed bytes, which must outlive the object.
  static Result<DarknetWeights> parse(std::span<const std::byte> bytes) {
    const Error too_few(std::to_string(bytes.size()) + " bytes are too few for a Darknet weights file");
    if (bytes.size() < 16) return too_few;
    const auto major = load_le<std::int32_t>(bytes.data()), minor = load_le<std::int32_t>(bytes.data() + 4);
    // Darknet's own bound; above it the file is another's, or of a time before convolutions looked like this.
    if (major < 0 || minor < 0 || major >= 1000 || minor >= 1000)
      return Error("Darknet has no version " + std::to_string(major) + "." + std::to_string(minor) +
                   ": this is not a weights file of it");
    DarknetWeights file;
    file.header_bytes_ = major * 10 + minor >= 2 ? 20 : 16;
    if (bytes.size() < file.header_bytes_) return too_few;
    file.seen_ = file.header_bytes_ == 20 ? load_le<std::uint64_t>(bytes.data() + 12)
                                          : load_le<std::uint32_t>(bytes.data() + 12);
    file.bytes_ = bytes;
    return file;
  }

  /// Bytes of the whole file and of its header.
  std::size_t bytes() const { return bytes_.size(); }
  std::size_t header_bytes() const { return header_bytes_; }
  /// Pictures that the network was trained on.
  std::uint64_t seen() const { return seen_; }

  /// An Error unless the file holds exactly this many numbers: any other file would be read as nonsense.
  Result<void> check_size(std::uint64_t floats) const {
    const std::uint64_t expected = header_bytes_ + floats * sizeof(float);
    if (bytes() == expected) return {};
    const bool longer = bytes() > expected;
    return Error("the file has " + std::to_string(bytes()) + " bytes, the network's weights take " +
                 std::to_string(expected) + ": it is " +
                 std::to_string(longer ? bytes() - expected : expected - bytes()) + " bytes too " +
                 (longer ? "long" : "short"));
  }

  /// The convolution behind the first `skip` numbers. Error: it ends behind the file, which was truncated
  /// since `open`, or holds NaN or infinity.
  Result<DarknetConvWeights> convolution(std::uint64_t skip, const DarknetConv& conv) const {
    if (file_) QCNET_CHECK(file_->check_size());
    const std::size_t floats = (bytes() - header_bytes_) / sizeof(float);
    if (skip > floats || conv.floats() > floats - skip)
      return Error("the file ends at number " + std::to_string(floats) + ", the convolution at " +
                   std::to_string(skip + conv.floats()));
    std::span<const std::byte> rest =
        bytes_.subspan(header_bytes_ + static_cast<std::size_t>(skip) * sizeof(float));
    bool finite = true;
    const auto take = [&](const Shape& shape) {
      Tensor tensor(shape);
      std::copy_n(rest.data(), tensor.span().size_bytes(), std::as_writable_bytes(tensor.span()).data());
      rest = rest.subspan(tensor.span().size_bytes());
      for (const float x : tensor.span()) finite = finite && std::isfinite(x);
      return tensor;
    };
    DarknetConvWeights found;
    found.bias = take({conv.filters});
    if (conv.batch_norm) {
      found.scale = take({conv.filters});
      found.mean = take({conv.filters});
      found.variance = take({conv.filters});
    }
    found.weights = take({conv.filters, conv.channels, conv.kernel, conv.kernel});
    if (!finite) return Error("holds NaN or infinity, a weight must be finite");
    return found;
  }

 private:
  DarknetWeights() = default;

  std::optional<MappedFile> file_;
  std::span<const std::byte> bytes_;
  std::size_t header_bytes_ = 0;
  std::uint64_t seen_ = 0;
};

}  // namespace qcnet::inline QCNET_ABI::io
