// Version of the library and the namespace it lives in.
#pragma once

#include <qcnet/simd/isa.hpp>

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || \
    defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__)
#error "qcnet: build without -ffast-math, -Ofast and their parts: they round bits otherwise, and let NaN pass"
#endif
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0 && __FLT_EVAL_METHOD__ != 16
#error \
    "qcnet: build with -msse2 -mfpmath=sse: where floats are not rounded to float, bits differ between machines"
#endif

#define QCNET_VERSION_MAJOR 0
#define QCNET_VERSION_MINOR 1
#define QCNET_VERSION_PATCH 0
