// Multi-head self-attention (Vaswani et al., 2017), the part between its two projections.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include <qcnet/core/parallel.hpp>
#include <qcnet/core/tensor.hpp>
#include <qcnet/kernels/gemm.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

/// Largest size of a head: a block of queries and its result stay on the stack.
inline constexpr std::size_t max_head_size = 256;

namespace detail {

/// Queries side by side in the lanes of a block, so that softmax over the keys never crosses lanes.
inline constexpr std::size_t block_queries = block_columns;
/// Keys whose scores are held at once: 16 KiB on AVX-512, half the L1 cache.
inline constexpr std::size_t block_keys = 128;

struct QueryBlock {
  alignas(64) float queries[max_head_size * block_queries];  // [head size][query], scaled
  alignas(64) float sums[max_head_size * block_queries];     // [head size][query]
  alignas(64) float scores[block_keys * block_queries];      // [key][query]
  alignas(64) float largest[block_queries];
  alignas(64) float total[block_queries];
};

/// Where the micro-kernel's rows, one a key, go.
struct StoreScores {
  float* scores;
  void operator()(const RowBlock& block, const vec (&row)[block_vectors]) const {
    for (std::size_t v = 0; v < block_vectors; ++v)
      row[v].store(scores + block.pixel * block_queries + v * vec::size);
  }
};

/// scores[key][query] of `count` keys, `stride` floats apart.
inline void score_keys(QueryBlock& block, const float* keys, std::size_t stride, std::size_t count,
                       std::size_t head_size) {
  alignas(64) static constexpr float zeros[block_queries] = {};
  for (std::size_t k = 0; k < count; k += max_rows) {
    std::array<const float*, max_rows> rows;
    for (std::size_t m = 0; m < max_rows; ++m) rows[m] = keys + std::min(k + m, count - 1) * stride;
    micro_kernel<max_rows, block_vectors>({rows.data(), 1, head_size}, block.queries, zeros,
                                          {k, 0, block_queries}, std::min(max_rows, count - k),
                                          StoreScores{block.scores});
  }
}

/// Scores to exp(score - largest). When a query's largest score grows, what was summed up for it shrinks.
inline void exponentiate(QueryBlock& block, std::size_t count, std::size_t head_size, bool first) {
  for (std::size_t lane = 0; lane < block_queries; lane += vec::size) {
    vec largest = vec::load(block.largest + lane);
    for (std::size_t k = 0; k < count; ++k)
      largest = max(largest, vec::load(block.scores + k * block_queries + lane));
    const vec shrink = first ? vec::zero() : exp(vec::load(block.largest + lane) - largest);
    vec total = vec::load(block.total + lane) * shrink;
    for (std::size_t k = 0; k < count; ++k) {
      float* score = block.scores + k * block_queries + lane;
      const vec e = exp(vec::load(score) - largest);
      e.store(score);
      total = total + e;
    }
    largest.store(block.largest + lane);
    total.store(block.total + lane);
    for (std::size_t d = 0; d < head_size && !first; ++d) {
      float* sum = block.sums + d * block_queries + lane;
      (vec::load(sum) * shrink).store(sum);
    }
  }
}

/// sums[d][query] += sum over keys of values[key][d] * scores[key][query], for Rows of d.
template <std::size_t Rows>
void add_values(float* sums, const float* scores, const float* values, std::size_t stride,
                std::size_t count) {
  constexpr auto rows = std::make_index_sequence<Rows>{};
  constexpr auto vectors = std::make_index_sequence<block_vectors>{};
  vec acc[Rows][block_vectors];
  unroll(rows, [&](auto m) {
    unroll(vectors, [&](auto v) { acc[m][v] = vec::load(sums + m * block_queries + v * vec::size); });
  });
  for (std::size_t k = 0; k < count; ++k, values += stride, scores += block_queries) {
    vec s[block_vectors];
    unroll(vectors, [&](auto v) { s[v] = vec::load(scores + v * vec::size); });
    unroll(rows, [&](auto m) {
      const vec x = vec::broadcast(values[m]);
      unroll(vectors, [&](auto v) { acc[m][v] = fma(x, s[v], acc[m][v]); });
    });
  }
  unroll(rows, [&](auto m) {
    unroll(vectors, [&](auto v) { acc[m][v].store(sums + m * block_queries + v * vec::size); });
  });
}

/// One head of one image: `queries`, `keys` and `values` are its first token's, others follow `stride` floats
/// apart; so do the outputs, `out_stride` apart.
struct Head {
  const float *queries, *keys, *values;
  std::size_t stride, tokens, size;
  float* output;
  std::size_t out_stride;
};

/// The outputs of `count` queries from `first` on. Keys come in blocks; softmax is kept up block by block
/// (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018), so that scores never leave
/// the L1 cache.
inline void attend(const Head& head, std::size_t first, std::size_t count) {
  QueryBlock block;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head.size));
  for (std::size_t d = 0; d < head.size; ++d)
    for (std::size_t q = 0; q < block_queries; ++q)
      block.queries[d * block_queries + q] =
          q < count ? head.queries[(first + q) * head.stride + d] * scale : 0.0f;
  std::fill_n(block.sums, head.size * block_queries, 0.0f);
  std::fill_n(block.total, block_queries, 0.0f);
  std::fill_n(block.largest, block_queries, -std::numeric_limits<float>::infinity());

  for (std::size_t k = 0; k < head.tokens; k += block_keys) {
    const std::size_t keys = std::min(block_keys, head.tokens - k);
    score_keys(block, head.keys + k * head.stride, head.stride, keys, head.size);
    exponentiate(block, keys, head.size, k == 0);
    const float* values = head.values + k * head.stride;
    std::size_t d = 0;
    for (; d + max_rows <= head.size; d += max_rows)
      add_values<max_rows>(block.sums + d * block_queries, block.scores, values + d, head.stride, keys);
    for (; d + 4 <= head.size; d += 4)
      add_values<4>(block.sums + d * block_queries, block.scores, values + d, head.stride, keys);
    for (; d < head.size; ++d)
      add_values<1>(block.sums + d * block_queries, block.scores, values + d, head.stride, keys);
  }
  for (std::size_t q = 0; q < count; ++q) {
    float* out = head.output + (first + q) * head.out_stride;
    const float norm = 1.0f / block.total[q];
    for (std::size_t d = 0; d < head.size; ++d) out[d] = block.sums[d * block_queries + q] * norm;
  }
}

}  // namespace detail

/// softmax(Q K^T / sqrt(d)) V for every head. `qkv` is `[N, T, 3 C]`, a token's queries, keys and values one
/// after the other as PyTorch's in_proj makes them, each of `heads` heads of d = C / heads channels;
/// `output` is `[N, T, C]`. d is at most `max_head_size`. Allocates nothing; needs 80 KiB of stack with
/// AVX-512, less with narrower vectors.
inline void attention(ConstTensorView qkv, std::size_t heads, TensorView output) {
  const std::size_t images = output.shape[0], tokens = output.shape[1], channels = output.shape[2];
  const std::size_t blocks = (tokens + detail::block_queries - 1) / detail::block_queries;
  const std::size_t size = heads == 0 ? 0 : channels / heads;
  const auto body = [&](std::size_t task) {
    const std::size_t image = task / (heads * blocks), h = task / blocks % heads, block = task % blocks;
    const float* from = qkv.data + image * tokens * 3 * channels + h * size;
    const detail::Head head{from,
                            from + channels,
                            from + 2 * channels,
                            3 * channels,
                            tokens,
                            size,
                            output.data + image * tokens * channels + h * size,
                            channels};
    const std::size_t first = block * detail::block_queries;
    detail::attend(head, first, std::min(detail::block_queries, tokens - first));
  };
  parallel_for(images * heads * blocks, body, images * tokens * tokens * channels > (std::size_t{1} << 16));
}

}  // namespace qcnet::inline QCNET_ABI::kernels
