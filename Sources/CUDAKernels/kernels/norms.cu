// Norms over rows, and RoPE. Sums in float32, over values read once per pass (they stay in the first-level cache).
#include "common.cuh"

/// One block a row of `[rows, dim]`: (x - mean) / sqrt(var + epsilon), then `* weight + bias` or, if modulated,
/// `* (1 + weight) + bias`; both f32 `[dim]` or null.
template <typename T, typename O>
DEVICE void layer_norm(const T *x, const float *weight, const float *bias, O *out, int dim, float epsilon,
                       int modulated) {
    __shared__ float shared[33];
    const T *row = x + (i64)blockIdx.x * dim;
    O *to = out + (i64)blockIdx.x * dim;
    float sum = 0;
    for (int i = threadIdx.x; i < dim; i += blockDim.x) sum += to_float(row[i]);
    const float mean = block_sum(sum, shared) / dim;
    float squares = 0;
    for (int i = threadIdx.x; i < dim; i += blockDim.x) {
        const float d = to_float(row[i]) - mean;
        squares += d * d;
    }
    const float factor = 1.0f / sqrtf(block_sum(squares, shared) / dim + epsilon);
    for (int i = threadIdx.x; i < dim; i += blockDim.x) {
        float y = (to_float(row[i]) - mean) * factor;
        if (weight) y *= modulated ? 1.0f + weight[i] : weight[i];
        if (bias) y += bias[i];
        to[i] = from_float<O>(y);
    }
}
#define LAYER_NORM(A, TA, B, TB)                                                                                       \
    KERNEL layer_norm_##A##_##B(const TA *x, const float *weight, const float *bias, TB *out, int dim, float epsilon,  \
                                int modulated) {                                                                       \
        layer_norm(x, weight, bias, out, dim, epsilon, modulated);                                                     \
    }
LAYER_NORM(f32, float, f32, float)
LAYER_NORM(bf16, bf16, f32, float)
LAYER_NORM(f32, float, bf16, bf16)
LAYER_NORM(bf16, bf16, bf16, bf16)

/// Over a row that WARPS of a block's four warps hold.
template <int WARPS, bool MAX> DEVICE float row_reduce(float x) {
    x = MAX ? warp_max(x) : warp_sum(x);
    if (WARPS == 1) return x;
    __shared__ float shared[4];
    __syncthreads();
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
    __syncthreads();
    const int first = threadIdx.x / 32 / WARPS * WARPS;
    float y = shared[first];
#pragma unroll
    for (int i = 1; i < WARPS; i++) y = MAX ? fmaxf(y, shared[first + i]) : y + shared[first + i];
    return y;
}
/// Wide forms: WARPS warps hold a row of bf16 in registers as it came, 8 values a lane and step, 4 / WARPS rows a block of 128
/// threads. dim is a multiple of 8, at most 256 STEPS WARPS; pointers are 16-byte aligned.
template <int STEPS, int WARPS> struct Row {
    uint4 bits[STEPS];
    int row, lane, dim;
    bool live;
    DEVICE Row(const bf16 *x, int rows, int dim) : dim(dim) {
        lane = threadIdx.x % (32 * WARPS);
        row = blockIdx.x * (4 / WARPS) + threadIdx.x / (32 * WARPS);
        live = row < rows;
#pragma unroll
        for (int s = 0; s < STEPS; s++)
            bits[s] = inside(s) ? *(const uint4 *)(x + (i64)row * dim + at(s)) : make_uint4(0, 0, 0, 0);
    }
    DEVICE int at(int s) const { return (s * 32 * WARPS + lane) * 8; }
    DEVICE bool inside(int s) const { return live && at(s) < dim; }
    DEVICE float rms_factor(float epsilon) const {
        float squares = 0, v[8];
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
            unpack8(bits[s], v);
#pragma unroll
            for (int i = 0; i < 8; i++) squares += v[i] * v[i];
        }
        return 1.0f / sqrtf(row_reduce<WARPS, false>(squares) / dim + epsilon);
    }
    /// As `layer_norm`, in place.
    DEVICE void norm(const float *weight, const float *bias, float epsilon, int modulated) {
        float sum = 0, squares = 0, v[8];
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
            unpack8(bits[s], v);
#pragma unroll
            for (int i = 0; i < 8; i++) sum += v[i];
        }
        const float mean = row_reduce<WARPS, false>(sum) / dim;
#pragma unroll
        for (int s = 0; s < STEPS; s++)
            if (inside(s)) {
                unpack8(bits[s], v);
#pragma unroll
                for (int i = 0; i < 8; i++) squares += (v[i] - mean) * (v[i] - mean);
            }
        const float factor = 1.0f / sqrtf(row_reduce<WARPS, false>(squares) / dim + epsilon);
#pragma unroll
        for (int s = 0; s < STEPS; s++)
            if (inside(s)) {
                float w[8], b[8];
                if (weight) load8(weight + at(s), w);
                if (bias) load8(bias + at(s), b);
                unpack8(bits[s], v);
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    v[i] = (v[i] - mean) * factor;
                    if (weight) v[i] *= modulated ? 1.0f + w[i] : w[i];
                    if (bias) v[i] += b[i];
                }
                bits[s] = pack8(v);
            }
    }
};
template <int STEPS, int WARPS>
DEVICE void layer_norm_wide(const bf16 *x, const float *weight, const float *bias, bf16 *out, int rows, int dim,
                            float epsilon, int modulated) {
    Row<STEPS, WARPS> r(x, rows, dim);
    r.norm(weight, bias, epsilon, modulated);
#pragma unroll
    for (int s = 0; s < STEPS; s++)
        if (r.inside(s)) *(uint4 *)(out + (i64)r.row * dim + r.at(s)) = r.bits[s];
}
/// The same, then e4m3 codes with a scale a row (`quantize_rows` of fp8.cu); lengths of rows before that, if wanted.
template <int STEPS, int WARPS>
DEVICE void layer_norm_rows8(const bf16 *x, const float *weight, const float *bias, u8 *codes, float *scale,
                             float *lengths, int rows, int dim, float epsilon, int modulated) {
    Row<STEPS, WARPS> r(x, rows, dim);
    r.norm(weight, bias, epsilon, modulated);
    float most = 0, length = 0, v[8];
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
        unpack8(r.bits[s], v);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            most = fmaxf(most, fabsf(v[i]));
            length += v[i] * v[i];
        }
    }
    most = fmaxf(row_reduce<WARPS, true>(most), 1e-12f);
    length = row_reduce<WARPS, false>(length);
    const float share = __fdiv_rn(448.0f, most);
#pragma unroll
    for (int s = 0; s < STEPS; s++)
        if (r.inside(s)) {
            unpack8(r.bits[s], v);
            *(uint2 *)(codes + (i64)r.row * dim + r.at(s)) = codes8(v, share);
        }
    if (r.lane != 0 || !r.live) return;
    scale[r.row] = __fdiv_rn(most, 448.0f);
    if (lengths) lengths[r.row] = sqrtf(length);
}
#define LAYER_NORM_WIDE(NAME, STEPS, WARPS)                                                                            \
    KERNEL layer_norm_wide_##NAME(const bf16 *x, const float *weight, const float *bias, bf16 *out, int rows, int dim, \
                                  float epsilon, int modulated) {                                                      \
        layer_norm_wide<STEPS, WARPS>(x, weight, bias, out, rows, dim, epsilon, modulated);                            \
    }                                                                                                                  \
    KERNEL layer_norm_rows8_##NAME(const bf16 *x, const float *weight, const float *bias, u8 *codes, float *scale,     \
                                   float *lengths, int rows, int dim, float epsilon, int modulated) {                  \
        layer_norm_rows8<STEPS, WARPS>(x, weight, bias, codes, scale, lengths, rows, dim, epsilon, modulated);         \
    }
LAYER_NORM_WIDE(short, 6, 1)
LAYER_NORM_WIDE(long, 5, 4)

template <int STEPS, int WARPS>
DEVICE void rms_norm_wide(const bf16 *x, const float *weight, bf16 *out, int rows, int dim, float epsilon) {
    Row<STEPS, WARPS> r(x, rows, dim);
    const float factor = r.rms_factor(epsilon);
#pragma unroll
    for (int s = 0; s < STEPS; s++)
        if (r.inside(s)) {
            float v[8], w[8];
            load8(weight + r.at(s), w);
            unpack8(r.bits[s], v);
#pragma unroll
            for (int i = 0; i < 8; i++) v[i] *= factor * w[i];
            *(uint4 *)(out + (i64)r.row * dim + r.at(s)) = pack8(v);
        }
}
/// The same in place, then the rotation of `rotate`: the norm's result is rounded between them, as if it had been stored.
template <int STEPS, int WARPS>
DEVICE void rms_norm_rotate_wide(bf16 *x, const float *weight, const float *table, int rows, int dim, int half,
                                 float epsilon) {
    Row<STEPS, WARPS> r(x, rows, dim);
    const float factor = r.rms_factor(epsilon);
#pragma unroll
    for (int s = 0; s < STEPS; s++)
        if (r.inside(s)) {
            float v[8], w[8], turn[8];
            load8(weight + r.at(s), w);
            load8(table + ((i64)r.row * half + r.at(s) / 2 % half) * 2, turn);
            unpack8(r.bits[s], v);
#pragma unroll
            for (int i = 0; i < 8; i++) v[i] = rounded<bf16>(v[i] * (factor * w[i]));
#pragma unroll
            for (int i = 0; i < 8; i += 2) {
                const float low = v[i], high = v[i + 1];
                v[i] = low * turn[i] - high * turn[i + 1];
                v[i + 1] = low * turn[i + 1] + high * turn[i];
            }
            *(uint4 *)(x + (i64)r.row * dim + r.at(s)) = pack8(v);
        }
}
#define RMS_NORM_WIDE(NAME, STEPS, WARPS)                                                                              \
    KERNEL rms_norm_wide_##NAME(const bf16 *x, const float *weight, bf16 *out, int rows, int dim, float epsilon) {     \
        rms_norm_wide<STEPS, WARPS>(x, weight, out, rows, dim, epsilon);                                               \
    }                                                                                                                  \
    KERNEL rms_norm_rotate_wide_##NAME(bf16 *x, const float *weight, const float *table, int rows, int dim, int half,  \
                                       float epsilon) {                                                                \
        rms_norm_rotate_wide<STEPS, WARPS>(x, weight, table, rows, dim, half, epsilon);                                \
    }
RMS_NORM_WIDE(short, 6, 1)
RMS_NORM_WIDE(long, 5, 4)

/// One block a row: x / sqrt(mean(x^2) + epsilon) * weight. In place is allowed.
template <typename T> DEVICE void rms_norm(const T *x, const float *weight, T *out, int dim, float epsilon) {
    __shared__ float shared[33];
    const T *row = x + (i64)blockIdx.x * dim;
    T *to = out + (i64)blockIdx.x * dim;
    float squares = 0;
    for (int i = threadIdx.x; i < dim; i += blockDim.x) squares += to_float(row[i]) * to_float(row[i]);
    const float factor = 1.0f / sqrtf(block_sum(squares, shared) / dim + epsilon);
    for (int i = threadIdx.x; i < dim; i += blockDim.x) to[i] = from_float<T>(to_float(row[i]) * factor * weight[i]);
}
KERNEL rms_norm_f32(const float *x, const float *weight, float *out, int dim, float epsilon) {
    rms_norm(x, weight, out, dim, epsilon);
}
KERNEL rms_norm_bf16(const bf16 *x, const float *weight, bf16 *out, int dim, float epsilon) {
    rms_norm(x, weight, out, dim, epsilon);
}

/// One warp a row of channels: x / max(|x|_2, 1e-12) * sqrt(dim) * gamma, then the activation.
template <typename T>
DEVICE void channel_norm(const T *x, const float *gamma, T *out, i64 rows, int dim, int activation) {
    const int lane = threadIdx.x % 32;
    const float root = sqrtf((float)dim);
    for (i64 row = (i64)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; row < rows;
         row += (i64)gridDim.x * (blockDim.x / 32)) {
        const T *from = x + row * dim;
        T *to = out + row * dim;
        float squares = 0;
        for (int i = lane; i < dim; i += 32) squares += to_float(from[i]) * to_float(from[i]);
        const float factor = root / fmaxf(sqrtf(warp_sum(squares)), 1e-12f);
        for (int i = lane; i < dim; i += 32)
            to[i] = from_float<T>(activate(to_float(from[i]) * factor * gamma[i], activation));
    }
}
KERNEL channel_norm_f32(const float *x, const float *gamma, float *out, i64 rows, int dim, int activation) {
    channel_norm(x, gamma, out, rows, dim, activation);
}
KERNEL channel_norm_bf16(const bf16 *x, const float *gamma, bf16 *out, i64 rows, int dim, int activation) {
    channel_norm(x, gamma, out, rows, dim, activation);
}

/// The same, 8 bf16 a lane, `lanes` (a power of two, 8 lanes >= dim) lanes a row; dim a multiple of 8.
KERNEL channel_norm_wide(const bf16 *x, const float *gamma, bf16 *out, i64 rows, int dim, int activation, int lanes) {
    const int part = threadIdx.x % lanes, at = part * 8;
    const float root = sqrtf((float)dim);
    float g[8] = {};
    if (at < dim) load8(gamma + at, g);
    const i64 step = (i64)gridDim.x * (blockDim.x / lanes);
    // Every lane of a warp takes the same number of turns, so that the shuffles meet.
    const i64 turns = (rows + step - 1) / step;
    for (i64 turn = 0; turn < turns; turn++) {
        const i64 row = turn * step + (i64)blockIdx.x * (blockDim.x / lanes) + threadIdx.x / lanes;
        const bool inside = row < rows && at < dim;
        float v[8] = {};
        if (inside) unpack8(*(const uint4 *)(x + row * dim + at), v);
        float squares = 0;
#pragma unroll
        for (int i = 0; i < 8; i++) squares += v[i] * v[i];
        for (int n = lanes / 2; n > 0; n /= 2) squares += __shfl_xor_sync(0xFFFFFFFFu, squares, n);
        const float factor = root / fmaxf(sqrtf(squares), 1e-12f);
        if (inside) {
#pragma unroll
            for (int i = 0; i < 8; i++) v[i] = activate(v[i] * factor * g[i], activation);
            *(uint4 *)(out + row * dim + at) = pack8(v);
        }
    }
}

/// The same for dim = 24 LANES: LANES lanes a row, three parts of 8 bf16 each, one row a turn and no lane idle.
template <int LANES>
DEVICE void channel_norm_thirds(const bf16 *x, const float *gamma, bf16 *out, i64 rows, int activation) {
    constexpr int DIM = 24 * LANES;
    const int part = threadIdx.x % LANES;
    const i64 row = (i64)blockIdx.x * (blockDim.x / LANES) + threadIdx.x / LANES;
    const bool inside = row < rows;
    float v[3][8], g[8];
    float squares = 0;
#pragma unroll
    for (int c = 0; c < 3; c++) {
        const uint4 read =
            inside ? *(const uint4 *)(x + row * DIM + (part + c * LANES) * 8) : make_uint4(0, 0, 0, 0);
        unpack8(read, v[c]);
    }
#pragma unroll
    for (int c = 0; c < 3; c++)
#pragma unroll
        for (int i = 0; i < 8; i++) squares += v[c][i] * v[c][i];
#pragma unroll
    for (int n = LANES / 2; n > 0; n /= 2) squares += __shfl_xor_sync(0xFFFFFFFFu, squares, n);
    const float factor = sqrtf((float)DIM) / fmaxf(sqrtf(squares), 1e-12f);
    if (!inside) return;
#pragma unroll
    for (int c = 0; c < 3; c++) {
        load8(gamma + (part + c * LANES) * 8, g);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const float y = v[c][i] * factor * g[i];
            v[c][i] = activation == 1 ? silu_fast(y) : activate(y, activation);
        }
        *(uint4 *)(out + row * DIM + (part + c * LANES) * 8) = pack8(v[c]);
    }
}
#define CHANNEL_NORM_THIRDS(LANES, DIM)                                                                                \
    KERNEL channel_norm_##DIM(const bf16 *x, const float *gamma, bf16 *out, i64 rows, int activation) {                \
        channel_norm_thirds<LANES>(x, gamma, out, rows, activation);                                                   \
    }
CHANNEL_NORM_THIRDS(4, 96)
CHANNEL_NORM_THIRDS(8, 192)
CHANNEL_NORM_THIRDS(16, 384)

/// Pairs (2i, 2i + 1) of x `[tokens, heads, dim]` turn by table `[tokens, dim / 2, 2]`, in place; `pairs` = all of them.
template <typename T> DEVICE void rotate(T *x, const float *table, i64 pairs, int heads, int half) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < pairs; i += (i64)gridDim.x * blockDim.x) {
        const int pair = (int)(i % half);
        const i64 token = i / half / heads;
        const float *turn = table + 2 * (token * half + pair);
        const float a = to_float(x[2 * i]), b = to_float(x[2 * i + 1]);
        x[2 * i] = from_float<T>(a * turn[0] - b * turn[1]);
        x[2 * i + 1] = from_float<T>(a * turn[1] + b * turn[0]);
    }
}
KERNEL rotate_f32(float *x, const float *table, i64 pairs, int heads, int half) { rotate(x, table, pairs, heads, half); }
KERNEL rotate_bf16(bf16 *x, const float *table, i64 pairs, int heads, int half) { rotate(x, table, pairs, heads, half); }
