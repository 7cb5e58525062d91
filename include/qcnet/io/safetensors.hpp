// Named tensors in one file (https://huggingface.co/docs/safetensors), read strictly.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <qcnet/core/endian.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/io/dtype.hpp>
#include <qcnet/io/json.hpp>
#include <qcnet/io/mapped_file.hpp>
#include <qcnet/io/printable.hpp>

namespace qcnet::inline QCNET_ABI::io {

/// A stored tensor. `data` is row-major, little-endian, perhaps unaligned, and lies in the mapped file: see
/// `Safetensors::check_size` before reading it.
struct TensorInfo {
  Dtype dtype = Dtype::f32;
  Shape shape;
  std::span<const std::byte> data;
};

/// The tensors and metadata of a safetensors file. The layout is as strict as the format allows: every byte
/// of the file belongs to the header or to exactly one tensor. Shapes have at most 8 dimensions, and types
/// are those of `Dtype`. Errors name the file (`open`), the tensor and the reason.
class Safetensors {
 public:
  static constexpr std::uint64_t max_header_bytes = 100'000'000;

  /// Maps the file; its pages are read when they are needed.
  static Result<Safetensors> open(const std::string& path) {
    QCNET_TRY(MappedFile mapped, MappedFile::open(path));
    Result<Safetensors> file = parse(mapped.bytes());
    if (!file.ok()) return file.error().in(path);
    file->file_ = std::move(mapped);
    return file;
  }

  /// Reads borrowed bytes, which must outlive the object: weights can be compiled into a program.
  static Result<Safetensors> parse(std::span<const std::byte> bytes) {
    Safetensors file;
    QCNET_CHECK(file.read(bytes));
    return file;
  }
  /// Not those of a vector that nobody keeps.
  template <class Owner>
  requires(std::is_same_v<Owner, std::vector<std::byte>>) static Result<Safetensors> parse(Owner&&) = delete;

  /// nullptr if there is no tensor of that name.
  const TensorInfo* find(std::string_view name) const {
    const auto at = tensors_.find(name);
    return at == tensors_.end() ? nullptr : &at->second;
  }

  /// A copy as float (F32, F16, BF16, or I64 whose values are exact as float).
  Result<Tensor> tensor(std::string_view name) const { return read_tensor(name, nullptr); }

  /// The same; an Error unless it has the expected shape.
  Result<Tensor> tensor(std::string_view name, const Shape& expected) const {
    return read_tensor(name, &expected);
  }

  /// The elements of a U8 tensor where they lie, in the mapped file; an Error if they are of another type.
  Result<std::span<const std::uint8_t>> bytes(std::string_view name) const {
    QCNET_TRY(const TensorInfo* info, readable(name));
    if (info->dtype != Dtype::u8)
      return Error(detail::printable(name) + ": expected elements of type U8, found " +
                   std::string(dtype_name(info->dtype)));
    return std::span(reinterpret_cast<const std::uint8_t*>(info->data.data()), info->data.size());
  }

  std::optional<std::string_view> metadata(std::string_view key) const {
    const auto at = metadata_.find(key);
    return at == metadata_.end() ? std::nullopt : std::optional<std::string_view>(at->second);
  }

  const std::map<std::string, TensorInfo, std::less<>>& tensors() const { return tensors_; }
  const std::map<std::string, std::string, std::less<>>& metadata() const { return metadata_; }

  /// An Error if the file was truncated since `open`; `tensor` asks by itself.
  Result<void> check_size() const { return file_ ? file_->check_size() : Result<void>(); }

 private:
  Safetensors() = default;

  /// The tensor of that name, whose data the file still holds.
  Result<const TensorInfo*> readable(std::string_view name) const {
    const TensorInfo* info = find(name);
    if (info == nullptr) return Error(detail::printable(name) + ": there is no such tensor");
    if (auto same = check_size(); !same.ok()) return same.error().in(detail::printable(name));
    return info;
  }

  Result<Tensor> read_tensor(std::string_view name, const Shape* expected) const {
    QCNET_TRY(const TensorInfo* info, readable(name));
    const std::string shown = detail::printable(name);
    if (expected != nullptr && info->shape != *expected)
      return Error(shown + ": expected shape " + expected->to_string() + ", found " +
                   info->shape.to_string());
    Tensor tensor(info->shape);
    if (auto done = to_float_into(info->dtype, info->data, tensor.span()); !done.ok())
      return done.error().in(shown);
    return tensor;
  }

  Result<void> read(std::span<const std::byte> bytes) {
    if (bytes.size() < 8)
      return Error(std::to_string(bytes.size()) + " bytes are too few for a safetensors file");
    const auto header_bytes = load_le<std::uint64_t>(bytes.data());
    bytes = bytes.subspan(8);
    if (header_bytes > max_header_bytes || header_bytes > bytes.size())
      return Error("is no safetensors file, or is cut off: its header claims " +
                   std::to_string(header_bytes) + " bytes, but " +
                   std::to_string(std::min<std::uint64_t>(bytes.size(), max_header_bytes)) + " are possible");
    const auto size = static_cast<std::size_t>(header_bytes);
    const std::string_view header(reinterpret_cast<const char*>(bytes.data()), size);
    if (header.empty() || header[0] != '{') return Error("the header does not begin with '{'");
    if (!is_utf8(header)) return Error("the header is not UTF-8");
    JsonReader json(header);
    const auto data = bytes.subspan(size);
    bool has_metadata = false;
    QCNET_CHECK(json.object([&](std::string&& name) -> Result<void> {
      const bool is_metadata = name == "__metadata__";
      if (is_metadata && std::exchange(has_metadata, true)) return Error(name + ": appears twice");
      auto done = is_metadata ? read_metadata(json) : read_entry(json, name, data);
      return done.ok() ? done : done.error().in(detail::printable(name));
    }));
    if (json.rest().find_first_not_of(' ') != std::string_view::npos)
      return Error("the header goes on after its closing '}'");
    return check_layout(data);
  }

  Result<void> read_metadata(JsonReader& json) {
    return json.object([&](std::string&& key) -> Result<void> {
      QCNET_TRY(std::string value, json.string());
      if (!metadata_.emplace(std::move(key), std::move(value)).second) return Error("a key appears twice");
      return {};
    });
  }

  /// One tensor: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, in any order.
  Result<void> read_entry(JsonReader& json, const std::string& name, std::span<const std::byte> data) {
    std::optional<std::string> type;
    std::optional<std::vector<std::uint64_t>> dims, offsets;
    QCNET_CHECK(json.object([&](std::string&& field) -> Result<void> {
      if (field == "dtype" && !type) {
        QCNET_TRY(type, json.string());
        return {};
      }
      auto& numbers = field == "shape" ? dims : offsets;
      if ((field != "shape" && field != "data_offsets") || numbers)
        return Error("field '" + detail::printable(field) + "' is unknown or appears twice");
      numbers.emplace();
      return json.array([&]() -> Result<void> {
        QCNET_TRY(const std::uint64_t number, json.integer());
        if (numbers->size() == Shape::max_rank) return Error(field + " has more than 8 numbers");
        numbers->push_back(number);
        return {};
      });
    }));
    if (!type || !dims || !offsets) return Error("dtype, shape or data_offsets is missing");

    TensorInfo info;
    const std::optional<Dtype> dtype = dtype_named(*type);
    if (!dtype) return Error("dtype '" + detail::printable(*type) + "' is not supported");
    info.dtype = *dtype;
    QCNET_TRY(info.shape, Shape::make(std::span<const std::uint64_t>(*dims)));
    if (offsets->size() != 2)
      return Error("data_offsets has " + std::to_string(offsets->size()) + " numbers, not 2");
    const std::uint64_t begin = (*offsets)[0], end = (*offsets)[1];
    const std::string span = "data_offsets [" + std::to_string(begin) + ", " + std::to_string(end) + "]";
    if (begin > end || end > data.size())
      return Error(span + " are no part of the file's " + std::to_string(data.size()) + " bytes of data");
    // A shape's elements times 8 cannot wrap (core/shape.hpp).
    const std::uint64_t needed = std::uint64_t{info.shape.elements()} * dtype_bytes(info.dtype);
    if (end - begin != needed)
      return Error(span + " do not span the " + std::to_string(needed) + " bytes of " + *type + " " +
                   info.shape.to_string());
    info.data = data.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    if (!tensors_.emplace(name, info).second) return Error("appears twice");
    return {};
  }

  /// In order of their offsets the tensors must follow each other without a gap, up to the end of the file.
  Result<void> check_layout(std::span<const std::byte> data) const {
    std::vector<std::tuple<std::size_t, std::size_t, std::string_view>> spans;  // begin, size, name
    for (const auto& [name, info] : tensors_)
      spans.emplace_back(static_cast<std::size_t>(info.data.data() - data.data()), info.data.size(), name);
    std::sort(spans.begin(), spans.end());
    std::size_t end = 0;
    for (const auto& [begin, size, name] : spans) {
      if (begin != end)
        return Error(detail::printable(name) + ": its data begin at " + std::to_string(begin) +
                     ", but the data before end at " + std::to_string(end));
      end += size;
    }
    if (end != data.size())
      return Error(std::to_string(data.size() - end) + " bytes at the end of the file belong to no tensor");
    return {};
  }

  std::optional<MappedFile> file_;
  std::map<std::string, TensorInfo, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

}  // namespace qcnet::inline QCNET_ABI::io
