// Weights files as values, which tests read, bend and load again.
#pragma once

#include "files.hpp"

#include <cstdio>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <qcnet/io/safetensors.hpp>
#include <qcnet/layers/weights.hpp>

namespace qcnet::test {

inline std::string golden_path(const std::string& name) {
  return QCNET_TEST_DATA "/golden/" + name + ".safetensors";
}

/// The tensors and metadata of a safetensors file, free to change.
struct WeightsFile {
  struct Entry {
    std::string dtype;
    std::vector<std::size_t> shape;
    std::string data;
  };
  std::map<std::string, Entry> tensors;
  std::map<std::string, std::string> metadata;

  static WeightsFile open(const std::string& path) {
    const io::Safetensors file = io::Safetensors::open(path).value();
    WeightsFile copy;
    for (const auto& [name, info] : file.tensors())
      copy.tensors[name] = {std::string(io::dtype_name(info.dtype)),
                            {info.shape.dims().begin(), info.shape.dims().end()},
                            {reinterpret_cast<const char*>(info.data.data()), info.data.size()}};
    for (const auto& [key, value] : file.metadata()) copy.metadata[key] = value;
    return copy;
  }
  static WeightsFile golden(const std::string& name) { return open(golden_path(name)); }

  /// Adds or replaces a tensor of floats; `values` are repeated until it is full.
  WeightsFile& set(const std::string& name, const std::vector<std::size_t>& shape,
                   const std::vector<float>& values = {0.0f}) {
    Entry entry{"F32", shape, {}};
    const std::size_t count = Shape::make(std::span<const std::size_t>(shape)).value().elements();
    for (std::size_t i = 0; i < count; ++i)
      entry.data.append(reinterpret_cast<const char*>(&values[i % values.size()]), sizeof(float));
    tensors[name] = std::move(entry);
    return *this;
  }
  WeightsFile& set_metadata(const std::string& key, const std::string& value) {
    metadata[key] = value;
    return *this;
  }
  /// Keeps or drops every tensor whose name begins with one of these.
  WeightsFile& keep(const std::vector<std::string>& prefixes) { return filter(prefixes, true); }
  WeightsFile& drop(const std::vector<std::string>& prefixes) { return filter(prefixes, false); }
  /// Overwrites one element of an F32 tensor.
  WeightsFile& poke(const std::string& name, std::size_t index, float value) {
    std::memcpy(tensors.at(name).data.data() + index * sizeof(float), &value, sizeof(float));
    return *this;
  }

  /// The file.
  std::string bytes() const {
    std::string header = "{\"__metadata__\":{", data;
    for (const auto& [key, value] : metadata) {
      if (header.back() != '{') header += ',';
      header += quoted(key) + ':' + quoted(value);
    }
    header += '}';
    for (const auto& [name, entry] : tensors) {
      header += ',' + quoted(name) + ":{\"dtype\":\"" + entry.dtype + "\",\"shape\":[";
      for (std::size_t i = 0; i < entry.shape.size(); ++i) {
        if (i > 0) header += ',';
        header += std::to_string(entry.shape[i]);
      }
      header += "],\"data_offsets\":[" + std::to_string(data.size()) + ',';
      data += entry.data;
      header += std::to_string(data.size()) + "]}";
    }
    header += '}';
    const std::uint64_t size = header.size();
    return std::string(reinterpret_cast<const char*>(&size), sizeof size) + header + data;
  }

  /// What `load(const io::Safetensors&)` makes of the file.
  template <class Load>
  auto with(const Load& load) const {
    const std::string content = bytes();
    return load(io::Safetensors::parse(as_bytes(content)).value());
  }
  /// A tensor as float; those of rank 4 as NHWC.
  Tensor tensor(const std::string& name) const {
    Tensor found = with([&](const io::Safetensors& file) { return load_tensor(file, name); }).value();
    return found.shape().rank() == 4 ? channels_last(found) : found;
  }

 private:
  WeightsFile& filter(const std::vector<std::string>& prefixes, bool keep_matching) {
    std::erase_if(tensors, [&](const auto& item) {
      bool matches = false;
      for (const std::string& prefix : prefixes) matches = matches || item.first.starts_with(prefix);
      return matches != keep_matching;
    });
    return *this;
  }
  static std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (const char c : text) {
      if (static_cast<unsigned char>(c) < 0x20) {
        char escape[7];
        std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
        result += escape;
      } else {
        if (c == '"' || c == '\\') result += '\\';
        result += c;
      }
    }
    return result + '"';
  }
};

}  // namespace qcnet::test
