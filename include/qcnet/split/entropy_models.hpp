// The file with which node and server code a deployment's bits in fewer bytes.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <qcnet/bits/entropy_model.hpp>
#include <qcnet/core/crc32c.hpp>
#include <qcnet/layers/weights.hpp>
#include <qcnet/split/map_spec.hpp>
#include <qcnet/split/model_hash.hpp>

namespace qcnet::inline QCNET_ABI {

/// An entropy model for each map of a deployment's frames (bits/entropy_model.hpp), trained on frames of its
/// node by weights/entropy.py. Node and server must have the same; it may be made anew without touching their
/// own files. Cheap to copy: frames that are coded by models share them.
class EntropyModels {
 public:
  /// By the names of their maps.
  using Maps = std::map<std::string, bits::EntropyModel, std::less<>>;

  /// Loads an `.entropy.safetensors` file. Error: what the file lacks, by name.
  static Result<EntropyModels> load(const std::string& path) {
    QCNET_TRY(const io::Safetensors file, io::Safetensors::open(path));
    auto models = load(file);
    if (!models) return models.error().in(path);
    return models;
  }

  /// The same from bytes that were compiled in. Of each map NAME there are the tensors `NAME.neighbors` [K,
  /// 2], rows and columns, `NAME.bias` [5, C], `NAME.weights` [K, C, C] and `NAME.own` [C, C] of
  /// EntropyModel::make, whole numbers all; of metadata `qcnet.role`, "entropy", and `qcnet.hash`, the
  /// node's.
  static Result<EntropyModels> load(const io::Safetensors& file) {
    EntropyModels models;
    if (const auto role = file.metadata("qcnet.role"); role != "entropy")
      return Error("this is no file of entropy models: its metadata \"qcnet.role\" is \"" +
                   io::detail::printable(role.value_or("")) + "\", not \"entropy\"");
    const auto hash = parse_hash(file.metadata("qcnet.hash").value_or(""));
    if (!hash)
      return Error(
          "metadata \"qcnet.hash\" is not 16 hexadecimal digits; is this a file made by entropy.py?");
    models.model_hash_ = *hash;
    QCNET_CHECK(file.check_size());
    constexpr std::string_view ending = ".bias";
    Maps maps;
    for (const auto& [name, tensor] : file.tensors()) {
      models.checksum_ = crc32c(tensor.data, models.checksum_);
      if (!name.ends_with(ending)) continue;
      const std::string map = name.substr(0, name.size() - ending.size());
      if (!MapSpec::is_name(map))
        return Error(io::detail::printable(name) + ": there is no map of that name");
      QCNET_TRY(bits::EntropyModel model, load_map(file, map));
      maps.emplace(map, std::move(model));
    }
    if (maps.empty()) return Error("there is no entropy model: no tensor has a name that ends in \".bias\"");
    models.maps_ = std::make_shared<const Maps>(std::move(maps));
    return models;
  }

  /// Of the node whose frames they are for.
  std::uint64_t model_hash() const { return model_hash_; }
  /// CRC-32C of all tensors' bytes in the file, one behind the other in the order of their names: what a
  /// frame tells by which models it was coded.
  std::uint32_t checksum() const { return checksum_; }

  const Maps& maps() const { return *maps_; }

  /// Of a map with so many channels. Error: there is none.
  Result<const bits::EntropyModel*> find(const std::string& map, std::size_t channels) const {
    if (!maps_) return Error("the entropy models were moved away");
    const auto found = maps_->find(map);
    if (found == maps_->end()) return Error("there is no entropy model of map \"" + map + "\"");
    if (found->second.channels() != channels)
      return Error("the entropy model of map \"" + map + "\" is of " +
                   std::to_string(found->second.channels()) + " channels, the map has " +
                   std::to_string(channels));
    return &found->second;
  }

 private:
  EntropyModels() = default;

  static Result<bits::EntropyModel> load_map(const io::Safetensors& file, const std::string& map) {
    QCNET_TRY(const std::size_t channels, dimension(file, map + ".bias", 1));
    QCNET_TRY(const std::size_t count, dimension(file, map + ".neighbors", 0));
    if (channels > bits::EntropyModel::max_channels || count > bits::EntropyModel::max_neighbors)
      return Error(map + ": an entropy model of " + std::to_string(channels) + " channels and " +
                   std::to_string(count) + " neighbors is too large");
    QCNET_TRY(const auto offsets, integers(file, map + ".neighbors", {count, 2}));
    std::vector<bits::EntropyModel::Neighbor> neighbors;
    for (std::size_t i = 0; i < count; ++i) neighbors.push_back({offsets[2 * i], offsets[2 * i + 1]});
    QCNET_TRY(const auto biases, integers(file, map + ".bias", {bits::EntropyModel::biases, channels}));
    QCNET_TRY(const auto weights, integers(file, map + ".weights", {count, channels, channels}));
    QCNET_TRY(const auto own, integers(file, map + ".own", {channels, channels}));
    auto model = bits::EntropyModel::make(channels, std::move(neighbors), biases, weights, own);
    if (!model) return model.error().in(map);
    return model;
  }

  /// Of a tensor of two.
  static Result<std::size_t> dimension(const io::Safetensors& file, const std::string& name, std::size_t i) {
    const io::TensorInfo* found = file.find(name);
    if (found == nullptr) return Error(name + ": there is no such tensor");
    if (found->shape.rank() != 2)
      return Error(name + ": expected 2 dimensions, found shape " + found->shape.to_string());
    return found->shape[i];
  }

  static Result<std::vector<std::int16_t>> integers(const io::Safetensors& file, const std::string& name,
                                                    const Shape& shape) {
    QCNET_TRY(const Tensor tensor, load_tensor(file, name, shape));
    std::vector<std::int16_t> values;
    values.reserve(tensor.span().size());
    for (const float x : tensor.span()) {
      if (std::trunc(x) != x || std::fabs(x) > INT16_MAX)
        return Error(name + ": must be whole numbers from -32767 to 32767, found " + std::to_string(x));
      values.push_back(static_cast<std::int16_t>(x));
    }
    return values;
  }

  std::uint64_t model_hash_ = 0;
  std::uint32_t checksum_ = 0;
  std::shared_ptr<const Maps> maps_;
};

}  // namespace qcnet::inline QCNET_ABI
