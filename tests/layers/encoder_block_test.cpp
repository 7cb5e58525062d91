#include "support.hpp"
#include "weights_file.hpp"

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <qcnet/kernels/reference.hpp>
#include <qcnet/layers/encoder_block.hpp>
#include <qcnet/layers/executor.hpp>

using namespace qcnet;
using test::WeightsFile;

namespace {

constexpr std::size_t block_channels = 12, heads = 3, hidden = 20;

/// A block named "b", with torchvision's names of its MLP or with the older ones.
WeightsFile block(const std::string& up = "mlp.0", const std::string& down = "mlp.3") {
  WeightsFile file;
  std::uint32_t seed = 1;
  const auto add = [&](const std::string& name, const std::vector<std::size_t>& shape) {
    const std::size_t count = shape.size() == 1 ? shape[0] : shape[0] * shape[1];
    file.set("b." + name, shape, test::random_values(count, seed++));
  };
  for (const std::string norm : {"ln_1", "ln_2"}) {
    add(norm + ".weight", {block_channels});
    add(norm + ".bias", {block_channels});
  }
  add("self_attention.in_proj_weight", {3 * block_channels, block_channels});
  add("self_attention.in_proj_bias", {3 * block_channels});
  for (const auto& [name, out, in] :
       {std::tuple{std::string("self_attention.out_proj"), block_channels, block_channels},
        std::tuple{up, hidden, block_channels}, std::tuple{down, block_channels, hidden}}) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  }
  return file;
}

Result<Network> build(const WeightsFile& file, std::size_t of_heads = heads) {
  return file.with([&](const io::Safetensors& weights) -> Result<Network> {
    Network network;
    QCNET_CHECK(add_encoder_block(network, weights, "b", block_channels, of_heads));
    return network;
  });
}

/// The block by the plain twins of its kernels.
class Definition {
 public:
  explicit Definition(const WeightsFile& file) : file_(file) {}

  Tensor operator()(const Tensor& x) const {
    const Tensor qkv =
        linear(norm(x, "ln_1"), "self_attention.in_proj_weight", "self_attention.in_proj_bias");
    Tensor attended(x.shape());
    reference::attention(qkv, heads, attended);
    const Tensor y = sum(x, linear(attended, "self_attention.out_proj"));
    Tensor widened = linear(norm(y, "ln_2"), "mlp.0");
    reference::gelu(widened, widened);
    return sum(y, linear(widened, "mlp.3"));
  }

 private:
  Tensor read(const std::string& name) const { return file_.tensor("b." + name); }
  Tensor norm(const Tensor& x, const std::string& name) const {
    Tensor y(x.shape());
    reference::layer_norm(x, read(name + ".weight").span(), read(name + ".bias").span(), 1e-6f, y);
    return y;
  }
  Tensor linear(const Tensor& x, const std::string& name) const {
    return linear(x, name + ".weight", name + ".bias");
  }
  Tensor linear(const Tensor& x, const std::string& weight, const std::string& bias) const {
    const Tensor w = read(weight), b = read(bias);
    const std::size_t out = w.shape()[0], in = w.shape()[1];
    Tensor y({x.shape()[0], x.shape()[1], out});
    for (std::size_t i = 0; i < y.span().size(); ++i) {
      double sum = double{b[i % out]};
      for (std::size_t k = 0; k < in; ++k) sum += double{w[i % out * in + k]} * double{x[i / out * in + k]};
      y[i] = static_cast<float>(sum);
    }
    return y;
  }
  static Tensor sum(Tensor x, const Tensor& y) {
    for (std::size_t i = 0; i < x.span().size(); ++i) x[i] += y[i];
    return x;
  }

  const WeightsFile& file_;
};

}  // namespace

TEST_CASE("an encoder block computes its definition, under either of torchvision's names") {
  const WeightsFile file = block();
  const Network network = build(file).value(), old = build(block("mlp.linear_1", "mlp.linear_2")).value();
  CHECK(network.steps().size() == 7);
  for (const Shape& shape : {Shape{1, 1, block_channels}, Shape{2, 9, block_channels}}) {
    const Tensor input = test::random_tensor(shape, 50);
    const Tensor output = network(input).value();
    CHECK(test::relative_difference(output, Definition(file)(input)) < 1e-5);
    CHECK(test::identical(old(input).value(), output));
  }
}

TEST_CASE("what does not fit an encoder block is one sentence") {
  const auto said = [](const WeightsFile& file) { return build(file).error().message(); };
  const WeightsFile good = block();
  for (const auto& [name, entry] : good.tensors)
    CHECK(said(WeightsFile(good).drop({name})) == name + ": there is no such tensor");
  CHECK(said(WeightsFile(good).set("b.ln_2.weight", {11})) ==
        "b.ln_2.weight: expected shape [12], found [11]");
  CHECK(said(WeightsFile(good).set("b.self_attention.in_proj_weight", {24, 12})) ==
        "b.self_attention.in_proj_weight: expected shape [36, 12], found [24, 12]");
  CHECK(said(WeightsFile(good).set("b.self_attention.out_proj.weight", {12, 11})) ==
        "b.self_attention.out_proj.weight: expected shape [12, 12], found [12, 11]");
  CHECK(said(WeightsFile(good).set("b.mlp.0.weight", {20, 13})) ==
        "b.mlp.0.weight: expected shape [out, 12], found [20, 13]");
  CHECK(said(WeightsFile(good).set("b.mlp.3.weight", {12, 19})) ==
        "b.mlp.3.weight: expected shape [12, 20], found [12, 19]");

  const auto run = [&](const Shape& shape, std::size_t of_heads) {
    return build(good, of_heads).value()(Tensor(shape)).error().message();
  };
  CHECK(run({1, 9, 13}, heads) == "b.ln_1: expected one input [..., 12], found [1, 9, 13]");
  CHECK(run({1, 3, 3, 12}, heads) == "b.self_attention: self-attention takes one input [N, T, 3 C]");
  CHECK(test::contains(run({1, 9, 12}, 5), "b.self_attention: 12 channels cannot be split into 5 heads"));
}
