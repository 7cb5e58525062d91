// Floats rounded to bfloat16, two in place of one.
#pragma once

#include <algorithm>
#include <cstddef>

#include <qcnet/simd/vec.hpp>

#if QCNET_HAS_BF16

namespace qcnet::inline QCNET_ABI::kernels {

/// Rounds `count` floats to the nearest bfloat16, to the even one if there are two. They are written two by
/// two in the place of a float, (count + 1) / 2 of them; behind an odd count stands a zero.
inline void round_to_bf16(const float* from, std::size_t count, float* to) {
  constexpr std::size_t step = 2 * vec::size;
  std::size_t i = 0;
  for (; i + step <= count; i += step)
    bf16_pairs(vec::load(from + i), vec::load(from + i + vec::size)).store(to + i / 2);
  if (i == count) return;
  const std::size_t low = std::min(count - i, vec::size), high = count - i - low;
  const vec second = high > 0 ? vec::load_partial(from + i + vec::size, high) : vec::zero();
  bf16_pairs(vec::load_partial(from + i, low), second).store_partial(to + i / 2, (count - i + 1) / 2);
}

}  // namespace qcnet::inline QCNET_ABI::kernels

#endif
