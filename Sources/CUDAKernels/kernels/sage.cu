// SageSLA's codes. Source: SpargeAttn spas_sage_attn/utils.py `qk_quantize`, csrc/fused/fused.cu
#include "common.cuh"

/// Codes of x, or of x - mean, of one block of tokens: scale = amax / 127 + 1e-7, half away from zero. With T = bf16 the
/// mean and the difference are rounded to bf16, as upstream does. scale `[heads, blocks]`. Block (block, head).
template <typename T>
DEVICE void sage_codes(const T *x, const double *mean, T *codes, float *scale, int tokens, int heads, int dim,
                       int block) {
    __shared__ float shared[33];
    const int first = blockIdx.x * block, count = min(block, tokens - first), head = blockIdx.y;
    const i64 start = ((i64)first * heads + head) * dim;
    auto value = [&](int i) {
        const float v = to_float(x[start + (i64)(i / dim) * heads * dim + i % dim]);
        return mean ? rounded<T>(v - rounded<T>((float)mean[head * dim + i % dim])) : v;
    };
    float most = 0;
    for (int i = threadIdx.x; i < count * dim; i += blockDim.x) most = fmaxf(most, fabsf(value(i)));
    const float own = __fdiv_rn(block_max(most, shared), 127.0f) + 1e-7f;
    for (int i = threadIdx.x; i < count * dim; i += blockDim.x) {
        const float v = __fdiv_rn(value(i), own);
        codes[start + (i64)(i / dim) * heads * dim + i % dim] = from_float<T>(truncf(v + (v < 0 ? -0.5f : 0.5f)));
    }
    if (threadIdx.x == 0) scale[head * gridDim.x + blockIdx.x] = own;
}
KERNEL sage_codes_f32(const float *x, const double *mean, float *codes, float *scale, int tokens, int heads, int dim,
                      int block) {
    sage_codes(x, mean, codes, scale, tokens, heads, dim, block);
}
KERNEL sage_codes_bf16(const bf16 *x, const double *mean, bf16 *codes, float *scale, int tokens, int heads, int dim,
                       int block) {
    sage_codes(x, mean, codes, scale, tokens, heads, dim, block);
}

/// The same for bf16 heads of 128 channels, 16-byte aligned, blocks of at most 128 tokens: 16 rows of 16 threads, 8
/// channels a thread, everything read once.
DEVICE void store_codes(bf16 *to, const float (&x)[8]) { *(uint4 *)to = pack8(x); }
DEVICE void store_codes(signed char *to, const float (&x)[8]) {
    u32 words[2] = {};
#pragma unroll
    for (int i = 0; i < 8; i++) words[i / 4] |= ((u32)(int)x[i] & 255) << (i % 4 * 8);
    *(uint2 *)to = make_uint2(words[0], words[1]);
}
template <typename O>
DEVICE void sage_codes_wide(const bf16 *x, const double *mean, O *codes, float *scale, int tokens, int heads, int block) {
    __shared__ float shared[33];
    const int first = blockIdx.x * block, count = min(block, tokens - first), head = blockIdx.y;
    const int row = threadIdx.x / 16, lane = threadIdx.x % 16;
    const i64 start = ((i64)first * heads + head) * 128 + lane * 8;
    float center[8] = {}, v[8][8], most = 0;
    if (mean) {
#pragma unroll
        for (int i = 0; i < 8; i++) center[i] = rounded<bf16>((float)mean[head * 128 + lane * 8 + i]);
    }
#pragma unroll
    for (int n = 0; n < 8; n++) {
        const int t = row + 16 * n;
        if (t < count) {
            unpack8(*(const uint4 *)(x + start + (i64)t * heads * 128), v[n]);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                if (mean) v[n][i] = rounded<bf16>(v[n][i] - center[i]);
                most = fmaxf(most, fabsf(v[n][i]));
            }
        }
    }
    const float own = __fdiv_rn(block_max(most, shared), 127.0f) + 1e-7f;
#pragma unroll
    for (int n = 0; n < 8; n++) {
        const int t = row + 16 * n;
        if (t < count) {
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const float c = __fdiv_rn(v[n][i], own);
                v[n][i] = truncf(c + (c < 0 ? -0.5f : 0.5f));
            }
            store_codes(codes + start + (i64)t * heads * 128, v[n]);
        }
    }
    if (threadIdx.x == 0) scale[head * gridDim.x + blockIdx.x] = own;
}
KERNEL sage_codes_numbers(const bf16 *x, const double *mean, bf16 *codes, float *scale, int tokens, int heads,
                          int block) {
    sage_codes_wide(x, mean, codes, scale, tokens, heads, block);
}
KERNEL sage_codes_bytes(const bf16 *x, const double *mean, signed char *codes, float *scale, int tokens, int heads,
                        int block) {
    sage_codes_wide(x, mean, codes, scale, tokens, heads, block);
}

/// most `[heads, dim]` (zero before) = greatest |v| of each channel. Block (128 tokens, head).
template <typename T> DEVICE void sage_maxima(const T *v, float *most, int tokens, int heads, int dim) {
    const int first = blockIdx.x * 128, count = min(128, tokens - first), head = blockIdx.y;
    for (int c = threadIdx.x; c < dim; c += blockDim.x) {
        float m = 0;
        for (int t = 0; t < count; t++) m = fmaxf(m, fabsf(to_float(v[((i64)(first + t) * heads + head) * dim + c])));
        // Of numbers that are not negative the greater has the greater bits.
        atomicMax((int *)most + head * dim + c, __float_as_int(m));
    }
}
KERNEL sage_maxima_f32(const float *v, float *most, int tokens, int heads, int dim) {
    sage_maxima(v, most, tokens, heads, dim);
}
KERNEL sage_maxima_bf16(const bf16 *v, float *most, int tokens, int heads, int dim) {
    sage_maxima(v, most, tokens, heads, dim);
}

/// The same for bf16, `width8` = heads * dim / 8 channels of 8; 16-byte aligned. One thread takes 8 channels of 64 tokens.
KERNEL sage_maxima_wide(const uint4 *v, float *most, int tokens, int width8) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x, first = blockIdx.y * 64;
    if (channel >= width8) return;
    float m[8] = {};
    for (int t = first; t < min(tokens, first + 64); t++) {
        float x[8];
        unpack8(v[(i64)t * width8 + channel], x);
#pragma unroll
        for (int i = 0; i < 8; i++) m[i] = fmaxf(m[i], fabsf(x[i]));
    }
#pragma unroll
    for (int i = 0; i < 8; i++) atomicMax((int *)most + channel * 8 + i, __float_as_int(m[i]));
}
KERNEL sage_values_wide(const uint4 *v, const float *most, uint4 *values, int tokens, int width8) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x, first = blockIdx.y * 64;
    if (channel >= width8) return;
    float factor[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const float m = most[channel * 8 + i];
        factor[i] = m > 0 ? __fdiv_rn(2.25f, m) : 0.0f;
    }
    for (int t = first; t < min(tokens, first + 64); t++) {
        float x[8];
        unpack8(v[(i64)t * width8 + channel], x);
#pragma unroll
        for (int i = 0; i < 8; i++) x[i] = round_e4m3(x[i] * factor[i]);
        values[(i64)t * width8 + channel] = pack8(x);
    }
}

/// values = e4m3(v * (2.25 / most)); `width` = heads * dim.
template <typename T> DEVICE void sage_values(const T *v, const float *most, T *values, i64 n, int width) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (i64)gridDim.x * blockDim.x) {
        const float m = most[i % width];
        values[i] = from_float<T>(round_e4m3(to_float(v[i]) * (m > 0 ? __fdiv_rn(2.25f, m) : 0.0f)));
    }
}
KERNEL sage_values_f32(const float *v, const float *most, float *values, i64 n, int width) {
    sage_values(v, most, values, n, width);
}
KERNEL sage_values_bf16(const bf16 *v, const float *most, bf16 *values, i64 n, int width) {
    sage_values(v, most, values, n, width);
}

/// scale = most / 2.25.
KERNEL sage_value_scale(const float *most, float *scale, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) scale[i] = __fdiv_rn(most[i], 2.25f);
}
