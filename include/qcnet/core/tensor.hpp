// Dense row-major float arrays: channels last everywhere.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>

#include <qcnet/core/aligned_buffer.hpp>
#include <qcnet/core/shape.hpp>

namespace qcnet::inline QCNET_ABI {

/// A borrowed, contiguous, row-major array; feature maps are `[N, H, W, C]`. Cheap to copy; owns nothing.
template <class T>
struct View {
  T* data = nullptr;
  Shape shape;

  View() = default;
  View(T* data_in, const Shape& shape_in) : data(data_in), shape(shape_in) {}
  template <class U>
  requires(std::is_same_v<T, const U>) View(const View<U>& other) : data(other.data), shape(other.shape) {}

  std::span<T> span() const { return {data, data == nullptr ? 0 : shape.elements()}; }
  /// The channels of pixel (or token, or row) `i`, counted over all leading dimensions.
  T* pixel(std::size_t i) const { return data + i * shape.channels(); }
};

using TensorView = View<float>;
using ConstTensorView = View<const float>;

/// An owned float tensor, zeroed when made, 64-byte aligned.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(const Shape& shape) : shape_(shape), buffer_(shape.elements()) {}
  explicit Tensor(ConstTensorView source) : Tensor(source.shape) {
    std::copy(source.span().begin(), source.span().end(), buffer_.data());
  }

  const Shape& shape() const { return shape_.value; }
  float* data() { return buffer_.data(); }
  const float* data() const { return buffer_.data(); }
  std::span<float> span() { return buffer_.span(); }
  std::span<const float> span() const { return buffer_.span(); }
  float& operator[](std::size_t i) { return buffer_[i]; }
  float operator[](std::size_t i) const { return buffer_[i]; }

  TensorView view() { return {buffer_.data(), shape_.value}; }
  ConstTensorView view() const { return {buffer_.data(), shape_.value}; }
  operator TensorView() { return view(); }
  operator ConstTensorView() const { return view(); }

 private:
  OwnedShape shape_;
  AlignedBuffer<float> buffer_;
};

}  // namespace qcnet::inline QCNET_ABI
