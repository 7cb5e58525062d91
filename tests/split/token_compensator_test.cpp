#include "allocations.hpp"
#include "support.hpp"
#include "weights_file.hpp"

#include <algorithm>
#include <string>

#include <qcnet/bits/pack.hpp>
#include <qcnet/bits/reference.hpp>
#include <qcnet/kernels/reference.hpp>
#include <qcnet/split/token_compensator.hpp>

using namespace qcnet;
using namespace qcnet::test;

namespace {

const std::string tensor_prefix = "qcnet.compensator.";
const Shape tokens{1, 17, 24};  // of tiny-vit

Result<std::unique_ptr<Compensator>> load_tokens(const WeightsFile& file, const Shape& map = tokens,
                                                 const Shape& sent = tokens,
                                                 kernels::Activation activation = kernels::Activation::none) {
  return file.with(
      [&](const io::Safetensors& weights) { return TokenCompensator::load(weights, map, sent, activation); });
}

/// A QCNet without blocks in plain loops.
Tensor definition(const WeightsFile& file, const Bitplane& bits, const Bitplane& received) {
  const auto values = [&](const std::string& name) { return file.tensor(tensor_prefix + name); };
  const Tensor in = values("input.weight"), in_bias = values("input.bias"), positions = values("positions");
  const Tensor out = values("output.weight"), out_bias = values("output.bias"), scale = values("scale");
  const std::size_t width = in.shape()[0], inputs = in.shape()[1];
  const auto sign = [&](std::size_t t, std::size_t c) {
    return !received.get(t, c) ? 0.0f : bits.get(t, c) ? 1.0f : -1.0f;
  };
  // sum over the bits of token t
  const auto product = [&](const Tensor& weight, std::size_t row, std::size_t t) {
    float sum = 0;
    for (std::size_t c = 0; c < inputs; ++c) sum += sign(t, c) * weight[row * inputs + c];
    return sum;
  };
  const bool linear = file.tensors.count("qcnet.dequantizer.weight") != 0;
  const Tensor levels = linear ? Tensor() : file.tensor("qcnet.levels");
  const Tensor weight = linear ? file.tensor("qcnet.dequantizer.weight") : Tensor();
  const Tensor bias = linear ? file.tensor("qcnet.dequantizer.bias") : Tensor();
  Tensor hidden({17, width}), normal({17, width}), map(tokens);
  for (std::size_t t = 0; t < 17; ++t)
    for (std::size_t k = 0; k < width; ++k)
      hidden[t * width + k] = in_bias[k] + positions[t * width + k] + product(in, k, t);
  reference::layer_norm(hidden, values("norm.weight").span(), values("norm.bias").span(), 1e-6f, normal);
  for (std::size_t t = 0; t < 17; ++t)
    for (std::size_t c = 0; c < 24; ++c) {
      float sum = out_bias[c];
      for (std::size_t k = 0; k < width; ++k) sum += normal[t * width + k] * out[c * width + k];
      const std::size_t feature = t * 24 + c;
      map[feature] = scale[c] * sum;
      if (linear) {
        map[feature] += bias[feature % bias.span().size()] + product(weight, c, t);
      } else {
        const float low = levels[feature], high = levels[map.span().size() + feature];
        map[feature] += 0.5f * (low + high + sign(t, c) * (high - low));
      }
    }
  return map;
}

std::string error_of(const WeightsFile& file, const Shape& map = tokens) {
  const auto loaded = load_tokens(file, map);
  return loaded.ok() ? "no error" : loaded.error().message();
}

}  // namespace

// That it computes what PyTorch computes is tested with node and server together, in server_test.cpp.

TEST_CASE("without blocks the body is two linear layers around a normalization") {
  const WeightsFile levels = WeightsFile::golden("tiny-vit-qcnet1.server").drop({tensor_prefix + "blocks"});
  WeightsFile linear = levels, by_token;
  const std::size_t inputs = 31, width = levels.tensor(tensor_prefix + "input.weight").shape()[0];
  linear.drop({"qcnet.levels"})
      .set("qcnet.dequantizer.weight", {24, inputs}, random_values(24 * inputs, 5))
      .set("qcnet.dequantizer.bias", {24}, random_values(24, 6))
      .set(tensor_prefix + "input.weight", {width, inputs}, random_values(width * inputs, 7));
  by_token = linear;
  by_token.set("qcnet.dequantizer.bias", {17, 24}, random_values(17 * 24, 8));

  for (const WeightsFile& file : {levels, linear, by_token}) {
    const Shape sent{1, 17, file.tensor(tensor_prefix + "input.weight").shape()[1]};
    const auto compensator = load_tokens(file, tokens, sent).value();
    const Bitplane bits = random_bits(sent, 3), all = bits::reference::all_received(sent);
    Tensor map(tokens);
    for (const Bitplane& received : {random_bits(sent, 4), all}) {
      compensator->reconstruct_into(bits, received, map);
      CHECK(relative_difference(map, definition(file, bits, received)) < 1e-5);
    }
    compensator->reconstruct_into(bits, map);
    Tensor expected = definition(file, bits, all);
    CHECK(relative_difference(map, expected) < 1e-5);

    for (float& x : expected.span()) x = std::max(x, 0.0f);
    load_tokens(file, tokens, sent, kernels::Activation::relu).value()->reconstruct_into(bits, map);
    CHECK(relative_difference(map, expected) < 1e-5);
  }
}

TEST_CASE("a reconstruction of tokens allocates nothing and is the same for any number of threads") {
  const auto compensator = load_tokens(WeightsFile::golden("tiny-vit-qcnet2.server")).value();
  const Bitplane bits = binarize(random_tensor(tokens, 3), std::vector<float>(24, 0.2f));
  Tensor one(tokens), two(tokens);
  {
    const Threads threads(1);
    compensator->reconstruct_into(bits, one);
    const std::size_t before = allocations();
    compensator->reconstruct_into(bits, one);
    compensator->reconstruct_into(bits, bits, two);
    CHECK(allocations() == before);
  }
  const Threads threads(2);
  compensator->reconstruct_into(bits, two);
  CHECK(identical(one, two));
}

TEST_CASE("so many tokens that threads do share the work are reconstructed the same by any number of them") {
  const Shape many{1, 257, 24};
  WeightsFile file = WeightsFile::golden("tiny-vit-qcnet2.server");
  file.set(tensor_prefix + "positions", {1, 257, 64}, random_values(257 * 64, 5));
  file.set("qcnet.levels", {2, 257, 24}, random_values(2 * 257 * 24, 6));
  const auto compensator = load_tokens(file, many, many).value();
  REQUIRE(is_worth_threads(257 * 24 * 64));
  const Bitplane bits = random_bits(many, 7), received = random_bits(many, 8);
  Tensor one(many), other(many);
  for (const bool all : {true, false}) {
    const auto reconstruct = [&](int count, Tensor& map) {
      const Threads threads(count);
      all ? compensator->reconstruct_into(bits, map) : compensator->reconstruct_into(bits, received, map);
    };
    reconstruct(1, one);
    for (const int count : {2, 3}) {
      reconstruct(count, other);
      CHECK(identical(one, other));
    }
  }
}

TEST_CASE("what is wrong with an attention QCNet is one sentence") {
  const WeightsFile good = WeightsFile::golden("tiny-vit-qcnet1.server");
  for (const char* name : {"input.weight", "input.bias", "positions", "blocks.0.ln_1.weight",
                           "blocks.0.self_attention.out_proj.bias", "norm.bias", "output.weight", "scale"})
    CHECK(error_of(WeightsFile(good).drop({tensor_prefix + name})) ==
          tensor_prefix + name + ": there is no such tensor");
  CHECK(error_of(WeightsFile(good).set(tensor_prefix + "positions", {1, 16, 16})) ==
        tensor_prefix + "positions: expected shape [1, 17, 16], found [1, 16, 16]");
  CHECK(error_of(WeightsFile(good).set(tensor_prefix + "input.weight", {16, 23})) ==
        tensor_prefix + "input.weight: expected shape [out, 24], found [16, 23]");
  CHECK(error_of(WeightsFile(good).set(tensor_prefix + "output.weight", {23, 16})) ==
        tensor_prefix + "output.weight: expected shape [24, 16], found [23, 16]");
  CHECK(contains(error_of(good, {1, 4, 4, 24}), "this QCNet is for tokens, the map is [1, 4, 4, 24]"));
  CHECK(error_of(WeightsFile(good)
                     .poke(tensor_prefix + "scale", 2, 1e38f)
                     .poke(tensor_prefix + "output.bias", 2, 1e38f)) ==
        tensor_prefix + "scale: folding it into the layer before it gives a weight that is not finite");
  for (const char* heads : {"", "0", "two", "-1"})
    CHECK(contains(error_of(WeightsFile(good).set_metadata(tensor_prefix + "heads", heads)),
                   "number of heads"));
  CHECK(contains(error_of(WeightsFile(good).set_metadata(tensor_prefix + "heads", "3")),
                 "16 channels cannot be split into 3 heads"));
}
