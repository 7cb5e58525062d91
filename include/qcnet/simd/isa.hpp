// The instruction set this translation unit is compiled for: the one place that reads target macros.
#pragma once

// Exactly one of these is 1. QCNET_SCALAR (from the user) turns SIMD off.
#define QCNET_ISA_AVX512 0
#define QCNET_ISA_AVX2 0
#define QCNET_ISA_SSE2 0
#define QCNET_ISA_NEON 0
#define QCNET_ISA_SCALAR 0

#if defined(QCNET_SCALAR)
#undef QCNET_ISA_SCALAR
#define QCNET_ISA_SCALAR 1
#define QCNET_ISA scalar
#elif defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#undef QCNET_ISA_AVX512
#define QCNET_ISA_AVX512 1
#define QCNET_ISA avx512
#elif defined(__AVX2__) && defined(__FMA__)
#undef QCNET_ISA_AVX2
#define QCNET_ISA_AVX2 1
#define QCNET_ISA avx2
#elif defined(__SSE2__)
#undef QCNET_ISA_SSE2
#define QCNET_ISA_SSE2 1
#define QCNET_ISA sse2
#elif defined(__ARM_NEON)
#undef QCNET_ISA_NEON
#define QCNET_ISA_NEON 1
#define QCNET_ISA neon
#else
#undef QCNET_ISA_SCALAR
#define QCNET_ISA_SCALAR 1
#define QCNET_ISA scalar
#endif

// 1 where a fused multiply-add is one instruction. SSE2 alone and the NEON of old 32-bit ARM (Cortex-A8, A9)
// have none: there, and only there, fma() rounds twice.
#if QCNET_ISA_AVX512 || QCNET_ISA_AVX2 || (QCNET_ISA_NEON && defined(__aarch64__)) || \
    defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMAF)
#define QCNET_HAS_FMA 1
#else
#define QCNET_HAS_FMA 0
#endif

// 1 where there are 32 vector registers, else there are 16.
#if QCNET_ISA_AVX512 || (QCNET_ISA_NEON && defined(__aarch64__))
#define QCNET_HAS_32_REGISTERS 1
#else
#define QCNET_HAS_32_REGISTERS 0
#endif

// What some processors add to their instruction set: a byte shuffle (SSSE3), counting the bits of each 64-bit
// element (AVX512_VPOPCNTDQ), products of bfloat16 pairs added up in float (AVX512_BF16, ARMv8.6's BF16).
#if QCNET_ISA_SSE2 && defined(__SSSE3__)
#define QCNET_HAS_SSSE3 1
#else
#define QCNET_HAS_SSSE3 0
#endif
#if QCNET_ISA_AVX512 && defined(__AVX512VPOPCNTDQ__)
#define QCNET_HAS_VPOPCNT 1
#define QCNET_WITH_VPOPCNT _vpopcnt
#else
#define QCNET_HAS_VPOPCNT 0
#define QCNET_WITH_VPOPCNT
#endif
#if (QCNET_ISA_AVX512 && defined(__AVX512BF16__)) || \
    (QCNET_ISA_NEON && defined(__aarch64__) && defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC))
#define QCNET_HAS_BF16 1
#define QCNET_WITH_BF16 _bf16
#else
#define QCNET_HAS_BF16 0
#define QCNET_WITH_BF16
#endif

// What the compiler may use of its own accord where no kernel asks for it: the highest level that is more
// than the instruction set above, and fused multiply-adds.
#if QCNET_ISA_AVX512
#define QCNET_WITH_LEVEL
#elif defined(__AVX512F__)
#define QCNET_WITH_LEVEL _up_to_avx512
#elif QCNET_ISA_AVX2
#define QCNET_WITH_LEVEL
#elif defined(__AVX2__)
#define QCNET_WITH_LEVEL _up_to_avx2
#elif defined(__AVX__)
#define QCNET_WITH_LEVEL _up_to_avx
#elif defined(__SSE4_2__)
#define QCNET_WITH_LEVEL _up_to_sse4
#elif defined(__SSE4_1__)
#define QCNET_WITH_LEVEL _up_to_sse4_1
#elif defined(__SSSE3__)
#define QCNET_WITH_LEVEL _up_to_ssse3
#elif defined(__ARM_FEATURE_SVE2)
#define QCNET_WITH_LEVEL _up_to_sve2
#elif defined(__ARM_FEATURE_SVE)
#define QCNET_WITH_LEVEL _up_to_sve
#else
#define QCNET_WITH_LEVEL
#endif
#if QCNET_HAS_FMA && !QCNET_ISA_AVX512 && !QCNET_ISA_AVX2
#define QCNET_WITH_FMA _fma
#else
#define QCNET_WITH_FMA
#endif

#if defined(__cpp_exceptions)
#define QCNET_WITHOUT
#else
#define QCNET_WITHOUT _noexceptions
#endif

// The inline namespace of the whole library, keyed by version and the above: objects of different instruction
// sets keep different symbols, so a linker cannot hand an AVX-512 body to a machine that lacks it, nor one
// that aborts to a caller that catches. Smaller flags (-mbmi2, -fopenmp) are not told apart, and what the
// standard library defines inline is outside of it.
#define QCNET_CONCAT_(a, b) a##b
#define QCNET_CONCAT(a, b) QCNET_CONCAT_(a, b)
#define QCNET_ABI_(isa, level, fma, vpopcnt, bf16, without) v1_##isa##level##fma##vpopcnt##bf16##without
#define QCNET_ABI_OF(isa, level, fma, vpopcnt, bf16, without) \
  QCNET_ABI_(isa, level, fma, vpopcnt, bf16, without)
#define QCNET_ABI                                                                                \
  QCNET_ABI_OF(QCNET_ISA, QCNET_WITH_LEVEL, QCNET_WITH_FMA, QCNET_WITH_VPOPCNT, QCNET_WITH_BF16, \
               QCNET_WITHOUT)

#define QCNET_STRING_(a) #a
#define QCNET_STRING(a) QCNET_STRING_(a)

namespace qcnet::inline QCNET_ABI {

/// Name of the instruction set the kernels were compiled for: "avx512", "avx2", "sse2", "neon" or "scalar".
inline constexpr const char* isa_name = QCNET_STRING(QCNET_ISA);

}  // namespace qcnet::inline QCNET_ABI
