#include "support.hpp"

#include <qcnet/kernels/attention.hpp>
#include <qcnet/kernels/reference.hpp>

using namespace qcnet;
using namespace qcnet::test;

namespace {

struct AttentionCase {
  std::size_t images, tokens, heads, size;
};

Tensor queries_keys_values(const AttentionCase& c, float spread = 1.0f) {
  Tensor qkv =
      random_tensor({c.images, c.tokens, 3 * c.heads * c.size}, static_cast<std::uint32_t>(c.tokens));
  for (float& x : qkv.span()) x *= spread;
  return qkv;
}

}  // namespace

TEST_CASE("attention equals its plain twin") {
  for (const std::size_t tokens : Sizes{1, 2, 7, 16, 33, 65, 128, 129, 197, 300})
    for (const AttentionCase& c :
         {AttentionCase{1, tokens, 1, 1}, AttentionCase{2, tokens, 3, 5}, AttentionCase{1, tokens, 2, 64},
          AttentionCase{1, tokens, 1, 37}, AttentionCase{0, tokens, 2, 8}}) {
      const Tensor qkv = queries_keys_values(c);
      Tensor fast({c.images, tokens, c.heads * c.size}), plain(fast.shape());
      kernels::attention(qkv, c.heads, fast);
      reference::attention(qkv, c.heads, plain);
      CAPTURE(tokens);
      CAPTURE(c.size);
      CHECK((c.images == 0 || relative_difference(fast, plain) < 5e-6));
    }
}

TEST_CASE("the largest head") {
  const AttentionCase c{1, 19, 1, kernels::max_head_size};
  const Tensor qkv = queries_keys_values(c);
  Tensor fast({1, 19, c.size}), plain(fast.shape());
  kernels::attention(qkv, 1, fast);
  reference::attention(qkv, 1, plain);
  CHECK(relative_difference(fast, plain) < 5e-6);
}

TEST_CASE("scores far apart neither overflow nor lose the sum across blocks of keys") {
  const AttentionCase c{1, 400, 2, 16};
  const Tensor qkv = queries_keys_values(c, 12.0f);
  Tensor fast({1, 400, 32}), plain(fast.shape());
  kernels::attention(qkv, c.heads, fast);
  reference::attention(qkv, c.heads, plain);
  CHECK(relative_difference(fast, plain) < 2e-4);  // scores of 2000 carry an error of 1e-4
}

TEST_CASE("attention for any number of threads, bit for bit") {
  const AttentionCase c{2, 70, 3, 16};
  const Tensor qkv = queries_keys_values(c);
  Tensor one({2, 70, 48}), two({2, 70, 48});
  {
    const Threads threads(1);
    kernels::attention(qkv, 3, one);
  }
  const Threads threads(2);
  kernels::attention(qkv, 3, two);
  CHECK(identical(one, two));
}
