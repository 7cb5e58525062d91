// Sums of table entries: the inner loop of the lookup convolution.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <qcnet/simd/vec.hpp>

namespace qcnet::inline QCNET_ABI::bits {

// Four input bits choose one of the 16 sums +-w0 +-w1 +-w2 +-w3. A table holds these for a block of `Width`
// output channels, and a 17th entry of zeros for taps that lie in the zero padding. A byte of input has two
// tables, low half first. The tables of up to `slice_bytes` bytes form a slice; it stays in the L1 cache
// while `tile_pixels` output pixels use it, and they make up for the time to bring it there.
inline constexpr std::size_t table_entries = 17;
inline constexpr std::size_t slice_bytes = 8;
inline constexpr std::size_t tile_pixels = 256;

// What one input byte chooses: 8 times the number of the low half's entry in bits 0-7, of the high half's in
// bits 8-15. The address arithmetic of x86 undoes the factor for free.
using Choice = std::uint16_t;
inline constexpr Choice padding_choice = 0x8080;

/// Input bytes of which not every bit arrived, and what the others count as: all 0 or all 1.
struct PartialBytes {
  const std::uint8_t* bits;
  const std::uint8_t* received;
  std::uint8_t erased;  // 0x00 or 0xFF

  std::uint8_t operator[](std::size_t i) const {
    return static_cast<std::uint8_t>((bits[i] & received[i]) | (erased & ~received[i]));
  }
  PartialBytes operator+(std::size_t offset) const { return {bits + offset, received + offset, erased}; }
};

/// The choices of `count` bytes, given by a pointer or partial: a few vector instructions if `count` is a
/// constant.
template <class Bytes, class Count>
void choose(Bytes bytes, Count count, Choice* __restrict choices) {
  for (std::size_t i = 0; i < count; ++i)
    choices[i] = static_cast<Choice>((bytes[i] & 0x0Fu) << 3 | (bytes[i] & 0xF0u) << 7);
}

/// A slice for one block of output channels, and what happens before and after it.
struct Slice {
  const float* tables;  // [2 * bytes][table_entries][Width]
  const float* next;    // the tables that will be used next
  std::size_t bytes;
  const float* initial;  // [Width], the bias; null if this is not the first slice: it adds to the output
  bool relu;             // only if this is the last slice
};

/// Adds a slice to `columns` channels of `Pixels` output pixels, `out_stride` floats apart; with `Full`,
/// `columns` is `Width`. `choices` is [Pixels][slice_bytes].
template <std::size_t Width, std::size_t Pixels, bool Full>
void accumulate(const Slice& slice, const Choice* choices, float* out, std::size_t out_stride,
                std::size_t columns) {
  constexpr std::size_t vectors = Width / vec::size;
  // Folds, not loops, over `sums`: only then does GCC 12 keep them in registers.
  const auto run = [&]<std::size_t... I>(std::index_sequence<I...>) {
    const auto column = [&](std::size_t i) { return i % vectors * vec::size; };
    const auto output = [&](std::size_t i) { return out + i / vectors * out_stride + column(i); };
    const auto count = [&](std::size_t i) {
      return columns > column(i) ? std::min(columns - column(i), vec::size) : 0;
    };
    const auto start = [&](std::size_t i) {
      if (slice.initial != nullptr) return vec::load(slice.initial + column(i));
      return Full ? vec::load(output(i)) : vec::load_partial(output(i), count(i));
    };
    vec sums[] = {start(I)...};
    const float* table = slice.tables;
    for (std::size_t byte = 0; byte < slice.bytes; ++byte, table += 2 * table_entries * Width) {
      const auto choice = [&](std::size_t i) -> std::size_t {
        return choices[i / vectors * slice_bytes + byte];
      };
      const auto add = [&](std::size_t i, const float* entries, std::size_t entry_by_8) {
        sums[i] = sums[i] + vec::load(entries + entry_by_8 * (Width / 8) + column(i));
      };
      (add(I, table, choice(I) & 0xFF), ...);
      (add(I, table + table_entries * Width, choice(I) >> 8), ...);
    }
    if (slice.relu) ((sums[I] = max(vec::zero(), sums[I])), ...);
    (Full ? (sums[I].store(output(I)), ...) : (sums[I].store_partial(output(I), count(I)), ...));
  };
  run(std::make_index_sequence<Pixels * vectors>());
}

/// The same for any number of pixels. Meanwhile it brings the next slice nearer: entries are used in an order
/// that no hardware prefetcher can guess (measured: 2.5 times the speed where tables exceed the L2 cache).
template <std::size_t Width, bool Full>
void accumulate_tile(const Slice& slice, const Choice* choices, std::size_t pixels, float* out,
                     std::size_t out_stride, std::size_t columns) {
  constexpr std::size_t vectors = Width / vec::size, step = vectors < 8 ? 8 / vectors : 1, line = 16;
  const std::size_t floats = 2 * slice.bytes * table_entries * Width;
  const std::size_t floats_per_pixel = floats / std::max<std::size_t>(pixels, 1) + line;
  std::size_t fetched = 0;
  std::size_t p = 0;
  for (; p + step <= pixels; p += step) {
    for (const std::size_t end = std::min(floats, (p + step) * floats_per_pixel); fetched < end;
         fetched += line)
      __builtin_prefetch(slice.next + fetched, 0, 1);
    accumulate<Width, step, Full>(slice, choices + p * slice_bytes, out + p * out_stride, out_stride,
                                  columns);
  }
  for (; p < pixels; ++p)
    accumulate<Width, 1, Full>(slice, choices + p * slice_bytes, out + p * out_stride, out_stride, columns);
}

/// The same for any number of columns that are left: `Width` of them if there are more.
template <std::size_t Width>
void accumulate_tile(const Slice& slice, const Choice* choices, std::size_t pixels, float* out,
                     std::size_t out_stride, std::size_t columns) {
  if (columns >= Width)
    accumulate_tile<Width, true>(slice, choices, pixels, out, out_stride, Width);
  else
    accumulate_tile<Width, false>(slice, choices, pixels, out, out_stride, columns);
}

}  // namespace qcnet::inline QCNET_ABI::bits
