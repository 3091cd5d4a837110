// Linear layers over e4m3 codes: one scale a row of the input, one an output channel.
//
// scale = max(amax, 1e-12) / 448 of a row; code = x / scale, rounded half to even (as x * (448 / max)). The products
// themselves are the library's; a plain one stands beside it for shapes that it does not take.
#include "common.cuh"

/// Rows of x `[rows, columns]`, columns a multiple of 8 and at most 256 STEPS WARPS, held in the registers of WARPS warps;
/// 4 / WARPS rows a block of 128 threads.
template <typename T, int STEPS, int WARPS>
DEVICE void quantize_rows(const T *x, u8 *codes, float *scale, int rows, int columns) {
    __shared__ float most_of[4];
    const int lane = threadIdx.x % (32 * WARPS), warp = threadIdx.x / 32;
    const int row = blockIdx.x * (4 / WARPS) + threadIdx.x / (32 * WARPS);
    const bool live = row < rows;
    // As they come: bf16 takes half the registers of float32, and twice the rows are under way.
    uint4 bits[STEPS][sizeof(T) / 2];
    float most = 0;
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        const int at = (s * 32 * WARPS + lane) * 8;
        if (live && at < columns) {
#pragma unroll
            for (int i = 0; i < (int)sizeof(T) / 2; i++)
                bits[s][i] = ((const uint4 *)(x + (i64)row * columns + at))[i];
        }
    }
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        float v[8];
        load8((const T *)bits[s], v);
        if (live && (s * 32 * WARPS + lane) * 8 < columns) {
#pragma unroll
            for (int i = 0; i < 8; i++) most = fmaxf(most, fabsf(v[i]));
        }
    }
    most = warp_max(most);
    if (WARPS > 1) {
        if (threadIdx.x % 32 == 0) most_of[warp] = most;
        __syncthreads();
        for (int i = 0; i < 4; i++) most = fmaxf(most, most_of[i]);
    }
    if (!live) return;
    most = fmaxf(most, 1e-12f);
    const float factor = __fdiv_rn(448.0f, most);
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        const int at = (s * 32 * WARPS + lane) * 8;
        float v[8];
        load8((const T *)bits[s], v);
        if (at < columns) *(uint2 *)(codes + (i64)row * columns + at) = codes8(v, factor);
    }
    if (lane == 0) scale[row] = __fdiv_rn(most, 448.0f);
}
#define QUANTIZE_ROWS(NAME, T, STEPS, WARPS)                                                                           \
    KERNEL NAME(const T *x, u8 *codes, float *scale, int rows, int columns) {                                          \
        quantize_rows<T, STEPS, WARPS>(x, codes, scale, rows, columns);                                                \
    }
QUANTIZE_ROWS(quantize_rows_bf16_short, bf16, 8, 1)
QUANTIZE_ROWS(quantize_rows_bf16_long, bf16, 16, 4)
QUANTIZE_ROWS(quantize_rows_f32_long, float, 16, 4)

/// bounds[0] = the greatest length of a row of codes, bounds[1] = the greatest |bias|; zeros before. One warp a row.
KERNEL row_bounds(const u8 *codes, const float *scale, const float *bias, float *bounds, int rows, int dim) {
    const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    float sum = 0;
    for (int i = lane; i < dim; i += 32) {
        const float v = e4m3_value(codes[(i64)row * dim + i]);
        sum += v * v;
    }
    sum = warp_sum(sum);
    if (lane != 0) return;
    // Of what is not negative the order is that of the bits.
    atomicMax((int *)bounds, __float_as_int(sqrtf(sum) * scale[row]));
    if (bias) atomicMax((int *)bounds + 1, __float_as_int(fabsf(bias[row])));
}

/// A gate taken into the channels' scales and the bias (null: none).
KERNEL gate_rows8(const float *scale, const float *bias, const float *gate, float *gated_scale, bf16 *gated_bias,
                  int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        gated_scale[i] = scale[i] * gate[i];
        gated_bias[i] = from_float<bf16>(bias ? bias[i] * gate[i] : 0.0f);
    }
}

/// out `[m, n]` = epilogue((x w^T) x_scale w_scale); depth a multiple of 16. One warp a value, for shapes that are rare.
KERNEL rows8_linear_bf16(const u8 *x, const float *x_scale, const u8 *w, const float *w_scale, bf16 *out, i64 m, int n,
                         int k, Epilogue e) {
    const int lane = threadIdx.x % 32;
    for (i64 i = ((i64)blockIdx.x * blockDim.x + threadIdx.x) / 32; i < m * n; i += (i64)gridDim.x * blockDim.x / 32) {
        const i64 row = i / n;
        const int column = (int)(i % n);
        float sum = 0;
        for (int at = lane; at < k; at += 32)
            sum += e4m3_value(x[row * k + at]) * e4m3_value(w[(i64)column * k + at]);
        sum = warp_sum(sum);
        if (lane == 0) out[i] = finished(out, i, column, sum * x_scale[row] * w_scale[column], e);
    }
}
