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

/// Keys whose scores are held at once: 16 KiB on AVX-512, half the L1 cache.
inline constexpr std::size_t block_keys = 128 / max_rows * max_rows;

/// V vectors of queries, side by side in the lanes, so that softmax over the keys never crosses lanes.
template <std::size_t V>
struct QueryBlock {
  static constexpr std::size_t width = V * vec::size;
  alignas(64) float queries[max_head_size * width];  // [head size][query], scaled
  alignas(64) float sums[max_head_size * width];     // [head size][query]
  alignas(64) float scores[block_keys * width];      // [key][query]
  vec largest[V], total[V];
};

/// scores[key][query] of `count` keys, `stride` floats apart.
template <std::size_t V>
void score_keys(QueryBlock<V>& block, const float* keys, std::size_t stride, std::size_t count,
                std::size_t head_size) {
  alignas(64) static constexpr float zeros[V * vec::size] = {};
  for (std::size_t k = 0; k < count;) {
    const std::size_t height = tile_height(count - k);  // at the end maybe one more than there are
    std::array<const float*, max_rows> rows;
    multiply_tile(height,
                  rows_at(keys + k * stride, stride, height, count - k, head_size, block.queries, rows),
                  block.queries, block.width, {zeros, 0, block.scores + k * block.width, block.width});
    k += height;
  }
}

/// Scores to exp(score - largest). When a query's largest score grows, what was summed up for it shrinks.
template <std::size_t V>
void exponentiate(QueryBlock<V>& block, std::size_t count, std::size_t head_size, bool first) {
  for (std::size_t v = 0; v < V; ++v) {
    float* scores = block.scores + v * vec::size;
    // Two chains, as each maximum has to wait for the one before.
    vec largest = block.largest[v], other = largest;
    for (std::size_t k = 0; k + 1 < count; k += 2) {
      largest = max(largest, vec::load(scores + k * block.width));
      other = max(other, vec::load(scores + (k + 1) * block.width));
    }
    largest = max(max(largest, other), vec::load(scores + (count - 1) * block.width));
    const vec shrink = first ? vec::zero() : exp(block.largest[v] - largest);
    vec total = block.total[v] * shrink;
    for (std::size_t k = 0; k < count; ++k, scores += block.width) {
      const vec e = exp(vec::load(scores) - largest);
      e.store(scores);
      total = total + e;
    }
    block.largest[v] = largest;
    block.total[v] = total;
    for (std::size_t d = 0; d < head_size && !first; ++d) {
      float* sum = block.sums + d * block.width + v * vec::size;
      (vec::load(sum) * shrink).store(sum);
    }
  }
}

/// sums[d][query] += sum over keys of values[key][d] * scores[key][query], for Rows of d.
template <std::size_t Rows, std::size_t V>
void add_values(float* sums, const float* scores, const float* values, std::size_t stride,
                std::size_t count) {
  vec acc[Rows][V];
#pragma GCC unroll 16
  for (std::size_t m = 0; m < Rows; ++m)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) acc[m][v] = vec::load(sums + (m * V + v) * vec::size);
  for (std::size_t k = 0; k < count; ++k, values += stride, scores += V * vec::size) {
    vec s[V];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) s[v] = vec::load(scores + v * vec::size);
#pragma GCC unroll 16
    for (std::size_t m = 0; m < Rows; ++m) {
      const vec x = vec::broadcast(values[m]);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < V; ++v) acc[m][v] = fma(x, s[v], acc[m][v]);
    }
  }
#pragma GCC unroll 16
  for (std::size_t m = 0; m < Rows; ++m)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) acc[m][v].store(sums + (m * V + v) * vec::size);
}

/// One head of one image: `queries`, `keys` and `values` are its first token's, others follow `stride` floats
/// apart; so do the outputs, `out_stride` apart.
struct Head {
  const float *queries, *keys, *values;
  std::size_t stride, tokens, size;
  float* output;
  std::size_t out_stride;
};

/// The outputs of `count` queries from `first` on, which V vectors hold. Keys come in blocks; softmax is kept
/// up block by block (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018), so that
/// scores never leave the L1 cache.
template <std::size_t V>
void attend(const Head& head, std::size_t first, std::size_t count) {
  QueryBlock<V> block;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head.size));
  if (count < block.width) std::fill_n(block.queries, head.size * block.width, 0.0f);
  for (std::size_t q = 0; q < count; ++q) {
    const float* from = head.queries + (first + q) * head.stride;
    for (std::size_t d = 0; d < head.size; ++d) block.queries[d * block.width + q] = from[d] * scale;
  }
  std::fill_n(block.sums, head.size * block.width, 0.0f);
  std::fill_n(block.total, V, vec::zero());
  std::fill_n(block.largest, V, vec::broadcast(-std::numeric_limits<float>::infinity()));

  for (std::size_t k = 0; k < head.tokens; k += block_keys) {
    const std::size_t keys = std::min(block_keys, head.tokens - k);
    score_keys(block, head.keys + k * head.stride, head.stride, keys, head.size);
    exponentiate(block, keys, head.size, k == 0);
    const float* values = head.values + k * head.stride;
    std::size_t d = 0;
    for (; d + max_rows <= head.size; d += max_rows)
      add_values<max_rows, V>(block.sums + d * block.width, block.scores, values + d, head.stride, keys);
    for (; d + 4 <= head.size; d += 4)
      add_values<4, V>(block.sums + d * block.width, block.scores, values + d, head.stride, keys);
    for (; d < head.size; ++d)
      add_values<1, V>(block.sums + d * block.width, block.scores, values + d, head.stride, keys);
  }
  alignas(64) float total[block.width];
  for (std::size_t v = 0; v < V; ++v) block.total[v].store(total + v * vec::size);
  for (std::size_t q = 0; q < count; ++q) {
    float* out = head.output + (first + q) * head.out_stride;
    const float norm = 1.0f / total[q];
    for (std::size_t d = 0; d < head.size; ++d) out[d] = block.sums[d * block.width + q] * norm;
  }
}

}  // namespace detail

/// softmax(Q K^T / sqrt(d)) V for every head. `qkv` is `[N, T, 3 C]`, a token's queries, keys and values one
/// after the other as PyTorch's in_proj makes them, each of `heads` heads of d = C / heads channels;
/// `output` is `[N, T, C]`. d is at most `max_head_size`. Allocates nothing; needs 80 KiB of stack with
/// AVX-512, less with narrower vectors.
inline void attention(ConstTensorView qkv, std::size_t heads, TensorView output) {
  const std::size_t images = output.shape[0], tokens = output.shape[1], channels = output.shape[2];
  constexpr std::size_t width = detail::QueryBlock<block_vectors>::width;
  const std::size_t blocks = (tokens + width - 1) / width;
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
    const std::size_t first = block * width, left = tokens - first;
    if (left <= vec::size)
      detail::attend<1>(head, first, left);
    else
      detail::attend<block_vectors>(head, first, std::min(width, left));
  };
  parallel_for(images * heads * blocks, body, images * tokens * tokens * channels > (std::size_t{1} << 16));
}

}  // namespace qcnet::inline QCNET_ABI::kernels
