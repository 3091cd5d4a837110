// The kernels for any CPU: 16-byte vectors (SSE2, NEON).

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <float.h>
#include <math.h>
#include <string.h>

#include "CKernels.h"

#define DK_NAME dk_baseline
#define DK_LEVEL_NAME "baseline"
#define VW 4
#define MR 6
#include "implementation/kernels.h"
