// The transforms of Winograd's convolution (Lavin & Gray, "Fast Algorithms for Convolutional Neural
// Networks", 2016), all derived from the points at which polynomials are evaluated (Toom & Cook).
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include <qcnet/core/unroll.hpp>
#include <qcnet/kernels/gemm.hpp>
#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::kernels::detail {

/// F(M, 3): M outputs of a 3-tap filter from M + 2 inputs by M + 2 products, one a point. The points are 0,
/// pairs +p and -p, and infinity; this order is also that of the products. Every p is so short a binary
/// fraction that all coefficients of inputs and outputs are exact in fp32. 3/4 and 3/2 give a third of the
/// error of the usual 1 and 2, as their powers stay nearer to 1.
template <std::size_t M>
struct WinogradPoints;
template <>
struct WinogradPoints<2> {
  static constexpr std::array<double, 1> pairs = {1.0};
};
template <>
struct WinogradPoints<4> {
  static constexpr std::array<double, 2> pairs = {0.75, 1.5};
};

template <std::size_t M>
struct WinogradTransform {
  static constexpr std::size_t outputs = M, inputs = M + 2, pair_count = M / 2;
  static constexpr auto& p = WinogradPoints<M>::pairs;

  /// The product of (z - p^2) over all pairs but `left_out`: coefficients, lowest power first, the highest 1.
  template <std::size_t Degree>
  static constexpr std::array<double, Degree + 1> product(std::size_t left_out) {
    std::array<double, Degree + 1> c = {1.0};
    for (std::size_t i = 0, degree = 0; i < pair_count; ++i) {
      if (i == left_out) continue;
      c[++degree] = 1.0;
      for (std::size_t k = degree; k-- > 0;) c[k] = (k > 0 ? c[k - 1] : 0.0) - p[i] * p[i] * c[k];
    }
    return c;
  }

  /// The filter's values g(a) at point a, over the product of a's distances to all other points; so scaled,
  /// the two transforms below need no divisions. Rows: points; columns: taps.
  static constexpr std::array<std::array<double, 3>, inputs> filter() {
    std::array<std::array<double, 3>, inputs> rows{};
    rows[0] = {1.0 / product<pair_count>(pair_count)[0], 0.0, 0.0};
    for (std::size_t i = 0; i < pair_count; ++i) {
      const auto others = product<pair_count - 1>(i);
      double distances = 0.0, power = 2.0 * p[i] * p[i];
      for (const double c : others) {
        distances += c * power;
        power *= p[i] * p[i];
      }
      rows[1 + 2 * i] = {1.0 / distances, p[i] / distances, p[i] * p[i] / distances};
      rows[2 + 2 * i] = {1.0 / distances, -p[i] / distances, p[i] * p[i] / distances};
    }
    rows[inputs - 1] = {0.0, 0.0, 1.0};
    return rows;
  }

  /// M + 2 inputs to as many values, one a point: inputs times the coefficients of the polynomial that is
  /// zero at all other points. For +p and -p the even and the odd powers are the same but for one sign.
  [[gnu::always_inline]] static void input(const vec (&x)[inputs], vec (&y)[inputs]) {
    y[0] = every_second<pair_count, pair_count>(x);
    unroll(std::make_index_sequence<pair_count>{}, [&](auto i) {
      constexpr float point = static_cast<float>(p[i]);
      const vec even = every_second<pair_count - 1, i>(x + 2), odd = every_second<pair_count - 1, i>(x + 1);
      y[1 + 2 * i] = fma(vec::broadcast(point), odd, even);
      y[2 + 2 * i] = fma(vec::broadcast(-point), odd, even);
    });
    y[inputs - 1] = every_second<pair_count, pair_count>(x + 1);
  }

  /// Products at all points to the M outputs: output k is the sum of point^k times product.
  [[gnu::always_inline]] static void output(const vec (&x)[inputs], vec (&y)[outputs]) {
    vec sum[pair_count], difference[pair_count];
    unroll(std::make_index_sequence<pair_count>{}, [&](auto i) {
      sum[i] = x[1 + 2 * i] + x[2 + 2 * i];
      difference[i] = x[1 + 2 * i] - x[2 + 2 * i];
    });
    unroll(std::make_index_sequence<outputs>{}, [&](auto which) {
      constexpr std::size_t k = which;
      const vec(&terms)[pair_count] = k % 2 == 0 ? sum : difference;
      if constexpr (k == 0 || k == outputs - 1)  // 0^k is 0 but for k = 0; infinity gives the highest power
        y[k] = fma(terms[0], factor<0, k>(), k == 0 ? x[0] : x[inputs - 1]);
      else
        y[k] = terms[0] * factor<0, k>();
      unroll(std::make_index_sequence<pair_count - 1>{},
             [&](auto i) { y[k] = fma(terms[i + 1], factor<i + 1, k>(), y[k]); });
    });
  }

 private:
  /// p[I]^K.
  template <std::size_t I, std::size_t K>
  static vec factor() {
    constexpr double power = [] {
      double product = 1.0;
      for (std::size_t i = 0; i < K; ++i) product *= p[I];
      return product;
    }();
    return vec::broadcast(static_cast<float>(power));
  }
  /// x[0], x[2], x[4], ... times the coefficients of product<Degree>(LeftOut).
  template <std::size_t Degree, std::size_t LeftOut>
  [[gnu::always_inline]] static vec every_second(const vec* x) {
    constexpr auto c = product<Degree>(LeftOut);
    vec total = x[2 * Degree];
    unroll(std::make_index_sequence<Degree>{},
           [&](auto k) { total = fma(x[2 * k], vec::broadcast(static_cast<float>(c[k])), total); });
    return total;
  }
};

}  // namespace qcnet::inline QCNET_ABI::kernels::detail
