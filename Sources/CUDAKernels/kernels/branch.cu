// The linear branch of sparse attention: out += proj(phi(q) (phi(k)^T v) / (1e-5 + phi(q) . sum phi(k))), phi = softmax over
// channels.
#include "common.cuh"

/// phi of a token by one warp; dim at most 128.
template <typename T> DEVICE void channel_softmax(const T *x, float *out, int dim) {
    const int lane = threadIdx.x % 32;
    float v[4], most = -3.402823466e38f, total = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int c = lane + 32 * i;
        v[i] = c < dim ? to_float(x[c]) : -3.402823466e38f;
        most = fmaxf(most, v[i]);
    }
    most = warp_max(most);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[i] = lane + 32 * i < dim ? expf(v[i] - most) : 0.0f;
        total += v[i];
    }
    const float factor = 1.0f / warp_sum(total);
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (lane + 32 * i < 128) out[lane + 32 * i] = v[i] * factor;
}

/// parts `[heads, chunks, dim (dim + 1)]`: phi(k)^T v `[dim, dim]` and sum of phi(k) `[dim]` over a chunk of tokens. Block
/// (chunk, head) of 256 threads, 8 x 8 values a thread; dim at most 128.
template <typename T>
DEVICE void branch_state(const T *k, const T *v, float *parts, int tokens, int heads, int dim, int chunk) {
    __shared__ float phi[16][128], values[16][128];
    const int head = blockIdx.y, first = blockIdx.x * chunk, last = min(tokens, first + chunk);
    const int warp = threadIdx.x / 32, i0 = threadIdx.x / 16 * 8, j0 = threadIdx.x % 16;
    const i64 stride = (i64)heads * dim;
    float sum[8][8] = {}, total = 0;
    for (int t0 = first; t0 < last; t0 += 16) {
        __syncthreads();
        for (int t = warp; t < 16; t += 8) {
            if (t0 + t < last) {
                channel_softmax(k + (t0 + t) * stride + head * dim, phi[t], dim);
            } else {
                for (int c = threadIdx.x % 32; c < 128; c += 32) phi[t][c] = 0;
            }
        }
        for (int i = threadIdx.x; i < 16 * 128; i += 256) {
            const int t = i / 128, c = i % 128;
            values[t][c] = t0 + t < last && c < dim ? to_float(v[(t0 + t) * stride + head * dim + c]) : 0.0f;
        }
        __syncthreads();
#pragma unroll 2
        for (int t = 0; t < 16; t++) {
            float a[8], b[8];
#pragma unroll
            for (int i = 0; i < 8; i++) {
                a[i] = phi[t][i0 + i];
                b[i] = values[t][j0 + 16 * i];
            }
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 8; j++) sum[i][j] += a[i] * b[j];
            if (threadIdx.x < 128) total += phi[t][threadIdx.x];
        }
    }
    float *part = parts + ((i64)head * gridDim.x + blockIdx.x) * dim * (dim + 1);
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 8; j++)
            if (i0 + i < dim && j0 + 16 * j < dim) part[(i0 + i) * dim + j0 + 16 * j] = sum[i][j];
    if (threadIdx.x < dim) part[dim * dim + threadIdx.x] = total;
}
KERNEL branch_state_f32(const float *k, const float *v, float *parts, int tokens, int heads, int dim, int chunk) {
    branch_state(k, v, parts, tokens, heads, dim, chunk);
}
KERNEL branch_state_bf16(const bf16 *k, const bf16 *v, float *parts, int tokens, int heads, int dim, int chunk) {
    branch_state(k, v, parts, tokens, heads, dim, chunk);
}

/// states `[heads, size]` = sum of parts `[heads, chunks, size]`, in order.
KERNEL branch_sum(const float *parts, float *states, int heads, int chunks, int size) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < heads * size; i += gridDim.x * blockDim.x) {
        const float *from = parts + (i64)(i / size) * chunks * size + i % size;
        float sum = 0;
        for (int c = 0; c < chunks; c++) sum += from[(i64)c * size];
        states[i] = sum;
    }
}

/// folded `[heads, dim, dim]` = state w^T: the projection applied to the state. Block (row of the state, head).
template <typename W> DEVICE void branch_fold(const float *states, const W *w, float *folded, int dim) {
    const float *state = states + (i64)blockIdx.y * dim * (dim + 1) + blockIdx.x * dim;
    for (int o = threadIdx.x; o < dim; o += blockDim.x) {
        float sum = 0;
        for (int j = 0; j < dim; j++) sum += state[j] * to_float(w[o * dim + j]);
        folded[((i64)blockIdx.y * dim + blockIdx.x) * dim + o] = sum;
    }
}
KERNEL branch_fold_f32(const float *states, const float *w, float *folded, int dim) {
    branch_fold(states, w, folded, dim);
}
KERNEL branch_fold_bf16(const float *states, const bf16 *w, float *folded, int dim) {
    branch_fold(states, w, folded, dim);
}

/// out += phi(q) folded / (1e-5 + phi(q) . sum) + bias. Block (64 tokens, head) of 256 threads, 4 x 8 values a thread.
/// Shared memory: 128 x 128 + 64 x 128 + 128 + 64 floats.
template <typename T>
DEVICE void branch_apply(const T *q, const float *folded, const float *states, const float *bias, T *out, int tokens,
                         int heads, int dim) {
    extern __shared__ float branch_memory[];
    float *weights = branch_memory, *phi = weights + 128 * 128, *key_sum = phi + 64 * 128, *factor = key_sum + 128;
    const int head = blockIdx.y, first = blockIdx.x * 64, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const i64 stride = (i64)heads * dim;
    for (int i = threadIdx.x; i < 128 * 128; i += 256) {
        const int r = i / 128, c = i % 128;
        weights[i] = r < dim && c < dim ? folded[((i64)head * dim + r) * dim + c] : 0.0f;
    }
    if (threadIdx.x < 128)
        key_sum[threadIdx.x] = threadIdx.x < dim ? states[(i64)head * dim * (dim + 1) + dim * dim + threadIdx.x] : 0.0f;
    __syncthreads();
    for (int t = warp; t < 64; t += 8) {
        if (first + t >= tokens) {
            for (int c = lane; c < 128; c += 32) phi[t * 128 + c] = 0;
            continue;
        }
        channel_softmax(q + (first + t) * stride + head * dim, phi + t * 128, dim);
        __syncwarp();
        float dot = 0;
        for (int c = lane; c < 128; c += 32) dot += phi[t * 128 + c] * key_sum[c];
        dot = warp_sum(dot);
        if (lane == 0) factor[t] = 1.0f / (1e-5f + dot);
    }
    __syncthreads();
    const int t0 = threadIdx.x / 16 * 4, c0 = threadIdx.x % 16;
    float sum[4][8] = {};
#pragma unroll 4
    for (int i = 0; i < 128; i++) {
        float a[4], b[8];
#pragma unroll
        for (int t = 0; t < 4; t++) a[t] = phi[(t0 + t) * 128 + i];
#pragma unroll
        for (int c = 0; c < 8; c++) b[c] = weights[i * 128 + c0 + 16 * c];
#pragma unroll
        for (int t = 0; t < 4; t++)
#pragma unroll
            for (int c = 0; c < 8; c++) sum[t][c] += a[t] * b[c];
    }
#pragma unroll
    for (int t = 0; t < 4; t++)
#pragma unroll
        for (int c = 0; c < 8; c++) {
            const int token = first + t0 + t, channel = c0 + 16 * c;
            if (token >= tokens || channel >= dim) continue;
            T *to = out + token * stride + head * dim + channel;
            *to = from_float<T>(to_float(*to) + sum[t][c] * factor[t0 + t] + (bias ? bias[channel] : 0.0f));
        }
}
KERNEL branch_apply_f32(const float *q, const float *folded, const float *states, const float *bias, float *out,
                        int tokens, int heads, int dim) {
    branch_apply(q, folded, states, bias, out, tokens, heads, dim);
}
KERNEL branch_apply_bf16(const bf16 *q, const float *folded, const float *states, const float *bias, bf16 *out,
                         int tokens, int heads, int dim) {
    branch_apply(q, folded, states, bias, out, tokens, heads, dim);
}
