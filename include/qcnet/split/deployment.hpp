// What a deployment file says about itself, in its metadata.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <qcnet/bits/code_planes.hpp>
#include <qcnet/io/numbers.hpp>
#include <qcnet/io/safetensors.hpp>
#include <qcnet/kernels/epilogue.hpp>
#include <qcnet/models/architecture.hpp>
#include <qcnet/models/patches.hpp>
#include <qcnet/split/frame.hpp>
#include <qcnet/split/model_hash.hpp>
#include <qcnet/vision/anchors.hpp>
#include <qcnet/vision/preprocess.hpp>

namespace qcnet::inline QCNET_ABI {

/// A map that crosses a cut.
struct CutMap {
  std::string name;    ///< in the frame: the cut's, or that of the layer it comes from
  std::string suffix;  ///< of the names of its metadata and tensors: ".layers.8", empty for the cut's own map
  Shape shape;         ///< `[1, H, W, C]`, or `[1, T, C]` for tokens
  kernels::Activation activation = kernels::Activation::none;  ///< relu if it is never negative
  std::vector<std::size_t> planes = {};  ///< of how many channels each plane of its bits is, as in CodePlanes
};

/// The description that node and server file of a deployment share. Keys and values: docs/deployment.md. All
/// names are fit to be printed: a control character in the file is a question mark here.
struct Deployment {
  std::string name;        ///< "resnet-cifar10"
  std::string role;        ///< "node", "server" or "model"
  std::string cut;         ///< "layer1"; empty for a whole model
  std::string method;      ///< "qcnet"; empty but for a server
  std::uint64_t hash = 0;  ///< of the node's weights, thresholds and cut: what a server's bits must come from
  Shape feature;           ///< `[1, H, W, C]` of the map that crosses the cut, or `[1, T, C]` of its tokens
  kernels::Activation activation = kernels::Activation::none;  ///< relu if that map is never negative
  std::vector<std::size_t> planes;  ///< of that map, as in CutMap: {C} where a feature is one bit
  std::size_t patch = 1;            ///< P where its pixels are patches of P x P pixels of the model's map
  bool codes = false;               ///< bits number levels (CodePlanes), they do not compare with thresholds
  std::vector<CutMap> beside;       ///< maps that cross the cut together with that one; mostly none
  vision::Preprocess preprocess;
  std::vector<std::string> classes;
  std::optional<vision::Anchors> anchors;  ///< of a detector; a classifier has none

  /// All maps that cross, the cut's own first: their order in a frame.
  std::vector<CutMap> maps() const {
    std::vector<CutMap> all = {{cut, "", feature, activation, planes}};
    all.insert(all.end(), beside.begin(), beside.end());
    return all;
  }

  /// The shape of the bits that a frame carries of a map.
  Shape sent(const CutMap& map) const { return CodePlanes::planes_of(map.shape, map.planes); }

  /// The same as a frame describes them.
  std::vector<MapSpec> frame_maps() const {
    std::vector<MapSpec> all;
    for (const CutMap& map : maps()) all.push_back({map.name, sent(map)});
    return all;
  }

  /// Whether a network that tells so many classes apart fits the names, if there are any.
  Result<void> check_classes(std::size_t told_apart) const {
    if (classes.empty() || classes.size() == told_apart) return {};
    return Error("metadata \"qcnet.classes\" names " + std::to_string(classes.size()) +
                 " classes, but the network tells " + std::to_string(told_apart) + " apart");
  }

  /// Reads and checks the metadata; `role` is what the caller needs the file to be.
  static Result<Deployment> read(const io::Safetensors& file, std::string_view role);
};

namespace detail {

inline std::vector<std::string> split_at(char separator, std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

/// Typed access to metadata, with errors that name the key.
class MetadataReader {
 public:
  static constexpr std::size_t most_elements = std::size_t{1} << 27;  // half a gigabyte of floats

  explicit MetadataReader(const io::Safetensors& file) : file_(file) {}

  Result<std::string_view> text(std::string_view key) const {
    const auto value = file_.metadata(key);
    if (!value)
      return Error("metadata \"" + std::string(key) +
                   "\" is missing; is this a file made by qcnet's export?");
    return *value;
  }

  /// Exactly `count` finite numbers separated by spaces.
  template <class Number>
  Result<std::vector<Number>> numbers(std::string_view key, std::size_t count) const {
    QCNET_TRY(const std::string_view value, text(key));
    auto found = io::parse_numbers<Number>(value);
    if (!found || found->size() != count)
      return must_be(key,
                     std::to_string(count) + (std::is_integral_v<Number> ? " whole" : " finite") +
                         (count == 1 ? " number" : " numbers separated by single spaces"),
                     value);
    return *std::move(found);
  }

  /// "H W C" as `[1, H, W, C]`, or where tokens are allowed "T C" as `[1, T, C]`: no dimension is zero, and
  /// memory for the map is no hostile wish.
  Result<Shape> map_shape(std::string_view key, bool or_tokens = false) const {
    QCNET_TRY(const std::string_view value, text(key));
    auto dims = io::parse_numbers<std::size_t>(value);
    if (dims && (dims->size() == 3 || (or_tokens && dims->size() == 2))) {
      dims->insert(dims->begin(), 1);
      auto shape = Shape::make(std::span<const std::size_t>(*dims));
      if (shape && shape->elements() != 0 && shape->elements() <= most_elements) return shape;
    }
    return must_be(key,
                   std::string("height, width and channels") +
                       (or_tokens ? ", or count and channels of tokens," : "") +
                       " above zero of a map of at most " + std::to_string(most_elements) + " values",
                   value);
  }

  /// Sixteen hexadecimal digits.
  Result<std::uint64_t> hash(std::string_view key) const {
    QCNET_TRY(const std::string_view value, text(key));
    const auto number = parse_hash(value);
    if (!number) return must_be(key, "16 hexadecimal digits", value);
    return *number;
  }

  /// The name of a map that a frame can carry.
  Result<std::string> name(std::string_view key) const {
    QCNET_TRY(const std::string_view value, text(key));
    if (!MapSpec::is_name(value)) return must_be(key, "a name of " + name_rule(), value);
    return std::string(value);
  }

  /// The same for several, separated by spaces; none if the key is missing.
  Result<std::vector<std::string>> names(std::string_view key) const {
    const std::string_view value = file_.metadata(key).value_or("");
    if (std::count(value.begin(), value.end(), ' ') >= static_cast<std::ptrdiff_t>(Frame::max_maps))
      return Error("metadata \"" + std::string(key) + "\" names more maps than a frame carries, " +
                   std::to_string(Frame::max_maps));
    auto found = split_at(' ', value);
    if (!std::all_of(found.begin(), found.end(), MapSpec::is_name))
      return must_be(key, "names separated by single spaces, each of " + name_rule(), value);
    return found;
  }

  /// Bits a feature, "1" to "8"; 1 if the key is missing.
  Result<std::size_t> bits(std::string_view key) const {
    const auto value = file_.metadata(key);
    if (!value) return std::size_t{1};
    const auto found = io::parse_number<std::size_t>(*value);
    if (!found || *found < 1 || *found > CodePlanes::max_bits)
      return must_be(key, "a number from 1 to " + std::to_string(CodePlanes::max_bits), *value);
    return *found;
  }

  /// Of how many of a map's channels each plane of bits is: "24 18 11".
  Result<std::vector<std::size_t>> planes(std::string_view key, std::size_t channels) const {
    QCNET_TRY(const std::string_view value, text(key));
    auto counts = io::parse_numbers<std::size_t>(value);
    if (!counts || !CodePlanes::are_counts(*counts, channels))
      return must_be(key,
                     "1 to " + std::to_string(CodePlanes::max_bits) + " numbers of channels, from " +
                         std::to_string(channels) + " down to 1, none above the one before",
                     value);
    return *std::move(counts);
  }

  /// "relu" or "identity".
  Result<kernels::Activation> activation(std::string_view key) const {
    QCNET_TRY(const std::string_view value, text(key));
    if (value == "relu") return kernels::Activation::relu;
    if (value == "identity") return kernels::Activation::none;
    return must_be(key, "relu or identity", value);
  }

  static Error must_be(std::string_view key, const std::string& what, std::string_view found) {
    return Error("metadata \"" + std::string(key) + "\" must be " + what + ", found \"" +
                 io::detail::printable(found) + "\"");
  }

 private:
  static std::string name_rule() {
    return "1 to " + std::to_string(MapSpec::max_name) + " letters, digits, '_', '.' and '-'";
  }

  const io::Safetensors& file_;
};

/// Whether the map that crosses can be one of patches, if it is said to be.
inline Result<void> check_patch(const Deployment& d) {
  if (d.patch == 1) return {};
  const std::string patches = models::patches_text(d.patch) + " (\"qcnet.patch\")";
  if (!d.beside.empty()) return Error("metadata \"qcnet.patch\" and \"qcnet.beside\" exclude each other");
  if (d.feature.rank() == 3)
    return Error("metadata \"qcnet.feature\" says tokens, of which there are no " + patches);
  if (d.role == "server" && d.feature.channels() % (d.patch * d.patch) != 0)
    return Error("metadata \"qcnet.feature\" says " + std::to_string(d.feature.channels()) +
                 " channels, which " + patches + " cannot have");
  return {};
}

}  // namespace detail

inline Result<Deployment> Deployment::read(const io::Safetensors& file, std::string_view role) {
  const detail::MetadataReader metadata(file);
  if (file.metadata("qcnet.role") == "entropy")  // which is of no format
    return Error("holds entropy models, expected a " + std::string(role) + " file");
  QCNET_TRY(const std::string_view format, metadata.text("qcnet.format"));
  if (format != "1")
    return Error("deployment format " + io::detail::printable(format) +
                 " is not supported, this build reads format 1");
  Deployment d;
  QCNET_TRY(d.role, metadata.text("qcnet.role"));
  if (d.role != role)
    return Error("is a " + io::detail::printable(d.role) + " file, expected a " + std::string(role) +
                 " file");
  QCNET_TRY(d.name, metadata.text("qcnet.name"));
  d.name = io::detail::printable(d.name);

  QCNET_TRY(const Shape input, metadata.map_shape("qcnet.input"));
  QCNET_TRY(const auto resize, metadata.numbers<std::size_t>("qcnet.resize", 1));
  QCNET_TRY(auto mean, metadata.numbers<float>("qcnet.mean", input.channels()));
  QCNET_TRY(auto deviation, metadata.numbers<float>("qcnet.std", input.channels()));
  d.preprocess = {resize[0], input[1], input[2], std::move(mean), std::move(deviation)};
  if (const auto letterbox = file.metadata("qcnet.letterbox")) {
    if (*letterbox != "0" && *letterbox != "1")
      return detail::MetadataReader::must_be("qcnet.letterbox", "0 or 1", *letterbox);
    d.preprocess.letterbox = *letterbox == "1";
  }
  QCNET_CHECK(d.preprocess.check());
  if (models::finds_boxes(models::architecture(file))) {
    QCNET_TRY(d.anchors, vision::Anchors::read(file));
    if (!d.preprocess.letterbox)
      return Error("metadata \"qcnet.letterbox\" is not 1, but a detector needs letterboxed pictures");
    if (input[1] % models::detector_stride != 0 || input[2] % models::detector_stride != 0)
      return Error("metadata \"qcnet.input\": a detector's height and width are multiples of " +
                   std::to_string(models::detector_stride) + ", found " + std::to_string(input[1]) + " and " +
                   std::to_string(input[2]));
  }
  d.classes = detail::split_at('\n', file.metadata("qcnet.classes").value_or(""));
  for (std::string& class_name : d.classes) class_name = io::detail::printable(class_name);
  if (role == "model") return d;

  QCNET_TRY(d.cut, metadata.name("qcnet.cut"));
  QCNET_TRY(d.hash, metadata.hash("qcnet.hash"));
  QCNET_TRY(d.feature, metadata.map_shape("qcnet.feature", true));
  QCNET_TRY(d.activation, metadata.activation("qcnet.activation"));
  QCNET_TRY(const std::size_t bits, metadata.bits("qcnet.bits"));
  QCNET_TRY(const auto beside, metadata.names("qcnet.beside"));
  d.codes = bits > 1;
  d.planes.assign(bits, d.feature.channels());
  if (file.metadata("qcnet.planes")) {
    for (const char* other : {"qcnet.bits", "qcnet.beside"})
      if (file.metadata(other))
        return Error("metadata \"qcnet.planes\" and \"" + std::string(other) + "\" exclude each other");
    QCNET_TRY(d.planes, metadata.planes("qcnet.planes", d.feature.channels()));
    d.codes = true;
  }
  for (const std::string& name : beside) {
    CutMap map{name, "." + name, {}};
    QCNET_TRY(map.shape, metadata.map_shape("qcnet.feature" + map.suffix, true));
    QCNET_TRY(map.activation, metadata.activation("qcnet.activation" + map.suffix));
    map.planes.assign(bits, map.shape.channels());
    d.beside.push_back(std::move(map));
  }
  QCNET_TRY(d.patch, models::patch_size(file));
  QCNET_CHECK(detail::check_patch(d));
  for (const CutMap& map : d.maps()) {  // before d.sent(map), which may be no shape on machines of 32 bits
    const auto bits_a_pixel = std::accumulate(map.planes.begin(), map.planes.end(), std::uint64_t{0});
    if (bits_a_pixel * map.shape.pixels() > detail::MetadataReader::most_elements)
      return Error(std::to_string(bits_a_pixel) + " bits for each pixel of a map " + map.shape.to_string() +
                   " are too many");
  }
  d.method = io::detail::printable(file.metadata("qcnet.method").value_or(""));
  return d;
}

}  // namespace qcnet::inline QCNET_ABI
