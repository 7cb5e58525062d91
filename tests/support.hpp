// Small helpers that many tests share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <qcnet/core/bitplane.hpp>
#include <qcnet/core/parallel.hpp>
#include <qcnet/core/tensor.hpp>

#include <doctest/doctest.h>

namespace qcnet::test {

/// Sizes to loop over: for (const std::size_t channels : Sizes{1, 3, 8}).
using Sizes = std::initializer_list<std::size_t>;

/// Normally distributed values from a seed.
inline Tensor random_tensor(const Shape& shape, std::uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  Tensor tensor(shape);
  for (float& x : tensor.span()) x = normal(engine);
  return tensor;
}

/// Every bit by a coin.
inline Bitplane random_bits(const Shape& shape, std::uint32_t seed) {
  std::mt19937 engine(seed);
  Bitplane bits(shape);
  for (std::size_t i = 0; i < shape.elements(); ++i)
    bits.set(i / shape.channels(), i % shape.channels(), (engine() & 1u) != 0);
  return bits;
}

inline std::vector<float> random_values(std::size_t count, std::uint32_t seed) {
  const Tensor tensor = random_tensor({count}, seed);
  return {tensor.span().begin(), tensor.span().end()};
}

/// Largest |a - b| over the largest |b|; infinity if the shapes differ or anything is NaN.
inline double relative_difference(ConstTensorView a, ConstTensorView b) {
  if (!(a.shape == b.shape)) return INFINITY;
  double largest = 1e-30, difference = 0.0;
  for (std::size_t i = 0; i < a.span().size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(b.data[i])));
    const double d = std::fabs(static_cast<double>(a.data[i]) - static_cast<double>(b.data[i]));
    if (std::isnan(d)) return INFINITY;
    difference = std::max(difference, d);
  }
  return difference / largest;
}

inline bool identical(ConstTensorView a, ConstTensorView b) {
  return a.shape == b.shape && std::equal(a.span().begin(), a.span().end(), b.span().begin());
}

/// The threads for one scope.
struct Threads {
  explicit Threads(int count) { set_num_threads(count); }
  ~Threads() { set_num_threads(0); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Calls `check(shape, features of an image)` for maps and tokens of awkward sizes.
template <class Check>
void for_image_features(const Check& check) {
  for (const std::size_t channels : {1u, 7u, 8u, 31u, 32u, 33u, 64u, 131u}) {
    check(Shape{1, 65, channels}, 65 * channels);
    check(Shape{3, 13, channels}, 13 * channels);
    check(Shape{0, 5, channels}, 5 * channels);
    check(Shape{2, 3, 5, channels}, 15 * channels);
  }
}

}  // namespace qcnet::test
