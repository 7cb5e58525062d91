// A map of a frame: its name and shape, and how these travel (docs/frame.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <qcnet/core/endian.hpp>
#include <qcnet/core/result.hpp>
#include <qcnet/core/shape.hpp>

namespace qcnet::inline QCNET_ABI {

/// Name of a cut ("layer2") and the shape of its map, channels last.
struct MapSpec {
  static constexpr std::size_t max_name = 64, max_rank = 4;
  std::string name;
  Shape shape;

  /// Whether a map can be called so.
  static bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= max_name && has_name_characters(text);
  }

  /// Writes it behind `bytes`. Error: what would not fit its field; the rest `take` judges.
  Result<void> append_to(std::vector<std::uint8_t>& bytes) const {
    if (name.size() > max_name) return Error("a map's name is longer than 64 characters");
    bytes.push_back(static_cast<std::uint8_t>(name.size()));
    bytes.insert(bytes.end(), name.begin(), name.end());
    bytes.push_back(static_cast<std::uint8_t>(shape.rank()));
    for (const std::size_t dim : shape.dims()) {
      if (dim > std::numeric_limits<std::uint32_t>::max())
        return Error("a map's dimension is above 2^32 - 1");
      bytes.resize(bytes.size() + sizeof(std::uint32_t));
      store_le(bytes.data() + bytes.size() - sizeof(std::uint32_t), static_cast<std::uint32_t>(dim));
    }
    return {};
  }

  /// Reads one from the start of `rest`, which moves on behind it.
  static Result<MapSpec> take(std::span<const std::byte>& rest) {
    const Error ends_early("the frame ends within its header");
    std::uint8_t name_size = 0, rank = 0;
    if (!take(rest, name_size)) return ends_early;
    if (name_size == 0 || name_size > max_name)
      return Error("its name has " + std::to_string(name_size) + " characters, not 1 to 64");
    if (rest.size() < name_size) return ends_early;
    MapSpec map{std::string(reinterpret_cast<const char*>(rest.data()), name_size), {}};
    rest = rest.subspan(name_size);
    if (!has_name_characters(map.name))
      return Error("its name has characters other than letters, digits, '_', '.' and '-'");
    if (!take(rest, rank)) return ends_early;
    if (rank == 0 || rank > max_rank)
      return Error("it has " + std::to_string(rank) + " dimensions, not 1 to 4");
    std::array<std::uint32_t, max_rank> dims{};
    for (std::size_t i = 0; i < rank; ++i) {
      if (!take(rest, dims[i])) return ends_early;
      if (dims[i] == 0) return Error("a dimension is zero");
    }
    QCNET_TRY(map.shape, Shape::make(std::span<const std::uint32_t>(dims.data(), rank)));
    return map;
  }

 private:
  static bool has_name_characters(std::string_view text) {
    return text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") ==
           std::string_view::npos;
  }

  template <class T>
  static bool take(std::span<const std::byte>& rest, T& number) {
    if (rest.size() < sizeof(T)) return false;
    number = load_le<T>(rest.data());
    rest = rest.subspan(sizeof(T));
    return true;
  }
};

}  // namespace qcnet::inline QCNET_ABI
