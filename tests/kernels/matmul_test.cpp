#include "support.hpp"

#include <limits>

#include <qcnet/kernels/linear.hpp>
#include <qcnet/kernels/reference.hpp>

using namespace qcnet;
using namespace qcnet::test;
using kernels::Activation;

namespace {

struct MatmulProblem {
  std::size_t rows, depth, columns;
  Tensor weights = random_tensor({columns, depth}, 1), input = random_tensor({rows, depth}, 2),
         residual = random_tensor({rows, columns}, 3);
  std::vector<float> bias = random_values(columns, 4);
  kernels::PackedConv2d packed = kernels::pack_linear(weights, bias).value();

  Tensor plain(Activation activation) const {
    Tensor output({rows, 1, 1, columns});
    reference::conv2d({weights.data(), {columns, 1, 1, depth}}, bias, ConvGeometry{},
                      {input.data(), {rows, 1, 1, depth}}, output, activation,
                      {residual.data(), output.shape()});
    return output;
  }
  Tensor fast(Activation activation, int threads = 1) const {
    const Threads scope(threads);
    Tensor output({rows, columns});
    kernels::linear(packed, input, output, activation, residual);
    return output;
  }
};

}  // namespace

TEST_CASE("rows times weights of any depth equal their plain twin, with a residual and in place") {
  for (const std::size_t depth : Sizes{1, 31, 768, 769, 2000, 2048})
    for (const std::size_t rows : Sizes{0, 1, 13, 29})
      for (const std::size_t columns : Sizes{1, 17, 100}) {
        const MatmulProblem p{rows, depth, columns};
        CAPTURE(depth);
        CAPTURE(rows);
        CAPTURE(columns);
        const Tensor fast = p.fast(Activation::relu), plain = p.plain(Activation::relu);
        CHECK((rows == 0 || relative_difference({fast.data(), plain.shape()}, plain) < 3e-6));
        Tensor sum(p.residual);
        kernels::linear(p.packed, p.input, sum, Activation::relu, sum);
        CHECK(identical(sum, fast));
        CHECK(identical(p.fast(Activation::relu, 2), fast));
        CHECK(identical(p.fast(Activation::relu, 5), fast));
      }
}

TEST_CASE(
    "many rows, some for each thread and several groups of columns, are the same for any number of threads") {
  const MatmulProblem p{240, 1000, 208};
  const Tensor one = p.fast(Activation::relu), plain = p.plain(Activation::relu);
  CHECK(relative_difference({one.data(), plain.shape()}, plain) < 3e-6);
  for (const int threads : {2, 3, 4, 5}) CHECK(identical(p.fast(Activation::relu, threads), one));
}

TEST_CASE("bits of deep rows are those of the float map") {
  for (const std::size_t depth : Sizes{1600, 3072}) {
    const MatmulProblem p{31, depth, 37};
    const Tensor map = p.fast(Activation::none);
    std::vector<float> thresholds(kernels::PackedWeights::padded(37), std::numeric_limits<float>::infinity());
    std::copy_n(map.data(), 37, thresholds.data());  // equal is not greater
    Bitplane bits({31, 1, 1, 37});
    kernels::linear_bits(p.packed, p.input, bits, thresholds, Activation::none, p.residual);
    for (std::size_t row = 0; row < 31; ++row)
      for (std::size_t c = 0; c < 37; ++c) CHECK(bits.get(row, c) == (map[row * 37 + c] > thresholds[c]));
  }
}

TEST_CASE("linear with GELU is linear, then GELU, bit for bit") {
  for (const std::size_t depth : Sizes{1, 37, 1000})
    for (const std::size_t rows : Sizes{0, 1, 29})
      for (const std::size_t columns : Sizes{1, 3, 40, 97}) {
        const MatmulProblem p{rows, depth, columns};
        Tensor apart({rows, columns}), fused(apart.shape());
        kernels::linear(p.packed, p.input, apart);
        kernels::gelu(apart, apart);
        kernels::linear_gelu(p.packed, p.input, fused);
        CHECK(identical(fused, apart));
      }
}
