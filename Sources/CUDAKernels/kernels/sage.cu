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

/// The same for bf16 heads of 128 channels, 16-byte aligned, blocks of at most 16 N tokens: 16 rows of 16 threads, 8 channels
/// a thread, everything read once and kept as it came. 1 / scale multiplies.
DEVICE void store_codes(bf16 *to, const float (&x)[8]) { *(uint4 *)to = pack8(x); }
DEVICE void store_codes(signed char *to, const float (&x)[8]) {
    u32 words[2] = {};
#pragma unroll
    for (int i = 0; i < 8; i++) words[i / 4] |= ((u32)(int)x[i] & 255) << (i % 4 * 8);
    *(uint2 *)to = make_uint2(words[0], words[1]);
}
/// The codes of rows `row`, `row + 16`, ... below `count`, from `start` on and `step` apart in `codes`.
template <int N, typename C> DEVICE void write_codes(const uint4 (&bits)[N], float turned, C *codes, i64 start, i64 step, int row, int count) {
#pragma unroll
    for (int n = 0; n < N; n++)
        if (row + 16 * n < count) {
            float v[8];
            unpack8(bits[n], v);
#pragma unroll
            for (int i = 0; i < 8; i++) v[i] = truncf(fmaf(v[i], turned, copysignf(0.5f, v[i])));
            store_codes(codes + start + n * step, v);
        }
}
template <typename O, int N>
DEVICE void sage_codes_wide(const bf16 *x, const double *mean, O *codes, float *scale, int tokens, int heads, int block) {
    __shared__ float shared[33];
    const int first = blockIdx.x * block, count = min(block, tokens - first), head = blockIdx.y;
    const int row = threadIdx.x / 16, lane = threadIdx.x % 16;
    const i64 start = ((i64)(first + row) * heads + head) * 128 + lane * 8, step = (i64)16 * heads * 128;
    uint4 bits[N];
#pragma unroll
    for (int n = 0; n < N; n++)
        bits[n] = row + 16 * n < count ? *(const uint4 *)(x + start + n * step) : make_uint4(0, 0, 0, 0);
    float center[8] = {}, most = 0;
    if (mean) {
#pragma unroll
        for (int i = 0; i < 8; i++) center[i] = rounded<bf16>((float)mean[head * 128 + lane * 8 + i]);
    }
#pragma unroll
    for (int n = 0; n < N; n++) {
        float v[8];
        unpack8(bits[n], v);
        if (mean && row + 16 * n < count) {
#pragma unroll
            for (int i = 0; i < 8; i++) v[i] -= center[i];
            bits[n] = pack8(v);
            unpack8(bits[n], v);
        }
#pragma unroll
        for (int i = 0; i < 8; i++) most = fmaxf(most, fabsf(v[i]));
    }
    const float own = __fdiv_rn(block_max(most, shared), 127.0f) + 1e-7f, turned = __fdiv_rn(1.0f, own);
    write_codes(bits, turned, codes, start, step, row, count);
    if (threadIdx.x == 0) scale[head * gridDim.x + blockIdx.x] = own;
}
KERNEL sage_codes_numbers(const bf16 *x, const double *mean, bf16 *codes, float *scale, int tokens, int heads,
                          int block) {
    sage_codes_wide<bf16, 8>(x, mean, codes, scale, tokens, heads, block);
}
KERNEL sage_codes_bytes(const bf16 *x, const double *mean, signed char *codes, float *scale, int tokens, int heads,
                        int block) {
    sage_codes_wide<signed char, 8>(x, mean, codes, scale, tokens, heads, block);
}
/// The same, and means `[heads, blocks, 128]` of x as of `block_means_wide`.
KERNEL sage_codes_means(const bf16 *x, signed char *codes, float *scale, double *means, int tokens, int heads, int block) {
    __shared__ float shared[33];
    __shared__ double parts[16][128];
    constexpr int N = 4;
    const int first = blockIdx.x * block, count = min(block, tokens - first), head = blockIdx.y;
    const int row = threadIdx.x / 16, lane = threadIdx.x % 16;
    const i64 start = ((i64)(first + row) * heads + head) * 128 + lane * 8, step = (i64)16 * heads * 128;
    uint4 bits[N];
#pragma unroll
    for (int n = 0; n < N; n++)
        bits[n] = row + 16 * n < count ? *(const uint4 *)(x + start + n * step) : make_uint4(0, 0, 0, 0);
    double sum[8] = {};
    float most = 0;
#pragma unroll
    for (int n = 0; n < N; n++) {
        float v[8];
        unpack8(bits[n], v);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            most = fmaxf(most, fabsf(v[i]));
            sum[i] += (double)v[i];
        }
    }
#pragma unroll
    for (int i = 0; i < 8; i++) parts[row][lane * 8 + i] = sum[i];
    const float own = __fdiv_rn(block_max(most, shared), 127.0f) + 1e-7f, turned = __fdiv_rn(1.0f, own);
    if (threadIdx.x < 128) {
        double total = 0;
        for (int r = 0; r < 16; r++) total += parts[r][threadIdx.x];
        means[((i64)head * gridDim.x + blockIdx.x) * 128 + threadIdx.x] = total / count;
    }
    write_codes(bits, turned, codes, start, step, row, count);
    if (threadIdx.x == 0) scale[head * gridDim.x + blockIdx.x] = own;
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
/// The same for bf16 heads of 128 channels, 16-byte aligned. Block (512 tokens, head) of 256 threads: 16 rows of 16 threads.
KERNEL sage_maxima_heads(const bf16 *v, float *most, int tokens, int heads) {
    __shared__ float parts[16][128];
    const int row = threadIdx.x / 16, lane = threadIdx.x % 16, first = blockIdx.x * 512, head = blockIdx.y;
    const int last = min(tokens, first + 512);
    const uint4 *from = (const uint4 *)(v + (i64)head * 128) + lane;
    float m[8] = {};
    for (int t0 = first + row; t0 < last; t0 += 128) {
        uint4 bits[8];
#pragma unroll
        for (int n = 0; n < 8; n++)
            bits[n] = t0 + 16 * n < last ? from[(i64)(t0 + 16 * n) * heads * 16] : make_uint4(0, 0, 0, 0);
#pragma unroll
        for (int n = 0; n < 8; n++) {
            float x[8];
            unpack8(bits[n], x);
#pragma unroll
            for (int i = 0; i < 8; i++) m[i] = fmaxf(m[i], fabsf(x[i]));
        }
    }
#pragma unroll
    for (int i = 0; i < 8; i++) parts[row][lane * 8 + i] = m[i];
    __syncthreads();
    if (threadIdx.x < 128) {
        float all = 0;
        for (int r = 0; r < 16; r++) all = fmaxf(all, parts[r][threadIdx.x]);
        // Of numbers that are not negative the greater has the greater bits.
        atomicMax((int *)most + head * 128 + threadIdx.x, __float_as_int(all));
    }
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
