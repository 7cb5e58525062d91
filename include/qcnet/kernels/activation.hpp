// Elementwise functions over whole tensors, for where no epilogue could take them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

#include <qcnet/core/tensor.hpp>
#include <qcnet/kernels/epilogue.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

namespace detail {
template <class F>
void map(std::span<const float> input, float* output, const F& f) {
  for (std::size_t i = 0; i < input.size(); i += vec::size) {
    const std::size_t count = std::min(vec::size, input.size() - i);
    f(vec::load_partial(input.data() + i, count)).store_partial(output + i, count);
  }
}
}  // namespace detail

/// output = activation(input), element by element; `output` may be `input`.
inline void apply_activation(ConstTensorView input, TensorView output, Activation activation) {
  detail::map(input.span(), output.data, [&](vec x) { return activate(x, activation); });
}

/// 1 / (1 + exp(-x)), element by element; exact 0 and 1 at the far ends, never NaN from overflow.
inline void sigmoid(ConstTensorView input, TensorView output) {
  const vec one = vec::broadcast(1.0f);
  detail::map(input.span(), output.data, [&](vec x) { return one / (one + exp(vec::zero() - x)); });
}

/// output = a + b, element by element; `output` may be either.
inline void add(ConstTensorView a, ConstTensorView b, TensorView output) {
  const std::size_t n = a.shape.elements();
  for (std::size_t i = 0; i < n; i += vec::size) {
    const std::size_t count = std::min(vec::size, n - i);
    (vec::load_partial(a.data + i, count) + vec::load_partial(b.data + i, count))
        .store_partial(output.data + i, count);
  }
}

/// Softmax over the last dimension, shifted by its maximum so that no exponential overflows; `output` may be
/// `input`.
inline void softmax(ConstTensorView input, TensorView output) {
  const std::size_t rows = input.shape.pixels(), n = input.shape.channels();
  for (std::size_t r = 0; r < rows && n > 0; ++r) {
    const float* from = input.pixel(r);
    float* to = output.pixel(r);
    const vec shift = vec::broadcast(*std::max_element(from, from + n));
    float total = 0.0f;
    for (std::size_t i = 0; i < n; i += vec::size) {
      const std::size_t count = std::min(vec::size, n - i);
      const vec e = exp(vec::load_partial(from + i, count) - shift);
      e.store_partial(to + i, count);
      for (std::size_t j = 0; j < count; ++j) total += to[i + j];
    }
    const vec scale = vec::broadcast(1.0f / total);
    detail::map({to, n}, to, [&](vec x) { return x * scale; });
  }
}

}  // namespace qcnet::inline QCNET_ABI::kernels
