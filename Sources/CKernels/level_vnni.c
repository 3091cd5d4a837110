// The kernels for CPUs with avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni.

#if defined(__x86_64__)
#include <immintrin.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "CKernels.h"

#define DK_NAME dk_vnni
#define DK_LEVEL_NAME "vnni"
#define VW 16
#define MR 12
#define DK_DOT_BYTES 1

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)
#include "implementation/kernels.h"
#pragma clang attribute pop
#endif
