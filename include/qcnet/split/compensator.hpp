// From bits back to a feature map: what every reconstruction looks like to a server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include <qcnet/bits/expand.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/split/quantizer.hpp>

namespace qcnet::inline QCNET_ABI {

/// Rebuilds the float feature map of a cut from its bits. Holds its own memory, so one reconstruction at a
/// time.
class Compensator {
 public:
  virtual ~Compensator() = default;

  /// "dequantizer", "convolutional QCNet".
  virtual std::string_view kind() const = 0;

  /// Writes the map for `bits`; both have the shape the compensator was made for. Allocates nothing.
  virtual void reconstruct_into(ConstBitplaneView bits, TensorView map) = 0;

  /// The same from the bits that arrived, those set in `received`; each other one counts as the mean of what
  /// both its values would give: dequantized the middle of two levels, 0 among a QCNet's inputs of +1 and -1.
  virtual void reconstruct_into(ConstBitplaneView bits, ConstBitplaneView received, TensorView map) = 0;

  /// Multiply-adds a float engine would spend on one reconstruction.
  virtual std::uint64_t multiply_adds() const = 0;
};

/// Tokens `[1, T, C]` as an image of one row, as convolutions read them; an image as it is.
template <class Array>
Array as_image(const Array& map) {
  if (map.shape.rank() != 3) return map;
  return {map.data, {map.shape[0], 1, map.shape[1], map.shape[2]}};
}

/// Plain dequantization: each bit becomes its low or high level. The baseline a QCNet starts from.
class Dequantizer final : public Compensator {
 public:
  explicit Dequantizer(Quantizer levels) : levels_(std::move(levels)) {}

  std::string_view kind() const override { return "dequantizer"; }
  void reconstruct_into(ConstBitplaneView bits, TensorView map) override {
    expand_into(bits, levels_.low, levels_.high, map);
  }
  void reconstruct_into(ConstBitplaneView bits, ConstBitplaneView received, TensorView map) override {
    expand_into(bits, received, levels_.low, levels_.high, map);
  }
  std::uint64_t multiply_adds() const override { return 0; }

 private:
  Quantizer levels_;
};

}  // namespace qcnet::inline QCNET_ABI
