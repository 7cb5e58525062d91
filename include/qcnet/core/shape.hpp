// Dimensions of a tensor, with a product that cannot overflow.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include <qcnet/core/result.hpp>

namespace qcnet::inline QCNET_ABI {

/// Up to 8 dimensions. Feature maps are `[N, H, W, C]`, tokens `[N, T, C]`, logits `[N, K]`.
/// The product of the dimensions is checked when the shape is made, so `elements() * sizeof(double)` never
/// wraps.
class Shape {
 public:
  static constexpr std::size_t max_rank = 8;
  static constexpr std::uint64_t max_elements = std::numeric_limits<std::ptrdiff_t>::max() / sizeof(double);

  Shape() = default;  // rank 0: one element

  /// Raises if the dimensions are more than 8 or their product is too large; for sizes you do not trust use
  /// `make`.
  Shape(std::initializer_list<std::size_t> dims) : Shape(make(dims).value()) {}

  /// The shape of these dimensions, or an Error if they are more than 8 or their product is too large. Zero
  /// dimensions do not hide an overflow of the others.
  template <class Int>
  static Result<Shape> make(std::span<const Int> dims) {
    if (dims.size() > max_rank)
      return Error("a shape has " + std::to_string(dims.size()) + " dimensions, at most 8 are allowed");
    Shape shape;
    shape.rank_ = dims.size();
    std::uint64_t nonzero_product = 1;
    bool empty = false;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      const std::uint64_t dim = dims[i];
      empty = empty || dim == 0;
      if (dim > 1 && nonzero_product > max_elements / dim)
        return Error("the product of the dimensions of a shape is too large for this machine");
      if (dim != 0) nonzero_product *= dim;
      shape.dims_[i] = static_cast<std::size_t>(dim);
    }
    shape.elements_ = empty ? 0 : static_cast<std::size_t>(nonzero_product);
    return shape;
  }

  static Result<Shape> make(std::initializer_list<std::size_t> dims) {
    return make(std::span(dims.begin(), dims.size()));
  }

  std::size_t rank() const { return rank_; }
  std::size_t operator[](std::size_t i) const { return dims_[i]; }
  std::size_t elements() const { return elements_; }
  std::span<const std::size_t> dims() const { return {dims_.data(), rank_}; }

  /// The last dimension: channels in NHWC. 1 for rank 0.
  std::size_t channels() const { return rank_ == 0 ? 1 : dims_[rank_ - 1]; }
  /// All but the last dimension multiplied: the number of pixels (or tokens, or rows).
  std::size_t pixels() const {
    std::size_t product = 1;
    for (std::size_t i = 0; i + 1 < rank_; ++i) product *= dims_[i];
    return product;
  }

  bool operator==(const Shape& other) const {
    return rank_ == other.rank_ &&
           std::equal(dims_.begin(), dims_.begin() + static_cast<std::ptrdiff_t>(rank_), other.dims_.begin());
  }

  /// "[1, 56, 56, 64]"
  std::string to_string() const {
    std::string text = "[";
    for (std::size_t i = 0; i < rank_; ++i) text += (i == 0 ? "" : ", ") + std::to_string(dims_[i]);
    return text + "]";
  }

 private:
  std::array<std::size_t, max_rank> dims_{};
  std::size_t rank_ = 0;
  std::size_t elements_ = 1;
};

/// The shape of what somebody owns: what was moved away is of nothing.
struct OwnedShape {
  Shape value{0};

  OwnedShape() = default;
  OwnedShape(const Shape& shape) : value(shape) {}
  OwnedShape(const OwnedShape&) = default;
  OwnedShape(OwnedShape&& other) noexcept : value(std::exchange(other.value, Shape{0})) {}
  OwnedShape& operator=(OwnedShape other) noexcept {
    value = other.value;
    return *this;
  }
  ~OwnedShape() = default;
};

}  // namespace qcnet::inline QCNET_ABI
