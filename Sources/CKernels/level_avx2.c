// The kernels for CPUs with avx2,fma,f16c.

#if defined(__x86_64__)
#include <immintrin.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "CKernels.h"

#define DK_NAME dk_avx2
#define DK_LEVEL_NAME "avx2"
#define VW 8
#define MR 6

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "implementation/kernels.h"
#pragma clang attribute pop
#endif
