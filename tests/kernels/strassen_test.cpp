#include "allocations.hpp"
#include "support.hpp"

#include <cmath>
#include <limits>

#include <qcnet/kernels/linear.hpp>
#include <qcnet/kernels/reference.hpp>

#if QCNET_ISA_AVX512 || QCNET_ISA_AVX2  // no other build has it

using namespace qcnet;
using namespace qcnet::test;
using kernels::Activation;
using kernels::ConvAlgorithm;
using kernels::PackedConv2d;

namespace {

constexpr std::size_t columns_step = kernels::detail::strassen_columns, depth_step = 2 * vec::size;
constexpr double strassen_bound = 5e-6;  // conv2d's comment promises it

struct StrassenProblem {
  std::size_t rows, depth, columns;
  Tensor weights = random_tensor({columns, depth}, 1), input = random_tensor({rows, depth}, 2),
         residual = random_tensor({rows, columns}, 3);
  std::vector<float> bias = random_values(columns, 4);
  PackedConv2d packed = kernels::pack_linear(weights, bias).value().with(ConvAlgorithm::strassen).value();

  Tensor plain(Activation activation, bool with_residual) const {
    Tensor output({rows, 1, 1, columns});
    reference::conv2d({weights.data(), {columns, 1, 1, depth}}, bias, ConvGeometry{},
                      {input.data(), {rows, 1, 1, depth}}, output, activation,
                      with_residual ? ConstTensorView{residual.data(), output.shape()} : ConstTensorView{});
    return output;
  }
  Tensor run(Activation activation = Activation::none, bool with_residual = false,
             std::span<float> scratch = {}) const {
    Tensor output({rows, columns});
    kernels::linear(packed, input, output, activation, with_residual ? residual.view() : ConstTensorView{},
                    scratch);
    return output;
  }
};

}  // namespace

TEST_CASE("Strassen's products equal the plain twin: any rows, a depth of several passes, every epilogue") {
  constexpr std::size_t block = 2 * kernels::max_rows;
  for (const std::size_t depth : Sizes{depth_step, 3 * depth_step, 768, 832, 2048})
    for (const std::size_t rows : Sizes{0, 1, 2, 3, block - 1, block, block + 1, 3 * block + 5})
      for (const std::size_t columns : Sizes{columns_step, 3 * columns_step}) {
        const StrassenProblem p{rows, depth, columns};
        CAPTURE(depth);
        CAPTURE(rows);
        CAPTURE(columns);
        const auto close = [&](const Tensor& fast, const Tensor& plain) {
          return rows == 0 || relative_difference({fast.data(), plain.shape()}, plain) < strassen_bound;
        };
        CHECK(close(p.run(), p.plain(Activation::none, false)));
        const Tensor plain = p.plain(Activation::relu, true);
        CHECK(close(p.run(Activation::relu, true), plain));
        Tensor sum(p.residual);  // all of the depth in one pass
        kernels::linear(p.packed, p.input, sum, Activation::relu, sum);
        CHECK(close(sum, plain));
      }
}

TEST_CASE("Strassen's products serve 1x1 convolutions with a stride") {
  for (const std::size_t side : Sizes{1, 2, 9, 14}) {
    const ConvGeometry geometry = ConvGeometry::square(1, 2, 0);
    const Tensor weights = random_tensor({columns_step, 1, 1, depth_step}, 1),
                 input = random_tensor({2, side, side + 1, depth_step}, 2);
    const auto packed = PackedConv2d::make(weights, {}, geometry, ConvAlgorithm::strassen).value();
    Tensor fast(packed.output_shape(input.shape()).value()), plain(fast.shape());
    kernels::conv2d(packed, input, fast, Activation::relu);
    reference::conv2d(weights, {}, geometry, input, plain, Activation::relu);
    CHECK(relative_difference(fast, plain) < strassen_bound);
  }
}

TEST_CASE("Strassen's errors are as small as promised for deep rows that are all positive") {
  StrassenProblem p{30, 3072, columns_step};
  for (float& x : p.input.span()) x = std::fabs(x);
  const Tensor fast = p.run(), plain = p.plain(Activation::none, false);
  CHECK(relative_difference({fast.data(), plain.shape()}, plain) < strassen_bound);
}

TEST_CASE("Strassen's products are the same bits for any number of threads and any scratch memory") {
  for (const StrassenProblem& p : {StrassenProblem{4 * kernels::max_rows + 3, 256, 4 * columns_step},
                                   StrassenProblem{16 * kernels::max_rows, 256, 3 * columns_step}}) {
    const Tensor one = p.run(Activation::relu);
    const std::size_t full = kernels::scratch_floats(p.packed, p.rows);
    for (const int count : {1, 2, 3, 5}) {
      const Threads threads(count);
      for (const std::size_t size : {std::size_t{0}, full / 3, full, 2 * full}) {
        std::vector<float> scratch(size, std::numeric_limits<float>::quiet_NaN());
        CHECK(identical(p.run(Activation::relu, false, scratch), one));
      }
    }
  }
}

TEST_CASE("Strassen's products allocate nothing if they are given their scratch memory") {
  const StrassenProblem p{65, 256, 4 * columns_step};
  Tensor output({p.rows, p.columns});
  for (const int count : {1, 2}) {
    const Threads threads(count);
    std::vector<float> scratch(kernels::scratch_floats(p.packed, p.rows));
    kernels::linear(p.packed, p.input, output, Activation::none, {}, scratch);  // starts the threads
    const std::size_t before = allocations();
    kernels::linear(p.packed, p.input, output, Activation::none, {}, scratch);
    kernels::linear_gelu(p.packed, p.input, output, scratch);
    CHECK(allocations() == before);
    kernels::linear(p.packed, p.input, output);
    CHECK(allocations() > before);
  }
}

TEST_CASE("GELU and thresholds see exactly what Strassen's products write in one pass") {
  for (const std::size_t rows : Sizes{1, 2 * kernels::max_rows, 2 * kernels::max_rows + 9}) {
    const StrassenProblem p{rows, 128, 2 * columns_step};
    Tensor map = p.run(), fused({rows, p.columns});
    kernels::linear_gelu(p.packed, p.input, fused);
    std::vector<float> thresholds(kernels::PackedWeights::padded(p.columns),
                                  std::numeric_limits<float>::infinity());
    std::copy_n(map.data(), p.columns, thresholds.data());  // equal is not greater
    Bitplane bits({rows, 1, 1, p.columns});
    kernels::linear_bits(p.packed, p.input, bits, thresholds);
    bool same = true;
    for (std::size_t row = 0; row < rows; ++row)
      for (std::size_t c = 0; c < p.columns; ++c)
        same = same && bits.get(row, c) == (map[row * p.columns + c] > thresholds[c]);
    CHECK(same);
    kernels::gelu(map, map);
    CHECK(identical(fused, map));
  }
}

TEST_CASE("NaN and infinity reach every output that reads them, and at most one other row") {
  constexpr std::size_t half = kernels::max_rows, row = half + 3;
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    StrassenProblem p{4 * half, 64, columns_step};
    const Tensor good = p.run();
    p.input[row * p.depth + 5] = bad;
    const Tensor found = p.run();
    for (std::size_t r = 0; r < p.rows; ++r)
      for (std::size_t c = 0; c < p.columns; ++c) {
        const std::size_t at = r * p.columns + c;
        if (r == row) CHECK_FALSE(std::isfinite(found[at]));
        if (r != row && r != row - half) CHECK(found[at] == good[at]);
      }
  }
}

TEST_CASE("weights that Strassen's algorithm cannot halve are refused in a sentence") {
  const auto refused = [](std::size_t columns, std::size_t depth, const ConvGeometry& geometry) {
    const Tensor weights({columns, geometry.kernel_h, geometry.kernel_w, depth});
    const auto packed = PackedConv2d::make(weights, {}, geometry, ConvAlgorithm::strassen);
    return !packed.ok() && contains(packed.error().message(), "Strassen's algorithm needs a 1x1 kernel");
  };
  CHECK_FALSE(refused(columns_step, depth_step, {}));
  CHECK(refused(columns_step, 0, {}));
  CHECK(refused(columns_step + 1, depth_step, {}));
  CHECK(refused(columns_step, depth_step + 1, {}));
  CHECK(refused(columns_step, depth_step, ConvGeometry::square(3, 1, 1)));
  CHECK(refused(columns_step, depth_step, ConvGeometry::square(1, 1, 1)));
}

#endif
