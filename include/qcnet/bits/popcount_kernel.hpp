// In how many bits pixels differ from output channels' weights: the inner loop of the binary convolution.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <qcnet/core/unroll.hpp>
#include <qcnet/simd/vec.hpp>

#if QCNET_HAS_VPOPCNT
#include <qcnet/bits/arch/popcount_vpopcnt.hpp>
#elif QCNET_ISA_AVX512
#include <qcnet/bits/arch/popcount_avx512.hpp>
#elif QCNET_ISA_AVX2
#include <qcnet/bits/arch/popcount_avx2.hpp>
#elif QCNET_HAS_SSSE3
#include <qcnet/bits/arch/popcount_ssse3.hpp>
#elif QCNET_ISA_SSE2
#include <qcnet/bits/arch/popcount_sse2.hpp>
#elif QCNET_ISA_NEON
#include <qcnet/bits/arch/popcount_neon.hpp>
#else
#include <qcnet/bits/arch/popcount_scalar.hpp>
#endif

namespace qcnet::inline QCNET_ABI::bits::popcount {

// Every lane of a register belongs to another output channel, so nothing is ever summed across a register. A
// step compares `lane_bits` bits of each lane's weights with the same bits of a pixel. The files in arch/ say
// how, all in the same order:
//
//   Register              lanes while they are counted
//   lanes, lane_bits      output channels of a register, and bits of each that a step compares: 64, 8 or 4
//   block_rows, _vectors  the accumulator block: pixels, and registers of output channels
//   most_steps            that a lane surely holds: 63 times 4 bits or 31 times 8 in a byte; else any number
//   zero, load_weights    a register of no counts; a step of a register's channels (64-byte aligned)
//   load_input            a pixel's step for all lanes
//   in_register           the same value; GCC 12 would load it again for every use, or copy it around
//   add_mismatches        sums + the number of bits in which input and weights differ, lane by lane
//   subtract_twice        to[i] = from[i] - 2 sums[i], over the lanes of a register, or of a row of them
//   add_to                adds each lane to a wider sum, before it overflows

/// Output channels of a block, and the number that all blocks' are a multiple of: bits fill whole bytes.
inline constexpr std::size_t block_columns = block_vectors * lanes;
inline constexpr std::size_t column_unit = lanes < 8 ? 8 : lanes;
static_assert(block_columns % column_unit == 0);
/// Bytes that a step takes of a channel's weights, and of a pixel's input. Half bytes have a byte each.
inline constexpr std::size_t step_bytes = lane_bits == 64 ? 8 : 1;
/// Bytes of a pixel that the kernel takes at once: sums of 16 bits hold as many bits.
inline constexpr std::size_t most_bytes = 65528 / 8;

/// Output channels rounded up to whole registers.
inline std::size_t padded(std::size_t columns) {
  return (columns + column_unit - 1) / column_unit * column_unit;
}
/// Steps of a row of bytes.
inline std::size_t steps_of(std::size_t bytes) {
  return (8 * bytes + lane_bits - 1) / lane_bits;
}

/// What `load_input` wants where a step is 4 bits: the halves of each byte, low half first, times 16.
inline void split_halves(const std::uint8_t* __restrict bytes, std::size_t count,
                         std::uint8_t* __restrict halves) {
  for (std::size_t i = 0; i < count; ++i) {
    halves[2 * i] = static_cast<std::uint8_t>(bytes[i] << 4);
    halves[2 * i + 1] = bytes[i] & 0xF0;
  }
}

/// subtract_twice over a row of registers.
template <std::size_t Vectors>
void subtract_row(const std::int32_t* from, const Register (&sums)[Vectors], std::int32_t* to) {
  if constexpr (requires { subtract_twice(from, sums[0], to); })
    unroll(std::make_index_sequence<Vectors>{},
           [&](auto v) { subtract_twice(from + v * lanes, sums[v], to + v * lanes); });
  else
    subtract_twice(from, sums, to);
}

/// Where a block's counts start from and where they go: `counts` is [rows][Vectors * lanes]. `start` has the
/// same layout and may be `counts`; with a `start_stride` of 0 all rows start alike.
struct BlockCounts {
  const std::int32_t* start;
  std::size_t start_stride;
  std::int32_t* counts;
};

/// counts = start - 2 (number of bits in which an input differs from the weights), for the `Rows` inputs,
/// `stride` bytes apart, and `weights`, [steps][Vectors * lanes][step_bytes].
template <std::size_t Rows, std::size_t Vectors>
void count_block(const std::uint8_t* inputs, std::size_t stride, const std::uint8_t* weights,
                 std::size_t steps, BlockCounts block) {
  constexpr auto rows = std::make_index_sequence<Rows>{};
  constexpr auto vectors = std::make_index_sequence<Vectors>{};
  constexpr std::size_t columns = Vectors * lanes;
  const std::uint8_t* row[Rows];
  unroll(rows, [&](auto r) { row[r] = inputs + r * stride; });
  Register sums[Rows][Vectors];
  // Inlined twice: only so, and with no index at run time, do compilers keep the sums in registers.
  const auto count = [&](std::size_t step, std::size_t end) __attribute__((always_inline)) {
    unroll(rows, [&](auto r) { unroll(vectors, [&](auto v) { sums[r][v] = zero(); }); });
    for (; step < end; ++step, weights += columns * step_bytes) {
      Register w[Vectors];
      unroll(vectors, [&](auto v) { w[v] = in_register(load_weights(weights + v * lanes * step_bytes)); });
      unroll(rows, [&](auto r) {
        const Register x = in_register(load_input(row[r] + step * step_bytes));
        unroll(vectors, [&](auto v) { sums[r][v] = in_register(add_mismatches(sums[r][v], x, w[v])); });
      });
    }
  };
  if (steps > most_steps) {
    alignas(64) std::uint16_t wide[Rows * columns] = {};
    for (std::size_t step = 0; step < steps; step += most_steps) {
      count(step, std::min(steps, step + most_steps));
      unroll(rows, [&](auto r) {
        unroll(vectors, [&](auto v) { add_to(wide + r * columns + v * lanes, sums[r][v]); });
      });
    }
    for (std::size_t r = 0; r < Rows; ++r)
      for (std::size_t c = 0; c < columns; ++c)
        block.counts[r * columns + c] = block.start[r * block.start_stride + c] - 2 * wide[r * columns + c];
    return;
  }
  count(0, steps);
  unroll(rows, [&](auto r) {
    subtract_row(block.start + r * block.start_stride, sums[r], block.counts + r * columns);
  });
}

namespace detail {

using Kernel = void (*)(const std::uint8_t*, std::size_t, const std::uint8_t*, std::size_t, BlockCounts);

template <std::size_t Vectors, std::size_t... I>
constexpr std::array<Kernel, block_rows> list_rows(std::index_sequence<I...>) {
  return {count_block<I + 1, Vectors>...};
}
template <std::size_t... I>
constexpr std::array<std::array<Kernel, block_rows>, sizeof...(I)> list_kernels(std::index_sequence<I...>) {
  return {list_rows<(I + 1) * column_unit / lanes>(std::make_index_sequence<block_rows>{})...};
}

/// Of every number of units of columns, of every number of rows.
inline constexpr auto kernels = list_kernels(std::make_index_sequence<block_columns / column_unit>{});

}  // namespace detail

/// The same for `rows` rows, at most `block_rows`, of `columns` lanes, a multiple of `column_unit` and at
/// most `block_columns`.
inline void count_block(std::size_t rows, std::size_t columns, const std::uint8_t* inputs, std::size_t stride,
                        const std::uint8_t* weights, std::size_t steps, const BlockCounts& block) {
  detail::kernels[columns / column_unit - 1][rows - 1](inputs, stride, weights, steps, block);
}

}  // namespace qcnet::inline QCNET_ABI::bits::popcount
