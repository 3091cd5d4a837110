#include "CUDAKernels.h"

static const char common[] = {
#embed "kernels/common.cuh"
    , 0};
static const char elements[] = {
#embed "kernels/elements.cu"
    , 0};
static const char norms[] = {
#embed "kernels/norms.cu"
    , 0};
static const char gemm[] = {
#embed "kernels/gemm.cu"
    , 0};
static const char int8[] = {
#embed "kernels/int8.cu"
    , 0};
static const char attention[] = {
#embed "kernels/attention.cu"
    , 0};
static const char turns[] = {
#embed "kernels/turns.cu"
    , 0};
static const char sparse[] = {
#embed "kernels/sparse.cu"
    , 0};

static const char branch[] = {
#embed "kernels/branch.cu"
    , 0};
static const char branch16[] = {
#embed "kernels/branch16.cu"
    , 0};
static const char sage[] = {
#embed "kernels/sage.cu"
    , 0};
static const char sage8[] = {
#embed "kernels/sage8.cu"
    , 0};
static const char fp8[] = {
#embed "kernels/fp8.cu"
    , 0};
static const char fused[] = {
#embed "kernels/fused.cu"
    , 0};
static const char halo[] = {
#embed "kernels/halo.cu"
    , 0};
static const char frames[] = {
#embed "kernels/frames.cu"
    , 0};

#define SOURCE(name) {#name, name, sizeof(name) - 1}

static const struct cuda_source sources[] = {
    SOURCE(elements), SOURCE(norms), SOURCE(gemm), SOURCE(int8), SOURCE(attention), SOURCE(sparse),
    SOURCE(fp8),      SOURCE(halo),  SOURCE(branch), SOURCE(sage),
    SOURCE(sage8),    SOURCE(turns), SOURCE(branch16), SOURCE(frames),   SOURCE(fused),
};

struct cuda_source cuda_common_source(void) { return (struct cuda_source)SOURCE(common); }
size_t cuda_source_count(void) { return sizeof(sources) / sizeof(sources[0]); }
struct cuda_source cuda_source_at(size_t index) { return sources[index]; }
