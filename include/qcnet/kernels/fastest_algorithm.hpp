// Which algorithm suits a convolution.
#pragma once

#include <cstddef>

#include <qcnet/core/arithmetic.hpp>
#include <qcnet/kernels/packed_conv2d.hpp>

namespace qcnet::inline QCNET_ABI::kernels {

/// The algorithm that is the fastest for such an output.
///
/// 3x3 kernels, one thread, AVX-512, us:
///
///                          direct   2x2    4x4
///     56x56,  64 ->   64     2085   1083    648
///     14x14, 256 ->  256     2009    993    711
///     13x13, 512 -> 1024    15269   8958   7031
///      8x8,   64 ->   64       47     23     14
///      8x8,  512 ->  512     2879   1247   1327
///      7x7,  512 ->  512     2011   1254   1330
///      4x4,  128 ->  128       32     21     33
///
/// Of few input channels transforms take longer than products: on Zen 5 the direct algorithm takes of the 4x4
/// one's time, with AVX-512 and AVX2,
///
///     32x32,   1 ->   16     0.51   0.73
///     32x32,   3 ->   16     0.72   0.90
///     416x416, 3 ->   16     0.57   0.81
///     208x208, 4 ->   32     0.88   0.90
///     208x208, 8 ->   32     1.21   1.32
///
/// Winograd's of 4x4 it is, unless a map has so few tiles that reading the weights takes longer than
/// multiplying: they are 4 times the direct ones (2x2: 16/9). 6x6 would gain 5 % on large maps and lose on
/// those of 14x14, with several times the error and 7 times the weights.
///
/// 1x1 kernels, the same:
///
///                          direct   Strassen
///     197,   768 ->  768     2104   1911
///     197,  3072 ->  768     8443   7849
///     196,   512 -> 1024     1844   1679
///     784,   512 ->  128      893    861
///     784,   128 ->  512      914    899
///     3136,  256 ->  128     1902   1943
///     3136,   64 ->  256     1013   1051
///     49,   3072 ->  768     2165   2055   (within ConvNeXt-Tiny: weights come from memory)
///     49,    512 -> 2048      976    943   (within ResNet50)
///     65,    192 ->  768      172    164
///     8,    1024 -> 1024      146    191
///
/// and with AVX2, within models:
///
///     197,   768 ->  768     2130   2086
///     197,  3072 ->  768     8733   8461
///     196,  1024 ->  256     1005    950
///     784,   512 ->  256     1898   1986
///     784,   128 ->  512      994   1060
///     49,   3072 ->  768     2528   2334
///     49,    512 -> 2048     1029   1063
///
/// Strassen's pays where the sums of inputs are for many outputs, products for many inputs, and weights for
/// many pixels, as there are 1.75 times as many. With AVX2's lower tiles sums cost more.
inline ConvAlgorithm fastest_algorithm(const PackedConv2d& conv, const Shape& output,
                                       const Arithmetic& allowed = {}) {
  if (allowed.bf16 && is_pointwise(conv.geometry())) return ConvAlgorithm::direct_bf16;
  if (!allowed.fast) return ConvAlgorithm::direct;
  const std::size_t cin = conv.input_channels(), cout = conv.output_channels(), pixels = output.pixels();
  if (is_single_tap(conv.geometry())) {
    const bool wide =
        cin >= 128 && cout >= 128 && cin * cout >= (std::size_t{1} << (QCNET_ISA_AVX512 ? 15 : 18));
    const bool wins = wide && (QCNET_ISA_AVX512 ? pixels >= 48 && (pixels <= 1024 || cout >= 256)
                                                : pixels >= 128 && pixels <= 512);
    return wins && is_strassen_possible(conv.geometry(), cin, cout) ? ConvAlgorithm::strassen
                                                                    : ConvAlgorithm::direct;
  }
  if (!is_winograd_possible(conv.geometry()) || cin <= 4) return ConvAlgorithm::direct;
  const auto tiles = [&](std::size_t m) {
    return output[0] * ((output[1] + m - 1) / m) * ((output[2] + m - 1) / m);
  };
  const std::size_t bytes = 36 * cin * cout * sizeof(float);
  const bool in_cache = bytes <= (std::size_t{16} << 20);  // a core's share of L3
  if (tiles(4) >= (in_cache ? 2 : 9)) return ConvAlgorithm::winograd_4x4;
  return tiles(2) >= 4 ? ConvAlgorithm::winograd_2x2 : ConvAlgorithm::direct;
}

}  // namespace qcnet::inline QCNET_ABI::kernels
