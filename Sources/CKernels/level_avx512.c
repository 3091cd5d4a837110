// The kernels for CPUs with avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl.

#if defined(__x86_64__)
#include <immintrin.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "CKernels.h"

#define DK_NAME dk_avx512
#define DK_LEVEL_NAME "avx512"
#define VW 16
#define MR 12

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#include "implementation/kernels.h"
#pragma clang attribute pop
#endif
