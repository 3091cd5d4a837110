#include "CKernels.h"

extern const struct dk_kernels dk_baseline;
#if defined(__x86_64__)
extern const struct dk_kernels dk_avx2, dk_avx512, dk_vnni;
#endif

const struct dk_kernels *dk_kernels_of(enum dk_level level) {
    if (level == DK_BASELINE) return &dk_baseline;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    const int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (level == DK_AVX2 && avx2) return &dk_avx2;
    if (level == DK_AVX512 && avx512) return &dk_avx512;
    if (level == DK_VNNI && avx512 && __builtin_cpu_supports("avx512vnni")) return &dk_vnni;
#endif
    return NULL;
}

enum dk_level dk_best_level(void) {
    for (enum dk_level level = DK_VNNI; level > DK_BASELINE; level--)
        if (dk_kernels_of(level)) return level;
    return DK_BASELINE;
}
