// The linear branch of sparse attention (branch.cu) on tensor cores: bf16 heads of 128 channels, 16-byte aligned. phi and the
// folded state are rounded to bf16.
#include "common.cuh"

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

/// A turn of 64 keys from `t0` on, eight a warp: thread l of it has 8 channels of four of them; zeros from `last` on.
DEVICE void read_turn(uint4 (&keys)[4], const bf16 *k, i64 stride, int t0, int last) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < 4; n++) {
        const int t = t0 + warp * 8 + 2 * n + lane / 16;
        keys[n] = t < last ? *(const uint4 *)(k + t * stride + lane % 16 * 8) : make_uint4(0, 0, 0, 0);
    }
}

/// Values of 64 tokens from `t0` on to shared memory, 16 bytes at a time where `place(row, chunk)` says; zeros from `last` on.
template <typename PLACE>
DEVICE void copy_turn(u32 to, const bf16 *v, i64 stride, int head, int t0, int last, PLACE place) {
#pragma unroll
    for (int n = 0; n < 4; n++) {
        const int t = threadIdx.x / 16 + 16 * n, c = threadIdx.x % 16;
        const bool valid = t0 + t < last;
        copy16_async(to + place(t, c), v + (valid ? (t0 + t) * stride + head * 128 + c * 8 : 0), valid);
    }
    commit_copies();
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
    auto read = [&](int t0) { read_turn(keys, k + head * 128, stride, t0, last); };
    auto copy = [&](int t0, int odd) { copy_turn(base + (2 + odd) * TILE, v, stride, head, t0, last, chunk_offset); };
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

#ifdef HAS_HOPPER
/// c `[64, 128]` += a `[16, 64]`^T b `[16, 128]`: both read across their rows.
DEVICE void multiply_down(float (&c)[16][4], u64 a, u64 b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        NAMES_64 "}, %64, %65, 1, 1, 1, 1, 1;"
        : SUMS_64("+f")
        : "l"(a), "l"(b));
}
/// A row of 128 bf16 in two parts of 64 channels, each 64 rows of 128 bytes.
DEVICE u32 parts_offset(int row, int chunk) { return (u32)(chunk / 8 * 8192 + row * 128 + ((chunk % 8 ^ (row & 7)) << 4)); }

/// parts as of `branch_state`, dim 128; most (null, or `[heads, 128]`, zero before): greatest |v| of each channel. Block (chunk,
/// head) of two groups of four warps, each 64 rows of the state; turns of 64 tokens, of which keys and values are read during
/// the one before. Shared memory: 1024 + 4 tiles of 64 rows of 256 bytes.
extern "C" __global__ void __launch_bounds__(256, 2) branch_state_hopper(const bf16 *k, const bf16 *v, float *parts, float *most,
                                                                         int tokens, int heads, int chunk) {
    extern __shared__ __align__(1024) u8 group_memory[];
    constexpr int TILE = 64 * 256;
    const int head = blockIdx.y, first = blockIdx.x * chunk, last = min(tokens, first + chunk);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, part16 = lane % 16, group = threadIdx.x / 128;
    const i64 stride = (i64)heads * 128;
    const u32 raw = shared_address(group_memory), base = raw + ((1024 - (raw & 1023)) & 1023);
    u8 *memory = group_memory + (base - raw); // phi of even and odd turns, values of even and odd turns
    uint4 keys[4];
    auto read = [&](int t0) { read_turn(keys, k + head * 128, stride, t0, last); };
    auto copy = [&](int t0, int odd) { copy_turn(base + (2 + odd) * TILE, v, stride, head, t0, last, parts_offset); };
    read(first);
    copy(first, 0);
    float sum[16][4], total[8] = {}, top[8] = {};
#pragma unroll
    for (int t = 0; t < 16; t++)
#pragma unroll
        for (int i = 0; i < 4; i++) sum[t][i] = 0;
    int odd = 0;
    for (int t0 = first; t0 < last; t0 += 64, odd ^= 1) {
        uint4 packed[4];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const uint4 two[2] = {keys[2 * half], keys[2 * half + 1]};
            float phi[2][8];
            channel_softmaxes<2>(two, phi);
#pragma unroll
            for (int n = 0; n < 2; n++) {
                const bool inside = t0 + warp * 8 + 4 * half + 2 * n + lane / 16 < last;
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    phi[n][i] = inside ? phi[n][i] : 0.0f;
                    total[i] += phi[n][i];
                }
                packed[2 * half + n] = pack8(phi[n]);
            }
        }
        if (t0 + 64 < last) read(t0 + 64);
        // This tile's products were those of the turn before the last one: this group has waited for them, the other one before
        // the barrier of the last turn.
#pragma unroll
        for (int n = 0; n < 4; n++)
            *(uint4 *)(memory + odd * TILE + parts_offset(warp * 8 + 2 * n + lane / 16, part16)) = packed[n];
        wait_copies<0>();
        publish_copies();
        wait_products<0>();
        __syncthreads();
        // Both groups have ended the products of the turn before: those tiles are free.
        if (t0 + 64 < last) copy(t0 + 64, odd ^ 1);
        const u32 v_base = base + (2 + odd) * TILE;
        const u64 phi_tile = tile_descriptor(base + odd * TILE + group * 8192), v_tile = tile_descriptor(v_base, 8192);
        begin_products();
#pragma unroll
        for (int kk = 0; kk < 4; kk++) multiply_down(sum, phi_tile + (kk * 16 * 128 >> 4), v_tile + (kk * 16 * 128 >> 4));
        commit_products();
        if (most) {
#pragma unroll
            for (int n = 0; n < 4; n++) {
                float x[8];
                unpack8(*(const uint4 *)(memory + (2 + odd) * TILE + parts_offset(threadIdx.x / 16 + 16 * n, part16)), x);
#pragma unroll
                for (int i = 0; i < 8; i++) top[i] = fmaxf(top[i], fabsf(x[i]));
            }
        }
    }
    wait_products<0>();
    float *part = parts + ((i64)head * gridDim.x + blockIdx.x) * 128 * 129;
#pragma unroll
    for (int j = 0; j < 16; j++)
#pragma unroll
        for (int i = 0; i < 4; i += 2)
            *(float2 *)(part + (16 * warp + lane / 4 + i * 4) * 128 + 8 * j + lane % 4 * 2) =
                make_float2(sum[j][i], sum[j][i + 1]);
    __syncthreads();
    float *sums = (float *)memory; // [2][16][128]
#pragma unroll
    for (int i = 0; i < 8; i++) {
        sums[(warp * 2 + lane / 16) * 128 + part16 * 8 + i] = total[i];
        sums[(16 + warp * 2 + lane / 16) * 128 + part16 * 8 + i] = top[i];
    }
    __syncthreads();
    if (threadIdx.x < 128) {
        float all = 0;
        for (int w = 0; w < 16; w++) all += sums[w * 128 + threadIdx.x];
        part[128 * 128 + threadIdx.x] = all;
    } else if (most) {
        float all = 0;
        for (int w = 16; w < 32; w++) all = fmaxf(all, sums[w * 128 + threadIdx.x - 128]);
        // Of numbers that are not negative the greater has the greater bits.
        atomicMax((int *)most + head * 128 + threadIdx.x - 128, __float_as_int(all));
    }
}
#endif

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
