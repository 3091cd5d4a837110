// Linear layers over int8 codes in blocks of 128 x 128.
//
// Codes are stored with rows of `stride` bytes, a multiple of 128, zeros past the true depth.
// Source: TurboDiffusion ops/quant/quant.hpp, ops/gemm.
#include "common.cuh"

/// c `[16, 8]` += a `[16, 32]` b `[32, 8]`, int8 with int32 sums.
DEVICE void multiply_s8(int (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// One block a 128 x 128 block of x `[rows, columns]`: factor = 128 / max(amax, 1e-8), code = round half to even,
/// saturated; scale `[ceil(rows / 128), ceil(columns / 128)]` = max(amax, 1e-8) / 128.
template <typename T>
DEVICE void quantize(const T *x, signed char *codes, float *scale, int rows, int columns, int stride) {
    __shared__ float shared[33];
    const int column0 = blockIdx.x * 128, row0 = blockIdx.y * 128;
    const int height = min(128, rows - row0), width = min(128, columns - column0);
    float most = 0;
    for (int i = threadIdx.x; i < height * 128; i += blockDim.x) {
        const int r = i / 128, c = i % 128;
        if (c < width) most = fmaxf(most, fabsf(to_float(x[(i64)(row0 + r) * columns + column0 + c])));
    }
    most = fmaxf(block_max(most, shared), 1e-8f);
    const float factor = __fdiv_rn(128.0f, most);
    for (int i = threadIdx.x; i < height * 128; i += blockDim.x) {
        const int r = i / 128, c = i % 128;
        float code = 0;
        if (c < width)
            code = fminf(fmaxf(rintf(to_float(x[(i64)(row0 + r) * columns + column0 + c]) * factor), -128.0f), 127.0f);
        codes[(i64)(row0 + r) * stride + column0 + c] = (signed char)code;
    }
    if (threadIdx.x == 0) scale[blockIdx.y * gridDim.x + blockIdx.x] = most / 128.0f;
}
KERNEL quantize_f32(const float *x, signed char *codes, float *scale, int rows, int columns, int stride) {
    quantize(x, codes, scale, rows, columns, stride);
}
KERNEL quantize_bf16(const bf16 *x, signed char *codes, float *scale, int rows, int columns, int stride) {
    quantize(x, codes, scale, rows, columns, stride);
}

/// The same by 1024 threads that keep 16 values each; columns a multiple of 8, x and codes at multiples of 16 bytes.
KERNEL quantize_wide(const bf16 *x, signed char *codes, float *scale, int rows, int columns, int stride) {
    __shared__ float shared[33];
    const int column = blockIdx.x * 128 + threadIdx.x % 8 * 16, row = blockIdx.y * 128 + threadIdx.x / 8;
    float v[2][8] = {};
    float most = 0;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        if (row < rows && column + 8 * half < columns)
            unpack8(*(const uint4 *)(x + (i64)row * columns + column + 8 * half), v[half]);
#pragma unroll
        for (int i = 0; i < 8; i++) most = fmaxf(most, fabsf(v[half][i]));
    }
    most = fmaxf(block_max(most, shared), 1e-8f);
    const float factor = __fdiv_rn(128.0f, most);
    u32 packed[4] = {};
#pragma unroll
    for (int i = 0; i < 16; i++) {
        const float code = fminf(fmaxf(rintf(v[i / 8][i % 8] * factor), -128.0f), 127.0f);
        packed[i / 4] |= (u32)(u8)(signed char)code << i % 4 * 8;
    }
    if (row < rows) *(uint4 *)(codes + (i64)row * stride + column) = make_uint4(packed[0], packed[1], packed[2], packed[3]);
    if (threadIdx.x == 0) scale[blockIdx.y * gridDim.x + blockIdx.x] = most / 128.0f;
}

/// out `[rows, columns]` = codes * scale.
template <typename T>
DEVICE void dequantize(const signed char *codes, const float *scale, T *out, int rows, int columns) {
    const int blocks = (columns + 127) / 128;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < (i64)rows * columns; i += (i64)gridDim.x * blockDim.x) {
        const int row = (int)(i / columns), column = (int)(i % columns);
        out[i] = from_float<T>((float)codes[i] * scale[row / 128 * blocks + column / 128]);
    }
}
KERNEL dequantize_f32(const signed char *codes, const float *scale, float *out, int rows, int columns) {
    dequantize(codes, scale, out, rows, columns);
}
KERNEL dequantize_bf16(const signed char *codes, const float *scale, bf16 *out, int rows, int columns) {
    dequantize(codes, scale, out, rows, columns);
}

/// Chunks of 16 bytes in rows of 128, exclusive-or row: no bank conflicts.
DEVICE u32 chunk_offset(int row, int chunk) { return (u32)(row * 128 + ((chunk ^ (row & 7)) << 4)); }

/// out `[m, n]` = sum over blocks of (int32 dot of 128) * x_scale * w_scale, in order, in float32.
///
/// A 128 x 128 tile a block of 8 warps, 4 down and 2 across; one step is one block of depth. Shared memory: 2 stages
/// of 256 rows of 128 bytes; the finished tile, 128 x 132 floats, lies over them.
template <typename TO>
DEVICE void int8_linear(const u8 *x, const float *x_scale, const u8 *w, const float *w_scale, TO *out, i64 m, int n,
                        int stride, const Epilogue &e) {
    extern __shared__ __align__(128) u8 memory[];
    constexpr int STAGE_BYTES = 256 * 128;
    const int columns = (n + 127) / 128, steps = stride / 128;
    const i64 row0 = (i64)(blockIdx.x / columns) * 128;
    const int column0 = (int)(blockIdx.x % columns) * 128;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int warp_row = warp / 2 * 32, warp_column = warp % 2 * 64;
    const int load_row = threadIdx.x / 8, load_chunk = threadIdx.x % 8;
    const u32 base = shared_address(memory);
    auto load = [&](int step) {
        const u32 to = base + step % 2 * STAGE_BYTES;
        const i64 at = (i64)step * 128 + load_chunk * 16;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = load_row + 32 * i;
            const bool x_valid = row0 + row < m, w_valid = column0 + row < n;
            copy16_async(to + chunk_offset(row, load_chunk), x + (x_valid ? (row0 + row) * stride + at : 0), x_valid);
            copy16_async(to + 128 * 128 + chunk_offset(row, load_chunk),
                         w + (w_valid ? (i64)(column0 + row) * stride + at : 0), w_valid);
        }
    };
    load(0);
    commit_copies();
    const float *x_scales = x_scale + row0 / 128 * steps, *w_scales = w_scale + (i64)(column0 / 128) * steps;
    float sum[2][8][4] = {};
    for (int step = 0; step < steps; step++) {
        if (step + 1 < steps) load(step + 1);
        commit_copies();
        wait_copies<1>();
        __syncthreads();
        const u32 at = base + step % 2 * STAGE_BYTES;
        int dot[2][8][4] = {};
#pragma unroll
        for (int kk = 0; kk < 4; kk++) {
            u32 a[2][4];
#pragma unroll
            for (int i = 0; i < 2; i++)
                load_matrices(a[i], at + chunk_offset(warp_row + 16 * i + lane % 16, 2 * kk + lane / 16));
#pragma unroll
            for (int j = 0; j < 4; j++) {
                u32 b[4];
                load_matrices(b, at + 128 * 128 +
                                     chunk_offset(warp_column + 16 * j + lane % 8 + lane / 16 * 8,
                                                  2 * kk + lane / 8 % 2));
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    multiply_s8(dot[i][2 * j], a[i], b[0], b[1]);
                    multiply_s8(dot[i][2 * j + 1], a[i], b[2], b[3]);
                }
            }
        }
        const float xs = x_scales[step], ws = w_scales[step];
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int v = 0; v < 4; v++) sum[i][j][v] += (float)dot[i][j][v] * xs * ws;
        __syncthreads();
    }
    float *tile = (float *)memory;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 8; j++)
#pragma unroll
            for (int v = 0; v < 4; v++)
                tile[(warp_row + 16 * i + lane / 4 + v / 2 * 8) * 132 + warp_column + 8 * j + lane % 4 * 2 + v % 2] =
                    sum[i][j][v];
    __syncthreads();
    finish_tile(tile, 128, 128, 132, out, row0, column0, m, n, e);
}
KERNEL int8_linear_f32(const u8 *x, const float *x_scale, const u8 *w, const float *w_scale, float *out, i64 m, int n,
                       int stride, Epilogue e) {
    int8_linear(x, x_scale, w, w_scale, out, m, n, stride, e);
}
KERNEL int8_linear_bf16(const u8 *x, const float *x_scale, const u8 *w, const float *w_scale, bf16 *out, i64 m, int n,
                        int stride, Epilogue e) {
    int8_linear(x, x_scale, w, w_scale, out, m, n, stride, e);
}
