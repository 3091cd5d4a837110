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

// On tensor cores: bf16 heads of 128 channels, 16-byte aligned. phi and the folded state are rounded to bf16.

/// Rows of 128 bf16 in chunks of 16 bytes, the low three bits of the place exclusive-or row: no bank conflicts.
DEVICE u32 chunk_offset(int row, int chunk) { return (u32)(row * 256 + ((chunk ^ (row & 7)) << 4)); }

/// Sum or maximum over half a warp.
template <bool MAX> DEVICE float half_reduce(float x) {
#pragma unroll
    for (int n = 8; n > 0; n /= 2) {
        const float y = __shfl_xor_sync(0xFFFFFFFFu, x, n);
        x = MAX ? fmaxf(x, y) : x + y;
    }
    return x;
}

/// phi of N pairs of tokens by a warp: half a warp a token, 8 channels a lane. `bits` becomes phi.
template <int N> DEVICE void channel_softmaxes(const uint4 (&bits)[N], float (&phi)[N][8]) {
    float top[N], total[N];
#pragma unroll
    for (int n = 0; n < N; n++) {
        unpack8(bits[n], phi[n]);
        top[n] = phi[n][0];
#pragma unroll
        for (int i = 1; i < 8; i++) top[n] = fmaxf(top[n], phi[n][i]);
    }
#pragma unroll
    for (int n = 0; n < N; n++) top[n] = half_reduce<true>(top[n]) * 1.4426950408889634f;
#pragma unroll
    for (int n = 0; n < N; n++) {
        total[n] = 0;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            phi[n][i] = exp2_fast(fmaf(phi[n][i], 1.4426950408889634f, -top[n]));
            total[n] += phi[n][i];
        }
    }
#pragma unroll
    for (int n = 0; n < N; n++) total[n] = 1.0f / half_reduce<false>(total[n]);
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 8; i++) phi[n][i] *= total[n];
}

/// parts as of `branch_state`, dim 128. Block (chunk, head) of 8 warps: each 16 rows of the state, all take turns of 64
/// tokens; keys and values of the next turn are read during the products of this one. Shared memory: 4 tiles of 64 rows of
/// 256 bytes.
extern "C" __global__ void __launch_bounds__(256, 2) branch_state_tensor(const bf16 *k, const bf16 *v, float *parts,
                                                                         int tokens, int heads, int chunk) {
    extern __shared__ __align__(128) u8 state_memory[];
    constexpr int TILE = 64 * 256;
    const int head = blockIdx.y, first = blockIdx.x * chunk, last = min(tokens, first + chunk);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, part16 = lane % 16;
    const i64 stride = (i64)heads * 128;
    const u32 base = shared_address(state_memory); // phi of even and odd turns, values of even and odd turns
    uint4 keys[4];
    auto read = [&](int t0) {
#pragma unroll
        for (int n = 0; n < 4; n++) {
            const int t = t0 + warp * 8 + 2 * n + lane / 16;
            keys[n] = t < last ? *(const uint4 *)(k + t * stride + head * 128 + part16 * 8) : make_uint4(0, 0, 0, 0);
        }
    };
    auto copy = [&](int t0, int odd) {
#pragma unroll
        for (int n = 0; n < 4; n++) {
            const int t = threadIdx.x / 16 + 16 * n, c = threadIdx.x % 16;
            const bool valid = t0 + t < last;
            copy16_async(base + (2 + odd) * TILE + chunk_offset(t, c),
                         v + (valid ? (t0 + t) * stride + head * 128 + c * 8 : 0), valid);
        }
        commit_copies();
    };
    read(first);
    copy(first, 0);
    float sum[16][4] = {}, total[8] = {};
    int odd = 0;
    for (int t0 = first; t0 < last; t0 += 64, odd ^= 1) {
        float phi[4][8];
        channel_softmaxes<4>(keys, phi);
        if (t0 + 64 < last) read(t0 + 64);
#pragma unroll
        for (int n = 0; n < 4; n++) {
            const int t = warp * 8 + 2 * n + lane / 16;
            const bool inside = t0 + t < last;
#pragma unroll
            for (int i = 0; i < 8; i++) {
                phi[n][i] = inside ? phi[n][i] : 0.0f;
                total[i] += phi[n][i];
            }
            *(uint4 *)(state_memory + odd * TILE + chunk_offset(t, part16)) = pack8(phi[n]);
        }
        wait_copies<0>();
        __syncthreads();
        // Every warp has ended its products of the turn before: those tiles are free.
        if (t0 + 64 < last) copy(t0 + 64, odd ^ 1);
        const u32 phi_base = base + odd * TILE, v_base = base + (2 + odd) * TILE;
#pragma unroll
        for (int kk = 0; kk < 4; kk++) {
            u32 a[4];
            load_matrices_transposed(
                a, phi_base + chunk_offset(16 * kk + lane % 8 + lane / 16 * 8, 2 * warp + lane / 8 % 2));
#pragma unroll
            for (int j = 0; j < 8; j++) {
                u32 b[4];
                load_matrices_transposed(
                    b, v_base + chunk_offset(16 * kk + lane % 8 + lane / 8 % 2 * 8, 2 * j + lane / 16));
                multiply_bf16(sum[2 * j], a, b[0], b[1]);
                multiply_bf16(sum[2 * j + 1], a, b[2], b[3]);
            }
        }
    }
    float *part = parts + ((i64)head * gridDim.x + blockIdx.x) * 128 * 129;
#pragma unroll
    for (int j = 0; j < 16; j++)
#pragma unroll
        for (int i = 0; i < 4; i += 2)
            *(float2 *)(part + (16 * warp + lane / 4 + i * 4) * 128 + 8 * j + lane % 4 * 2) =
                make_float2(sum[j][i], sum[j][i + 1]);
    __syncthreads();
    float *sums = (float *)state_memory; // [16][128]
#pragma unroll
    for (int i = 0; i < 8; i++) sums[(warp * 2 + lane / 16) * 128 + part16 * 8 + i] = total[i];
    __syncthreads();
    if (threadIdx.x < 128) {
        float all = 0;
        for (int w = 0; w < 16; w++) all += sums[w * 128 + threadIdx.x];
        part[128 * 128 + threadIdx.x] = all;
    }
}

/// folded `[heads, 128, 128]` in bf16 = state w^T. Block (row of the state, head) of 8 warps, each 16 columns.
KERNEL branch_fold_tensor(const float *states, const bf16 *w, bf16 *folded) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const float4 state = *(const float4 *)(states + (i64)blockIdx.y * 128 * 129 + blockIdx.x * 128 + lane * 4);
    for (int o = warp * 16; o < warp * 16 + 16; o++) {
        const uint2 bits = *(const uint2 *)(w + o * 128 + lane * 4);
        const float sum = warp_sum(state.x * __uint_as_float(bits.x << 16) +
                                   state.y * __uint_as_float(bits.x & 0xFFFF0000u) +
                                   state.z * __uint_as_float(bits.y << 16) +
                                   state.w * __uint_as_float(bits.y & 0xFFFF0000u));
        if (lane == 0) folded[((i64)blockIdx.y * 128 + blockIdx.x) * 128 + o] = from_float<bf16>(sum);
    }
}

/// As `branch_apply`, dim 128. Block (`turns` x 128 tokens, head) of 8 warps of 16 tokens. Shared memory: 2 tiles of 128
/// rows of 256 bytes.
extern "C" __global__ void __launch_bounds__(256, 2)
    branch_apply_tensor(const bf16 *q, const bf16 *folded, const float *states, const float *bias, bf16 *out,
                        int tokens, int heads, int turns) {
    extern __shared__ __align__(128) u8 apply_memory[];
    u8 *weights = apply_memory, *phi_tile = weights + 128 * 256;
    const int head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32, part16 = lane % 16;
    const i64 stride = (i64)heads * 128;
    const u32 w_base = shared_address(weights), phi_base = shared_address(phi_tile);
    for (int i = threadIdx.x; i < 128 * 16; i += 256)
        copy16_async(w_base + chunk_offset(i / 16, i % 16), folded + (i64)head * 128 * 128 + i * 8, true);
    commit_copies();
    float key_sum[8], shift[4];
#pragma unroll
    for (int i = 0; i < 8; i++) key_sum[i] = states[(i64)head * 128 * 129 + 128 * 128 + part16 * 8 + i];
    wait_copies<0>();
    __syncthreads();
    // A warp's own rows of the tile hold phi, then half of its sums at a time.
    u8 *own = phi_tile + warp * 16 * 256;
    for (int turn = 0; turn < turns; turn++) {
        const int first = (blockIdx.x * turns + turn) * 128 + warp * 16;
        if (first >= tokens) break;
        float factor[2] = {}; // of the tokens lane / 4 and lane / 4 + 8
#pragma unroll
        for (int batch = 0; batch < 2; batch++) {
            uint4 bits[4];
#pragma unroll
            for (int n = 0; n < 4; n++) {
                const int t = first + batch * 8 + 2 * n + lane / 16;
                bits[n] = t < tokens ? *(const uint4 *)(q + t * stride + head * 128 + part16 * 8)
                                     : make_uint4(0, 0, 0, 0);
            }
            float phi[4][8];
            channel_softmaxes<4>(bits, phi);
#pragma unroll
            for (int n = 0; n < 4; n++) {
                float dot = 0;
#pragma unroll
                for (int i = 0; i < 8; i++) dot += phi[n][i] * key_sum[i];
                const float own_factor = 1.0f / (1e-5f + half_reduce<false>(dot));
                // Lanes 4 m and on need the factor of token m of this batch: 2 n in the lower half, 2 n + 1 in the upper.
                const float low = __shfl_sync(0xFFFFFFFFu, own_factor, 0), high = __shfl_sync(0xFFFFFFFFu, own_factor, 16);
                if (lane / 8 == n) factor[batch] = lane / 4 % 2 ? high : low;
                const int row = batch * 8 + 2 * n + lane / 16;
                *(uint4 *)(own + chunk_offset(row, part16)) = pack8(phi[n]);
            }
        }
        __syncwarp();
        float sum[16][4] = {};
#pragma unroll
        for (int kk = 0; kk < 8; kk++) {
            u32 a[4];
            load_matrices(a, phi_base + warp * 16 * 256 + chunk_offset(lane % 16, 2 * kk + lane / 16));
#pragma unroll
            for (int j = 0; j < 8; j++) {
                u32 b[4];
                load_matrices_transposed(
                    b, w_base + chunk_offset(16 * kk + lane % 8 + lane / 8 % 2 * 8, 2 * j + lane / 16));
                multiply_bf16(sum[2 * j], a, b[0], b[1]);
                multiply_bf16(sum[2 * j + 1], a, b[2], b[3]);
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            __syncwarp();
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int r = 0; r < 2; r++) {
                    const int row = lane / 4 + 8 * r;
                    const float *pair = sum[8 * half + j] + 2 * r;
                    *(float2 *)(own + chunk_offset(row, 2 * j + lane % 4 / 2) + lane % 2 * 8) =
                        make_float2(pair[0] * factor[r], pair[1] * factor[r]);
                }
            __syncwarp();
            const int c = 64 * half + part16 * 4;
#pragma unroll
            for (int i = 0; i < 4; i++) shift[i] = bias ? bias[c + i] : 0.0f;
#pragma unroll
            for (int n = 0; n < 8; n++) {
                const int row = 2 * n + lane / 16;
                if (first + row >= tokens) continue;
                const float4 y = *(const float4 *)(own + chunk_offset(row, part16));
                uint2 *to = (uint2 *)(out + (first + row) * stride + head * 128 + c);
                const uint2 old = *to;
                *to = make_uint2(
                    pack_bf16(__uint_as_float(old.x << 16) + y.x + shift[0],
                              __uint_as_float(old.x & 0xFFFF0000u) + y.y + shift[1]),
                    pack_bf16(__uint_as_float(old.y << 16) + y.z + shift[2],
                              __uint_as_float(old.y & 0xFFFF0000u) + y.w + shift[3]));
            }
        }
        __syncwarp();
    }
}
