// SageSLA in eight bits on Hopper: scores from int8 codes, sums of values in e4m3, 64 queries and 128 keys at a time.
//
// Source: SpargeAttn csrc/qattn/qk_int_sv_f8_cuda_sm90.cu.
#include "common.cuh"

#ifdef HAS_HOPPER
/// `Attention` of attention.cu, as far as this needs it: q and k codes `[tokens, heads, 128]`, v codes `[heads, 128, padded]`.
struct Attention8 {
    const u8 *q, *k, *v;
    bf16 *out;
    const int *blocks;    // [heads, query blocks, selected], ascending
    const float *q_scale; // [heads, query blocks]
    const float *k_scale; // [heads, key blocks]
    const float *v_scale; // [heads, 128]
    const bf16 *queries;  // [tokens, heads, 128], for the linear branch
    const bf16 *folded;   // [heads, 128, 128]
    const float *states;  // [heads, 128 x 129]: the last 128 of each the sum of phi(k)
    const float *shift;   // null or [128]
    int heads, tokens, padded, selected;
    float scale;
};

/// values `[heads, 128, padded]` = e4m3 codes of v `[tokens, heads, 128]` times 2.25 / most, zeros past the tokens. In every 32
/// tokens they lie in the order in which a thread of a product of scores holds them. Block (128 tokens, head) of 256 threads.
KERNEL sage8_values(const bf16 *v, const float *most, u8 *values, int tokens, int heads, int padded) {
    __shared__ u8 tile[128][132];
    const int first = blockIdx.x * 128, head = blockIdx.y;
    const int channel = threadIdx.x % 16 * 8;
    float factor[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const float m = most[head * 128 + channel + i];
        factor[i] = m > 0 ? __fdiv_rn(2.25f, m) : 0.0f;
    }
    for (int t = threadIdx.x / 16; t < 128; t += 16) {
        float x[8] = {};
        if (first + t < tokens) unpack8(*(const uint4 *)(v + ((i64)(first + t) * heads + head) * 128 + channel), x);
#pragma unroll
        for (int i = 0; i < 4; i++)
            *(u16 *)&tile[t][channel + 2 * i] =
                (u16)e4m3_codes(x[2 * i] * factor[2 * i], x[2 * i + 1] * factor[2 * i + 1]);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 128 * 8; i += 256) {
        const int d = i / 8, chunk = i % 8;
        u32 words[4];
#pragma unroll
        for (int w = 0; w < 4; w++) {
            words[w] = 0;
#pragma unroll
            for (int b = 0; b < 4; b++) {
                // Place 16 chunk + 4 w + b: of half chunk % 2, pair b / 2, thread w.
                const int t = chunk / 2 * 32 + chunk % 2 * 16 + b / 2 * 8 + 2 * w + b % 2;
                words[w] |= (u32)tile[t][d] << (8 * b);
            }
        }
        *(uint4 *)(values + ((i64)head * 128 + d) * padded + first + chunk * 16) =
            make_uint4(words[0], words[1], words[2], words[3]);
    }
}

/// c `[64, 128]` += a `[64, 16]` b `[16, 128]`: b read across its rows.
DEVICE void multiply_across(float (&c)[16][4], u64 a, u64 b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        NAMES_64 "}, %64, %65, 1, 1, 1, 0, 1;"
        : SUMS_64("+f")
        : "l"(a), "l"(b));
}

/// A row of 128 bytes is 8 chunks of 16, each at its place exclusive-or row: no bank conflicts.
DEVICE u32 chunk_offset(int row, int chunk) { return (u32)(row * 128 + ((chunk ^ (row & 7)) << 4)); }

/// One group of four warps a block of 64 queries; while one block of a multiprocessor takes exponentials, the others multiply.
/// Shared memory: 1024 + (64 + 4 x 128) x 128 bytes.
template <bool BRANCH> DEVICE void attend_codes(const Attention8 &p) {
    extern __shared__ __align__(1024) u8 sage8_memory[];
    constexpr int KEYS = 128, TILE = KEYS * 128;
    constexpr float LOG2E = 1.4426950408889634f, SHIFT = 8.807f;
    const int tid = threadIdx.x, lane = tid % 32, warp = tid / 32;
    const int head = blockIdx.y, q0 = blockIdx.x * 64, stride = p.heads * 128;
    const u32 start = shared_address(sage8_memory), q_base = start + ((1024 - (start & 1023)) & 1023);
    const u32 tile_base = q_base + 64 * 128;
    const int key_blocks = (p.tokens + KEYS - 1) / KEYS;
    const int *chosen = p.blocks + (i64)(head * gridDim.x + blockIdx.x) * p.selected;
    const int row0 = tid / 8, chunk = tid % 8;
    const u32 place = chunk_offset(row0, chunk); // 16 rows on: the same place, 2048 bytes on
    const u8 *qs = p.q + head * 128 + chunk * 16, *ks = p.k + head * 128 + chunk * 16;
    const u8 *vs = p.v + (i64)(head * 128 + row0) * p.padded + chunk * 16;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int token = q0 + row0 + 16 * i;
        copy16_async(q_base + place + 2048 * i, token < p.tokens ? qs + (i64)token * stride : p.q, token < p.tokens);
    }
    auto load = [&](int n) {
        const int first = chosen[n] * KEYS;
        const u32 to = tile_base + n % 2 * 2 * TILE + place;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const int token = first + row0 + 16 * i;
            copy16_async(to + 2048 * i, token < p.tokens ? ks + (i64)token * stride : p.k, token < p.tokens);
            copy16_async(to + TILE + 2048 * i, vs + (i64)(16 * i) * p.padded + first, true);
        }
    };
    load(0);
    commit_copies();
    float o[16][4] = {}, top[2] = {-1e30f, -1e30f}, sum[2] = {};
    const float q_scale = p.scale * LOG2E * p.q_scale[head * gridDim.x + blockIdx.x];
    const u64 q_tile = tile_descriptor(q_base);
    for (int n = 0; n < p.selected; n++) {
        wait_copies<0>();
        publish_copies();
        __syncthreads();
        // Every warp has ended its products of the tile before: its memory is free.
        if (n + 1 < p.selected) {
            load(n + 1);
        }
        commit_copies();
        const int block = chosen[n];
        const u32 at = tile_base + n % 2 * 2 * TILE;
        const u64 k_tile = tile_descriptor(at), v_tile = tile_descriptor(at + TILE);
        int codes[16][4] = {};
        begin_products();
#pragma unroll
        for (int kk = 0; kk < 4; kk++) multiply_codes(codes, q_tile + 2 * kk, k_tile + 2 * kk);
        commit_products();
        const float scale = q_scale * p.k_scale[head * key_blocks + block];
        wait_products<0>();
        float s[16][4];
#pragma unroll
        for (int j = 0; j < 16; j++)
#pragma unroll
            for (int v = 0; v < 4; v++) s[j][v] = (float)codes[j][v];
        if ((block + 1) * KEYS > p.tokens) {
#pragma unroll
            for (int j = 0; j < 16; j++)
#pragma unroll
                for (int v = 0; v < 4; v++)
                    if (block * KEYS + 8 * j + lane % 4 * 2 + v % 2 >= p.tokens) s[j][v] = -__int_as_float(0x7F800000);
        }
        u32 a[4][4];
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float most = s[0][2 * r];
#pragma unroll
            for (int j = 0; j < 16; j++) most = fmaxf(most, fmaxf(s[j][2 * r], s[j][2 * r + 1]));
            most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 1));
            most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 2));
            most = fmaxf(most * scale, top[r]);
            const float change = exp2_fast(top[r] - most), shift = SHIFT - most;
            top[r] = most;
            sum[r] *= change;
#pragma unroll
            for (int t = 0; t < 16; t++) {
                o[t][2 * r] *= change;
                o[t][2 * r + 1] *= change;
            }
#pragma unroll
            for (int j = 0; j < 16; j++)
#pragma unroll
                for (int v = 2 * r; v < 2 * r + 2; v++) {
                    s[j][v] = exp2_fast(fmaf(s[j][v], scale, shift));
                    sum[r] += s[j][v];
                }
#pragma unroll
            for (int kk = 0; kk < 4; kk++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const float *first = s[4 * kk + 2 * half] + 2 * r, *second = s[4 * kk + 2 * half + 1] + 2 * r;
                    a[kk][2 * half + r] = e4m3_codes(first[0], first[1]) | e4m3_codes(second[0], second[1]) << 16;
                }
        }
        begin_products();
#pragma unroll
        for (int kk = 0; kk < 4; kk++) multiply_codes(o, a[kk], v_tile + 2 * kk);
        commit_products();
        wait_products<0>();
    }
    float share[2], factor[2] = {1, 1};
    const u32 phi_base = tile_base + (p.selected - 1) % 2 * 2 * TILE, folded = tile_base + p.selected % 2 * 2 * TILE;
    if (BRANCH) {
        // The folded state, in two parts of 64 columns, where the tile before the last one was.
#pragma unroll
        for (int i = 0; i < 16; i++)
            copy16_async(folded + i / 8 * TILE + i % 8 * 2048 + place,
                         p.folded + ((i64)head * 128 + row0 + i % 8 * 16) * 128 + i / 8 * 64 + chunk * 8, true);
        commit_copies();
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        share[r] = sum[r] + __shfl_xor_sync(0xFFFFFFFFu, sum[r], 1);
        share[r] += __shfl_xor_sync(0xFFFFFFFFu, share[r], 2);
        if (BRANCH) {
            const int row = warp * 16 + lane / 4 + 8 * r;
            const u32 *from = (const u32 *)(p.queries + (i64)min(q0 + row, p.tokens - 1) * stride + head * 128) + lane % 4;
            factor[r] = linear_operands(
                p.states + (i64)head * 128 * 129 + 128 * 128, [&](int t) { return from[4 * t]; },
                [&](int t, u32 two) { store_shared(phi_base + t / 8 * 8192 + chunk_offset(row, t % 8) + lane % 4 * 4, two); });
        }
        share[r] = 1.0f / (share[r] * factor[r]);
    }
#pragma unroll
    for (int t = 0; t < 16; t++) {
        const float2 scale = *(const float2 *)(p.v_scale + head * 128 + 8 * t + lane % 4 * 2);
#pragma unroll
        for (int v = 0; v < 4; v++) o[t][v] *= share[v / 2] * (v % 2 ? scale.y : scale.x);
    }
    if (BRANCH) {
        wait_copies<0>();
        publish_copies();
        __syncthreads();
        const u64 phi_tile = tile_descriptor(phi_base), folded_tile = tile_descriptor(folded, TILE);
        begin_products();
#pragma unroll
        for (int kk = 0; kk < 8; kk++)
            multiply_across(o, phi_tile + (kk / 4 * 8192 + kk % 4 * 32 >> 4), folded_tile + (kk * 16 * 128 >> 4));
        commit_products();
        wait_products<0>();
    }
    bf16 *out = p.out + head * 128;
#pragma unroll
    for (int t = 0; t < 16; t++) {
        const int c = 8 * t + lane % 4 * 2;
        float2 shift = make_float2(0, 0);
        if (BRANCH && p.shift) shift = *(const float2 *)(p.shift + c);
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const int query = q0 + warp * 16 + lane / 4 + 8 * r;
            float low = o[t][2 * r], high = o[t][2 * r + 1];
            if (BRANCH) low = fmaf(low, factor[r], shift.x), high = fmaf(high, factor[r], shift.y);
            if (query < p.tokens) *(u32 *)(out + (i64)query * stride + c) = pack_bf16(low, high);
        }
    }
}
extern "C" __global__ void __launch_bounds__(128, 3) sage8_attention(Attention8 p) { attend_codes<false>(p); }
extern "C" __global__ void __launch_bounds__(128, 3) sage8_attention_branch(Attention8 p) { attend_codes<true>(p); }
#endif
