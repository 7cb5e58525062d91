// What travels from node to server: bitplanes with their names and shapes, checksummed. Format:
// docs/frame.md.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/bits/context_coder.hpp>
#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/crc32c.hpp>
#include <qcnet/core/endian.hpp>
#include <qcnet/split/entropy_models.hpp>
#include <qcnet/split/map_spec.hpp>

namespace qcnet::inline QCNET_ABI {

/// Width and height in pixels of the picture that a frame was made from; both 0 if the frame does not say.
struct PictureSize {
  std::uint16_t width = 0, height = 0;

  bool operator==(const PictureSize&) const = default;
};

/// How a frame carries its bits: as they are, or in fewer bytes (bits/context_coder.hpp), which costs the
/// node some time. Frames of which coding would make no fewer are sent as they are. A reader need not be
/// told. Still fewer it takes by models that were trained for the maps (EntropyModels), which a reader needs,
/// too.
enum class Coding { none, context };

namespace detail {
inline Error from_another_model(std::uint64_t hash, std::uint64_t expected) {
  return Error("the frame comes from another model: its hash is " + hash_text(hash) + ", expected " +
               hash_text(expected));
}
}  // namespace detail

/// What a reader knows of a frame before.
struct ExpectedFrame {
  std::uint64_t longest = std::numeric_limits<std::uint64_t>::max();  ///< bytes of it uncoded
  std::optional<std::uint64_t> model_hash = {};
  const EntropyModels* models = nullptr;  ///< by which it may be coded
};

/// A frame that owns its bytes. A node makes one, then for every image writes the bits in place and seals it:
/// nothing is copied or allocated after `make`. A server gets it from `parse`. There is no frame of nothing:
/// what was moved away has no maps, and can only be assigned to.
class Frame {
 public:
  static constexpr std::uint16_t version = 2, coded_version = 3, modeled_version = 4;
  static constexpr std::size_t max_maps = 255;
  static constexpr std::uint64_t max_bytes = std::uint64_t{1} << 30;
  /// Bits take at most this many times the bytes of their code: who sends little must not cost a server much.
  static constexpr std::size_t max_ratio = 16;

  /// A frame for these maps, all bits zero, not sealed. Error: anything that the format cannot carry (no map,
  /// a rank other than 1 to 4, a zero dimension, a name twice, more than 1 GiB, ...).
  static Result<Frame> make(std::uint64_t model_hash, std::span<const MapSpec> maps,
                            Coding coding = Coding::none) {
    // Here only what would not fit its field on the wire; read_header judges the rest, as for any frame.
    if (maps.size() > max_maps) return Error("a frame cannot carry " + std::to_string(maps.size()) + " maps");
    Frame frame;
    frame.append(magic);
    frame.append(version);
    frame.append(static_cast<std::uint16_t>(maps.size()));
    frame.append(model_hash);
    frame.bytes_.resize(header_bytes);  // `seal` writes the rest
    for (const MapSpec& map : maps) QCNET_CHECK(map.append_to(frame.bytes_));
    QCNET_TRY(const std::size_t size, frame.read_header(std::as_bytes(std::span(frame.bytes_))));
    frame.bytes_.resize(size);
    if (coding == Coding::context) frame.coded_.resize(size);
    return frame;
  }

  /// One whose bits are coded by models. Error: they are not of these maps.
  static Result<Frame> make(std::uint64_t model_hash, std::span<const MapSpec> maps,
                            const EntropyModels& models) {
    QCNET_TRY(Frame frame, make(model_hash, maps, Coding::context));
    QCNET_CHECK(frame.take_models(models, model_hash));
    return frame;
  }

  /// Checks bytes that nobody vouches for and copies them. Accepts exactly what `make`, writing bits and
  /// `seal` can produce, if it is as expected; other bits are not decoded. Memory used is bounded by the size
  /// of the input, of which it is twice `max_ratio` times as much if the bits are coded.
  static Result<Frame> parse(std::span<const std::byte> bytes, const ExpectedFrame& expected = {}) {
    QCNET_TRY(const std::uint16_t found, open(bytes));
    const auto from = load_le<std::uint64_t>(bytes.data() + hash_at);
    if (from != expected.model_hash.value_or(from))
      return detail::from_another_model(from, *expected.model_hash);
    if (found == modeled_version && expected.models == nullptr)
      return Error(
          "the frame's bits are coded by an entropy model: to read them takes the file that its node was "
          "given (.entropy.safetensors)");
    const auto body = bytes.first(bytes.size() - checksum_bytes);
    Frame frame;
    QCNET_TRY(const std::size_t size, frame.read_header(body));
    if (size > expected.longest)
      return Error("the frame's header asks for " + std::to_string(size) + " bytes, at most " +
                   std::to_string(expected.longest) + " are allowed");
    const auto* first = reinterpret_cast<const std::uint8_t*>(bytes.data());
    if (found != version) {
      if (found == modeled_version) QCNET_CHECK(frame.take_models(*expected.models, from));
      QCNET_CHECK(frame.read_coded({first, body.size()}, size));
    } else if (size != bytes.size()) {
      return Error("the frame has " + std::to_string(bytes.size()) + " bytes, its header asks for " +
                   std::to_string(size));
    } else {
      frame.bytes_.assign(first, first + bytes.size());
    }
    QCNET_CHECK(frame.check_content());
    return frame;
  }

  std::uint64_t model_hash() const { return load_le<std::uint64_t>(bytes_.data() + hash_at); }
  std::uint64_t sequence() const { return load_le<std::uint64_t>(bytes_.data() + sequence_at); }
  /// What a detector's boxes are placed in.
  PictureSize picture() const {
    return {load_le<std::uint16_t>(bytes_.data() + picture_at),
            load_le<std::uint16_t>(bytes_.data() + picture_at + 2)};
  }

  std::size_t map_count() const { return maps_.size(); }
  const std::string& name(std::size_t map) const { return maps_[map].spec.name; }
  const Shape& shape(std::size_t map) const { return maps_[map].spec.shape; }

  /// The packed bits of a map, in place. After writing them the frame must be sealed.
  BitplaneView bits(std::size_t map) { return {bytes_.data() + maps_[map].bits_at, shape(map)}; }
  ConstBitplaneView bits(std::size_t map) const { return {bytes_.data() + maps_[map].bits_at, shape(map)}; }

  /// The packed bits of all maps, one after another; and the maps' names and shapes, as they travel.
  std::span<std::uint8_t> all_bits() { return std::span(bytes_).subspan(maps_.front().bits_at, bits_size()); }
  std::span<const std::uint8_t> all_bits() const {
    return std::span(bytes_).subspan(maps_.front().bits_at, bits_size());
  }
  std::span<const std::byte> description() const {
    return std::as_bytes(std::span(bytes_).first(maps_.front().bits_at).subspan(header_bytes));
  }

  /// Writes the sequence number, the picture's size and the checksum. Numbers must rise from frame to frame
  /// of a connection (ReplayGuard). Codes the bits if `make` was asked to. Allocates nothing. Raises what
  /// `parse` refuses: a picture with one side of 0 pixels, padding bits that are not zero.
  void seal(std::uint64_t sequence, PictureSize picture = {}) {
    store_le(bytes_.data() + sequence_at, sequence);
    store_le(bytes_.data() + picture_at, picture.width);
    store_le(bytes_.data() + picture_at + 2, picture.height);
    if (const auto content = check_content(); !content.ok()) raise(content.error());
    coded_size_ = coded_.empty() ? 0 : write_coded();
    if (coded_size_ == 0) write_checksum(bytes_);
  }

  /// Whether the bits are sent in coded form, and whether by models.
  bool coded() const { return coded_size_ != 0; }
  bool modeled() const { return coded() && models_; }

  /// The frame as it is sent.
  std::span<const std::byte> bytes() const {
    return std::as_bytes(coded() ? std::span(coded_).first(coded_size_) : std::span(bytes_));
  }

 private:
  static constexpr std::uint32_t magic = 0x464E4351;  // "QCNF"
  static constexpr std::size_t version_at = 4, hash_at = 8, sequence_at = 16, picture_at = 24,
                               header_bytes = 28, checksum_bytes = 4;

  struct Map {
    MapSpec spec;
    std::size_t bits_at = 0;
    const bits::EntropyModel* model = nullptr;  // one of models_
  };

  Frame() = default;

  template <class T>
  void append(T value) {
    bytes_.resize(bytes_.size() + sizeof(T));
    store_le(bytes_.data() + bytes_.size() - sizeof(T), value);
  }

  static void write_checksum(std::span<std::uint8_t> frame) {
    const auto body = frame.first(frame.size() - checksum_bytes);
    store_le(frame.data() + body.size(), crc32c(std::as_bytes(body)));
  }

  /// The version of bytes that begin as a frame does and have its checksum.
  static Result<std::uint16_t> open(std::span<const std::byte> bytes) {
    if (bytes.size() < header_bytes + checksum_bytes)
      return Error("a frame cannot have " + std::to_string(bytes.size()) + " bytes");
    if (load_le<std::uint32_t>(bytes.data()) != magic)
      return Error("this is not a frame: it does not begin with QCNF");
    const auto found = load_le<std::uint16_t>(bytes.data() + version_at);
    if (found < version || found > modeled_version)
      return Error("frame version " + std::to_string(found) +
                   " is not supported, this build reads versions " + std::to_string(version) + " to " +
                   std::to_string(modeled_version));
    const auto body = bytes.first(bytes.size() - checksum_bytes);
    if (crc32c(body) != load_le<std::uint32_t>(bytes.data() + body.size()))
      return Error("the frame's checksum is wrong: it was damaged or cut on the way, or never sealed");
    return found;
  }

  /// What a checksum cannot tell and no node writes.
  Result<void> check_content() const {
    if ((picture().width == 0) != (picture().height == 0))
      return Error("the frame's picture has a width or a height of 0 pixels, not both");
    for (std::size_t i = 0; i < map_count(); ++i)
      if (!padding_is_zero(bits(i)))
        return Error("map '" + name(i) + "' of the frame has padding bits that are not zero");
    return {};
  }

  /// Bytes of all maps' bits.
  std::size_t bits_size() const { return bytes_.size() - checksum_bytes - maps_.front().bits_at; }
  static constexpr std::size_t least_code(std::size_t bits) { return (bits + max_ratio - 1) / max_ratio; }

  /// Finds the model of each map.
  Result<void> take_models(const EntropyModels& models, std::uint64_t model_hash) {
    if (models.model_hash() != model_hash)
      return Error("the entropy models are of another deployment: their hash is " +
                   hash_text(models.model_hash()) + ", the frame's " + hash_text(model_hash));
    for (Map& map : maps_) {
      QCNET_TRY(map.model, models.find(map.spec.name, map.spec.shape.channels()));
    }
    models_ = models;
    return {};
  }

  /// What stands before the code of a frame coded by models: by which.
  std::size_t code_header() const { return models_ ? sizeof(std::uint32_t) : 0; }

  /// Writes the coded form beside the other one and returns its size, or 0 if it is not the shorter one.
  std::size_t write_coded() {
    const std::size_t header = maps_.front().bits_at, code_at = header + code_header(), raw = bits_size();
    const std::span<std::uint8_t> code =
        std::span(coded_).subspan(code_at, raw - std::min(raw, code_header()));
    bits::RangeEncoder encoder(code);
    for (std::size_t i = 0; i < maps_.size(); ++i) encode_bits(bits(i), maps_[i].model, encoder);
    const std::size_t written = encoder.finish(), size = std::max(written, least_code(raw));
    if (code_header() + size >= raw) return 0;
    std::ranges::fill(code.first(size).subspan(written), std::uint8_t{0});
    std::copy_n(bytes_.begin(), header, coded_.begin());
    store_le(coded_.data() + version_at, models_ ? modeled_version : coded_version);
    if (models_) store_le(coded_.data() + header, models_->checksum());
    write_checksum(std::span(coded_).first(code_at + size + checksum_bytes));
    return code_at + size + checksum_bytes;
  }

  /// Decodes the maps of a frame, given all but its checksum, whose header was read; uncoded it has `size`
  /// bytes.
  Result<void> read_coded(std::span<const std::uint8_t> body, std::size_t size) {
    const std::size_t header = maps_.front().bits_at;
    const std::size_t raw = size - header - checksum_bytes, least = least_code(raw);
    if (body.size() < header + code_header() + least || body.size() >= header + raw)
      return Error("the frame's code has " + std::to_string(body.size() - header) + " bytes; for " +
                   std::to_string(raw) + " bytes of bits that cannot be");
    if (models_ && load_le<std::uint32_t>(body.data() + header) != models_->checksum())
      return Error(
          "the frame's bits were coded by another entropy model of this node: both sides need the same file");
    bytes_.resize(size);
    std::copy_n(body.begin(), header, bytes_.begin());
    store_le(bytes_.data() + version_at, version);
    bits::RangeDecoder decoder(body.subspan(header + code_header()));
    for (std::size_t i = 0; i < maps_.size(); ++i) decode_bits(decoder, maps_[i].model, bits(i));
    if (!decoder.finish(least)) return Error("the frame's code is not the code of any bits");
    coded_.resize(size);
    std::ranges::copy(body, coded_.begin());
    coded_size_ = body.size() + checksum_bytes;
    write_checksum(std::span(coded_).first(coded_size_));
    return {};
  }

  /// Finds the maps of a frame, given all but its checksum, and returns how many bytes it should have.
  Result<std::size_t> read_header(std::span<const std::byte> body) {
    const std::size_t count = load_le<std::uint16_t>(body.data() + 6);
    if (count == 0 || count > max_maps)
      return Error("a frame cannot carry " + std::to_string(count) + " maps");
    auto rest = body.subspan(header_bytes);
    for (std::size_t i = 0; i < count; ++i) {
      Result<MapSpec> map = MapSpec::take(rest);
      if (!map.ok()) return map.error().in("map " + std::to_string(i) + " of the frame");
      for (const Map& other : maps_)
        if (other.spec.name == map->name) return Error("the frame has two maps named '" + map->name + "'");
      maps_.push_back({std::move(*map)});
    }
    std::uint64_t size = body.size() - rest.size();
    for (Map& map : maps_) {
      map.bits_at = static_cast<std::size_t>(size);
      // Neither wraps: the bytes are no more than the shape has elements (below 2^60), `size` is below 2^31.
      size += std::uint64_t{map.spec.shape.pixels()} * packed_bytes(map.spec.shape.channels());
      if (size > max_bytes) return Error("the frame's maps need more than 1 GiB");
    }
    return static_cast<std::size_t>(size + checksum_bytes);
  }

  std::vector<std::uint8_t> bytes_;  // uncoded
  std::vector<std::uint8_t> coded_;  // room for the coded form, if it is wanted
  std::size_t coded_size_ = 0;       // 0: it is not what is sent
  std::vector<Map> maps_;
  std::optional<EntropyModels> models_;  // by which bits are coded
};

}  // namespace qcnet::inline QCNET_ABI
