/// The texts of the CUDA kernels, compiled at first use for the GPU that is there.
#ifndef CUDAKERNELS_H
#define CUDAKERNELS_H

#include <stddef.h>

struct cuda_source {
    /// Without ".cu".
    const char *name;
    /// Ends with a zero.
    const char *text;
    size_t length;
};

/// The header that all of them include as "common.cuh".
struct cuda_source cuda_common_source(void);
size_t cuda_source_count(void);
/// - Precondition: `index` below `cuda_source_count()`.
struct cuda_source cuda_source_at(size_t index);

#endif
