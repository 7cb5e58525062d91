#include "support.hpp"

#include <algorithm>
#include <limits>
#include <tuple>

#include <qcnet/kernels/conv2d.hpp>
#include <qcnet/kernels/linear.hpp>
#include <qcnet/kernels/pool.hpp>
#include <qcnet/kernels/reference.hpp>

using namespace qcnet;
using namespace qcnet::test;
using kernels::Activation;

namespace {

// The fast sum and the double one differ by rounding only: each of `depth` fused steps rounds once, relative
// to a running sum of at most the sum of magnitudes.
double bound(std::size_t depth) {
  return 2e-7 * std::sqrt(static_cast<double>(depth)) * 4 + 1e-7;
}

struct ConvCase {
  std::size_t n, h, w, cin, cout, groups;
  ConvGeometry geometry;
};

std::vector<ConvCase> grid() {
  std::vector<ConvCase> cases;
  const auto geometry = [](std::size_t kernel, std::size_t stride, std::size_t pad, std::size_t dilation) {
    ConvGeometry g = ConvGeometry::square(kernel, stride, pad);
    g.dilation_h = g.dilation_w = dilation;
    return g;
  };
  for (const std::size_t cout : Sizes{1, 3, 8, 16, 17, 32, 33, 50, 64, 65})
    cases.push_back({1, 5, 7, 5, cout, 1, geometry(3, 1, 1, 1)});
  for (const std::size_t cin : Sizes{1, 2, 3, 4, 7, 16, 31, 64})
    cases.push_back({2, 6, 5, cin, 19, 1, geometry(3, 2, 1, 1)});
  for (std::size_t pixels = 1; pixels <= 30; ++pixels)  // every tile height and remainder
    cases.push_back({1, 1, pixels, 3, 18, 1, geometry(1, 1, 0, 1)});
  for (const std::size_t kernel : Sizes{1, 2, 3, 5, 7})
    for (const std::size_t stride : Sizes{1, 2, 3})
      for (const std::size_t pad : Sizes{0, 1, 3})
        for (const std::size_t dilation : Sizes{1, 2})
          cases.push_back({1, 13, 11, 3, 10, 1, geometry(kernel, stride, pad, dilation)});
  for (const std::size_t groups : Sizes{2, 4, 12})
    cases.push_back({1, 6, 6, 12, 24, groups, geometry(3, 1, 1, 1)});
  cases.push_back({0, 6, 6, 3, 8, 1, geometry(3, 1, 1, 1)});
  for (const std::size_t cin :
       Sizes{8, 9})  // the last whose input is padded by a copy, the first whose is not
    cases.push_back({3, 1, 2, cin, 5, 1, geometry(5, 3, 4, 1)});
  cases.push_back({2, 9, 5, 1024, 3, 1, geometry(1, 3, 0, 1)});
  // Rows a multiple of a page apart: the input is copied with gaps.
  cases.push_back({2, 5, 4, 1024, 9, 1, geometry(3, 1, 1, 1)});
  cases.push_back({1, 8, 7, 512, 17, 1, geometry(3, 2, 1, 1)});
  cases.push_back({1, 6, 9, 512, 33, 1, geometry(2, 2, 0, 1)});
  cases.push_back({1, 7, 9, 512, 4, 1, geometry(3, 2, 3, 2)});
  cases.push_back({1, 5, 5, 512, 3, 1, geometry(1, 2, 1, 1)});
  for (const std::size_t kernel : Sizes{12, 13})  // the last whose pointers fit a tall tile's table; without
    cases.push_back({1, 32, 64, 64, 3, 1, geometry(kernel, 16, 0, 1)});
  cases.push_back({1, 64, 64, 16, 2, 1, geometry(64, 64, 0, 1)});
  cases.push_back({1, 16, 16, 3, 20, 1, geometry(16, 16, 0, 1)});  // patches
  cases.push_back({1, 20, 20, 9, 3, 1, geometry(17, 1, 8, 1)});    // more taps than a tall tile's table holds
  for (const std::size_t w : Sizes{14, 29, 45})  // tiles within a row of a copied input, and across its end
    for (const std::size_t stride : Sizes{1, 2}) {
      cases.push_back({2, 3, w, 3, 20, 1, geometry(3, stride, 1, 1)});
      cases.push_back({1, 2, w, 1024 / stride, 17, 1, geometry(3, stride, 1, 1)});
    }
  ConvGeometry oblong;
  oblong.kernel_h = 1, oblong.kernel_w = 5, oblong.stride_h = 2, oblong.pad_w = 2, oblong.dilation_w = 3;
  cases.push_back({1, 9, 14, 6, 9, 1, oblong});
  for (const std::size_t kernel : Sizes{1, 2, 3})  // more padding at the bottom and right
    for (const std::size_t extra : Sizes{1, 2}) {
      ConvGeometry g = ConvGeometry::square(kernel, 1, kernel / 3);
      g.extra_bottom = extra, g.extra_right = 3 - extra;
      cases.push_back({2, 4, 5, 6, 17, 1, g});
    }
  return cases;
}

struct Problem {
  Tensor weights, input, residual;
  std::vector<float> bias;
  kernels::PackedConv2d packed;

  explicit Problem(const ConvCase& c, std::uint32_t seed)
      : weights(random_tensor({c.cout, c.geometry.kernel_h, c.geometry.kernel_w, c.cin / c.groups}, seed)),
        input(random_tensor({c.n, c.h, c.w, c.cin}, seed + 1)),
        bias(random_values(c.cout, seed + 2)) {
    ConvGeometry geometry = c.geometry;
    geometry.groups = c.groups;
    packed = kernels::PackedConv2d::make(weights, bias, geometry).value();
    residual = random_tensor(packed.output_shape(input.shape()).value(), seed + 3);
  }
};

}  // namespace

TEST_CASE("conv2d equals its plain twin over a grid of awkward shapes") {
  std::uint32_t seed = 1;
  for (const ConvCase& c : grid()) {
    if (c.geometry.output({c.n, c.h, c.w, c.cin}, c.cout).ok() == false) continue;
    const Problem p(c, seed += 10);
    const std::size_t depth = c.geometry.taps() * c.cin / c.groups;
    CAPTURE(c.cin);
    CAPTURE(c.cout);
    CAPTURE(c.w);
    CAPTURE(c.geometry.kernel_h);
    for (const Activation activation : {Activation::none, Activation::relu, Activation::leaky_relu})
      for (const bool with_residual : {false, true}) {
        const ConstTensorView residual = with_residual ? p.residual.view() : ConstTensorView{};
        Tensor fast(p.residual.shape()), plain(p.residual.shape());
        kernels::conv2d(p.packed, p.input, fast, activation, residual);
        reference::conv2d(p.weights, p.bias, p.packed.geometry(), p.input, plain, activation, residual);
        CHECK(relative_difference(fast, plain) <= bound(depth));
      }
  }
}

TEST_CASE("conv2d may add its output to itself") {
  const Problem p({1, 5, 7, 6, 18, 1, ConvGeometry::square(3, 1, 1)}, 7);
  Tensor apart(p.residual.shape()), in_place(p.residual.view());
  kernels::conv2d(p.packed, p.input, apart, Activation::relu, p.residual);
  kernels::conv2d(p.packed, p.input, in_place, Activation::relu, in_place);
  CHECK(identical(apart, in_place));
}

TEST_CASE("conv2d writes nothing outside its output") {
  for (const std::size_t cout : Sizes{1, 7, 15, 16, 17, 33}) {
    const Problem p({1, 3, 5, 4, cout, 1, ConvGeometry::square(3, 1, 1)}, 3);
    const std::size_t size = p.residual.span().size(), guard = 64;
    std::vector<float> memory(size + 2 * guard, 123.0f);
    kernels::conv2d(p.packed, p.input, {memory.data() + guard, p.residual.shape()});
    for (std::size_t i = 0; i < guard; ++i) {
      CHECK(memory[i] == 123.0f);
      CHECK(memory[guard + size + i] == 123.0f);
    }
  }
}

TEST_CASE("conv2d_bits thresholds exactly what conv2d writes") {
  for (const std::size_t cout : Sizes{1, 3, 7, 8, 9, 16, 17, 31, 32, 33, 63, 64, 65})
    for (const bool with_residual : {false, true}) {
      const Problem p({2, 5, 7, 6, cout, 1, ConvGeometry::square(3, 2, 1)}, static_cast<std::uint32_t>(cout));
      REQUIRE(kernels::can_emit_bits(p.packed));
      std::vector<float> thresholds(kernels::PackedWeights::padded(cout), INFINITY);
      const auto values = random_values(cout, 99);
      std::copy(values.begin(), values.end(), thresholds.begin());
      const ConstTensorView residual = with_residual ? p.residual.view() : ConstTensorView{};
      for (const Activation activation : {Activation::none, Activation::relu, Activation::leaky_relu}) {
        Tensor map(p.residual.shape());
        Bitplane bits(p.residual.shape());
        for (std::uint8_t& byte : bits.view().bytes()) byte = 0xFF;  // stale bits must go
        kernels::conv2d(p.packed, p.input, map, activation, residual);
        kernels::conv2d_bits(p.packed, p.input, bits, thresholds, activation, residual);
        CHECK(padding_is_zero(bits));
        bool same = true;
        for (std::size_t pixel = 0; pixel < map.shape().pixels(); ++pixel)
          for (std::size_t c = 0; c < cout; ++c)
            same = same && bits.get(pixel, c) == (map.view().pixel(pixel)[c] > thresholds[c]);
        CHECK(same);
      }
    }
}

TEST_CASE("conv2d gives the same bits for any number of threads") {
  for (const auto& [h, cin, cout] : {std::tuple{28, 32, 40}, {7, 64, 200}, {1, 512, 1000}}) {
    const auto side = static_cast<std::size_t>(h);
    const Problem p({1, side, side, static_cast<std::size_t>(cin), static_cast<std::size_t>(cout), 1,
                     ConvGeometry::square(side == 1 ? 1 : 3, 1, side == 1 ? 0 : 1)},
                    5);
    Tensor one(p.residual.shape()), other(p.residual.shape());
    {
      const Threads threads(1);
      kernels::conv2d(p.packed, p.input, one, Activation::relu);
    }
    for (const int count : {2, 3, 7}) {
      const Threads threads(count);
      kernels::conv2d(p.packed, p.input, other, Activation::relu);
      CHECK(identical(one, other));
    }
  }
}

/// Whether a convolution of 3x3 that pools by 2x2 gives the values of one that is pooled after it, with any
/// number of threads.
void check_pooled(const Tensor& input, std::size_t cout, kernels::ConvAlgorithm algorithm,
                  std::initializer_list<Activation> activations, std::uint32_t seed) {
  const ConvGeometry halves = ConvGeometry::square(2, 2), three = ConvGeometry::square(3, 1, 1);
  const Shape size = input.shape();
  const Tensor weights = random_tensor({cout, 3, 3, size[3]}, seed);
  const auto bias = random_values(cout, seed + 1);
  const auto conv = kernels::PackedConv2d::make(weights, bias, three, algorithm).value();
  const Shape map_shape = conv.output_shape(size).value();
  REQUIRE(kernels::can_max_pool(conv, halves, map_shape));
  CAPTURE(cout);
  CAPTURE(size.to_string());
  Tensor map(map_shape), expected({size[0], size[1] / 2, size[2] / 2, cout}), pooled(expected.shape());
  for (const Activation activation : activations)
    for (const int count : {1, 2, 3}) {
      const Threads threads(count);
      kernels::conv2d(conv, input, map, activation);
      kernels::max_pool(halves, map, expected);
      std::fill(pooled.span().begin(), pooled.span().end(), std::numeric_limits<float>::quiet_NaN());
      kernels::conv2d_max_pooled(conv, input, pooled, activation);
      CHECK(std::equal(pooled.span().begin(), pooled.span().end(), expected.span().begin()));
    }
}

constexpr kernels::ConvAlgorithm poolable[] = {kernels::ConvAlgorithm::direct,
                                               kernels::ConvAlgorithm::winograd_2x2,
                                               kernels::ConvAlgorithm::winograd_4x4};

TEST_CASE("a pooled convolution is a convolution, then pooling") {
  std::uint32_t seed = 1;
  for (const auto algorithm : poolable)
    for (const std::size_t cin : Sizes{1, 3, 8, 33})
      for (const std::size_t cout : Sizes{1, 15, 16, 17, 40})
        for (const Shape& size : {Shape{0, 4, 4, cin}, Shape{1, 2, 2, cin}, Shape{2, 6, 10, cin},
                                  Shape{1, 36, 30, cin}, Shape{1, 4, 58, cin}}) {
          seed += 3;
          check_pooled(random_tensor(size, seed), cout, algorithm,
                       {Activation::none, Activation::relu, Activation::leaky_relu}, seed + 1);
        }
}

TEST_CASE("two rows of a pooled convolution may need several tables of pointers") {
  for (const Shape& size : {Shape{1, 4, 416, 3}, Shape{1, 2, 130, 33}})
    check_pooled(random_tensor(size, 1), 17, kernels::ConvAlgorithm::direct, {Activation::leaky_relu}, 2);
}

TEST_CASE("NaN wins in no pooled convolution, but where there is nothing else") {
  for (const auto algorithm : poolable) {
    Tensor input = random_tensor({1, 12, 10, 3}, 1);
    input.view().pixel(3 * 10 + 3)[1] = std::numeric_limits<float>::quiet_NaN();
    check_pooled(input, 17, algorithm, {Activation::none, Activation::leaky_relu}, 2);
  }
}

TEST_CASE("only 2x2 windows without a rest are pooled with a convolution") {
  const auto make = [](const ConvGeometry& g, std::size_t cin = 4) {
    return kernels::PackedConv2d::make(random_tensor({6, g.kernel_h, g.kernel_w, cin / g.groups}, 1), {}, g)
        .value();
  };
  const auto three = make(ConvGeometry::square(3, 1, 1));
  const ConvGeometry halves = ConvGeometry::square(2, 2);
  CHECK(kernels::can_max_pool(three, halves, {1, 4, 6, 6}));
  CHECK(kernels::can_max_pool(three, ConvGeometry::darknet_pool(2, 2), {1, 4, 6, 6}));
  CHECK_FALSE(kernels::can_max_pool(three, halves, {1, 5, 6, 6}));
  CHECK_FALSE(kernels::can_max_pool(three, halves, {1, 4, 7, 6}));
  CHECK_FALSE(kernels::can_max_pool(three, ConvGeometry::square(2, 1), {1, 4, 6, 6}));
  CHECK_FALSE(kernels::can_max_pool(three, ConvGeometry::square(3, 2, 1), {1, 4, 6, 6}));
  CHECK_FALSE(kernels::can_max_pool(three, ConvGeometry::square(2, 2, 1), {1, 4, 6, 6}));
  ConvGeometry wider = halves;
  wider.extra_right = 2;
  CHECK_FALSE(kernels::can_max_pool(three, wider, {1, 4, 6, 6}));
  CHECK_FALSE(kernels::can_max_pool(make(ConvGeometry::square(1)), halves, {1, 4, 6, 6}));
  ConvGeometry grouped = ConvGeometry::square(3, 1, 1);
  grouped.groups = 2;
  CHECK_FALSE(kernels::can_max_pool(make(grouped), halves, {1, 4, 6, 6}));
  CHECK_FALSE(kernels::can_max_pool(make(ConvGeometry::square(23, 1, 11), 9), halves, {1, 4, 6, 6}));
}

TEST_CASE("what does not fit a convolution is said") {
  const Tensor weights = random_tensor({6, 3, 3, 4}, 1);
  CHECK(contains(kernels::PackedConv2d::make(weights, {}, ConvGeometry::square(5)).error().message(),
                 "expected weights"));
  ConvGeometry groups = ConvGeometry::square(3);
  groups.groups = 4;
  CHECK(contains(kernels::PackedConv2d::make(weights, {}, groups).error().message(), "4 groups"));
  const float bias[2] = {};
  CHECK(contains(kernels::PackedConv2d::make(weights, bias, ConvGeometry::square(3)).error().message(),
                 "6 bias values"));
  const auto packed = kernels::PackedConv2d::make(weights, {}, ConvGeometry::square(3)).value();
  CHECK(contains(packed.output_shape({1, 8, 8, 5}).error().message(), "expected 4 input channels"));
  CHECK(contains(packed.output_shape({1, 2, 8, 4}).error().message(), "does not fit"));
  CHECK(contains(packed.output_shape({8, 8, 4}).error().message(), "[N, H, W, C]"));
}

TEST_CASE("linear equals its plain twin") {
  for (const std::size_t rows : Sizes{1, 2, 13, 14, 15, 197})
    for (const std::size_t out : Sizes{1, 10, 33, 100}) {
      const Tensor weights = random_tensor({out, 37}, 1), input = random_tensor({rows, 37}, 2);
      const auto bias = random_values(out, 3);
      const auto packed = kernels::pack_linear(weights, bias).value();
      Tensor fast({rows, out}), plain({rows, 1, 1, out});
      kernels::linear(packed, input, fast, Activation::relu);
      reference::conv2d({weights.data(), {out, 1, 1, 37}}, bias, ConvGeometry{},
                        {input.data(), {rows, 1, 1, 37}}, plain, Activation::relu);
      CHECK(relative_difference({fast.data(), plain.shape()}, plain) <= bound(37));
    }
  CHECK(contains(kernels::pack_linear(random_tensor({2, 3, 4}, 1), {}).error().message(), "[out, in]"));
}
