// Attention on Hopper by a producer of tiles and two groups that take turns: dim 128, bf16, 128 queries a block, keys in blocks
// of 64 of which two at a time are a tile.
//
// Source: the order of work of FlashAttention-3.
#include "common.cuh"

#ifdef HAS_HOPPER
/// q, k, v, out `[tokens, heads, 128]` in boxes of 64 tokens and 64 columns of one head, 128-byte swizzled.
struct alignas(64) Turns {
    TensorMap q, k, v, out;
    TensorMap folded;    // `[heads x 128, 1, 128]`, of the linear branch
    const int *blocks;   // null for all, or [heads, query blocks, selected], ascending
    const float *bias;   // null or [keys]
    const float *states; // [heads, 128 x 129]: the last 128 of each the sum of phi(k)
    const float *shift;  // null or [128]
    int heads, queries, keys, selected;
    float scale;
    int padding[3];
};
static_assert(sizeof(Turns) == 704, "the launcher says so, too");

constexpr float LOG2E = 1.4426950408889634f, LOWEST = -1e30f;

/// c `[64, 128]` = (FRESH) or += a `[64, 16]` b `[128, 16]`^T, laid out as `multiply_group`'s.
template <bool FRESH> DEVICE void multiply_scores(float (&c)[16][4], u64 a, u64 b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        NAMES_64 "}, %64, %65, %66, 1, 1, 0, 0;"
        : SUMS_64("+f")
        : "l"(a), "l"(b), "n"(FRESH ? 0 : 1));
}

// MARK: The kernel

enum { TILE = 128 * 256, STAGES = 2, TURNS_BYTES = 1024 + 2 * TILE + 2 * STAGES * TILE + 128 };

/// 384 threads: one group of four warps copies, two multiply. Each block takes every `gridDim.x`-th of all (head, 128 queries).
/// Shared memory: TURNS_BYTES.
template <bool BIASED, bool BRANCH> DEVICE void attend_in_turns(const Turns &p) {
    extern __shared__ __align__(1024) u8 turns_memory[];
    const u32 raw = shared_address(turns_memory), q_base = raw + ((1024 - (raw & 1023)) & 1023);
    const u32 k_base = q_base + 2 * TILE, v_base = k_base + STAGES * TILE, barriers = v_base + STAGES * TILE;
    const u32 q_full = barriers, q_free = barriers + 16, k_full = barriers + 32, k_free = k_full + 8 * STAGES,
              v_full = k_free + 8 * STAGES, v_free = v_full + 8 * STAGES;
    const int group = threadIdx.x / 128, lane = threadIdx.x % 32;
    if (threadIdx.x == 0) {
        for (int i = 0; i < 2; i++) {
            barrier_start(q_full + 8 * i, 1);
            barrier_start(q_free + 8 * i, 2);
        }
        for (int i = 0; i < STAGES; i++) {
            barrier_start(k_full + 8 * i, 1);
            barrier_start(k_free + 8 * i, 8);
            barrier_start(v_full + 8 * i, 1);
            barrier_start(v_free + 8 * i, 8);
        }
        barriers_started();
    }
    __syncthreads();
    const int query_blocks = (p.queries + 127) / 128, key_blocks = (p.keys + 63) / 64;
    const int works = query_blocks * p.heads, count = p.blocks ? p.selected : key_blocks, tiles = (count + 1) / 2;
    // The last block, alone or with the one before it, is the first tile: only that one needs a mask.
    if (group == 0) {
        fewer_registers<24>();
        if (threadIdx.x != 0) return;
        int at = 0, v_at = 0;
        for (int work = blockIdx.x, turn = 0; work < works; work += gridDim.x, turn++) {
            const int head = work / query_blocks, q0 = work % query_blocks * 128;
            const int *chosen = p.blocks ? p.blocks + (i64)work * count : nullptr;
            const u32 q_to = q_base + turn % 2 * TILE, q_bar = q_full + turn % 2 * 8;
            barrier_wait(q_free + turn % 2 * 8, (turn / 2 & 1) ^ 1);
            barrier_expect(q_bar, TILE);
            for (int i = 0; i < 4; i++)
                copy_box(q_to + i / 2 * (TILE / 2) + i % 2 * (TILE / 4), p.q, q_bar, i / 2 * 64, head, q0 + i % 2 * 64);
            int pair[2] = {count - 2 + count % 2, count - 1};
            if (chosen) {
                pair[0] = chosen[pair[0]];
                pair[1] = chosen[pair[1]];
            }
            for (int t = 0; t < tiles; t++, at++) {
                const int low = pair[0] * 64, high = pair[1] * 64, stage = at % STAGES, parity = at / STAGES & 1;
                if (t + 1 < tiles) {
                    pair[0] = chosen ? chosen[2 * t] : 2 * t;
                    pair[1] = chosen ? chosen[2 * t + 1] : 2 * t + 1;
                }
                barrier_wait(k_free + 8 * stage, parity ^ 1);
                barrier_expect(k_full + 8 * stage, TILE);
                for (int i = 0; i < 4; i++)
                    copy_box(k_base + stage * TILE + i / 2 * (TILE / 2) + i % 2 * (TILE / 4), p.k, k_full + 8 * stage,
                             i / 2 * 64, head, i % 2 ? high : low);
                const int v_stage = v_at % STAGES, v_bar = v_full + 8 * v_stage;
                barrier_wait(v_free + 8 * v_stage, (v_at++ / STAGES & 1) ^ 1);
                barrier_expect(v_bar, TILE);
                for (int i = 0; i < 4; i++)
                    copy_box(v_base + v_stage * TILE + i / 2 * (TILE / 2) + i % 2 * (TILE / 4), p.v, v_bar, i / 2 * 64,
                             head, i % 2 ? high : low);
            }
            if (BRANCH) {
                const int v_stage = v_at % STAGES, v_bar = v_full + 8 * v_stage;
                barrier_wait(v_free + 8 * v_stage, (v_at++ / STAGES & 1) ^ 1);
                barrier_expect(v_bar, TILE);
                for (int i = 0; i < 4; i++)
                    copy_box(v_base + v_stage * TILE + i / 2 * (TILE / 2) + i % 2 * (TILE / 4), p.folded, v_bar,
                             i / 2 * 64, 0, head * 128 + i % 2 * 64);
            }
        }
        return;
    }
    more_registers<240>();
    const int own = group - 1;
    if (own == 0) named_arrive(1, 256);
    float o[16][4], top[2], sum[2], change[2];
    u32 a[8][4];
    // Scores to their exponentials; of the sums so far `change` is left.
    auto exponentials = [&](float (&s)[16][4], int first, int second, int masked) {
        float scale = p.scale * LOG2E;
        if (BIASED) {
#pragma unroll
            for (int j = 0; j < 16; j++)
#pragma unroll
                for (int v = 0; v < 4; v++) {
                    const int key = (j < 8 ? first : second) * 64 + 8 * (j % 8) + lane % 4 * 2 + v % 2;
                    s[j][v] = fmaf(s[j][v], scale, p.bias[min(key, p.keys - 1)] * LOG2E);
                }
            scale = 1;
        }
        if (masked < 128) {
#pragma unroll
            for (int j = 0; j < 16; j++)
#pragma unroll
                for (int v = 0; v < 4; v++)
                    if (8 * j + lane % 4 * 2 + v % 2 >= masked) s[j][v] = -__int_as_float(0x7F800000);
        }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float most = s[0][2 * r];
#pragma unroll
            for (int j = 0; j < 16; j++) most = fmaxf(most, fmaxf(s[j][2 * r], s[j][2 * r + 1]));
            most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 1));
            most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 2)) * scale;
            most = fmaxf(most, top[r]);
            change[r] = exp2_fast(top[r] - most);
            top[r] = most;
            sum[r] *= change[r];
#pragma unroll
            for (int j = 0; j < 16; j++)
#pragma unroll
                for (int v = 2 * r; v < 2 * r + 2; v++) {
                    s[j][v] = exp2_fast(fmaf(s[j][v], scale, -most));
                    sum[r] += s[j][v];
                }
        }
    };
    auto pack = [&](const float (&s)[16][4]) {
#pragma unroll
        for (int kk = 0; kk < 8; kk++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float *two = s[2 * kk + i / 2] + i % 2 * 2;
                a[kk][i] = pack_bf16(two[0], two[1]);
            }
    };
    int at = 0, v_at = 0;
    for (int work = blockIdx.x, turn = 0; work < works; work += gridDim.x, turn++) {
        const int head = work / query_blocks, q0 = work % query_blocks * 128 + own * 64;
        const int *chosen = p.blocks ? p.blocks + (i64)work * count : nullptr;
        const u32 q_own = q_base + turn % 2 * TILE + own * 64 * 128;
        const u64 q_tile = tile_descriptor(q_own);
        const int last = chosen ? chosen[count - 1] : key_blocks - 1;
        auto scores = [&](float (&s)[16][4], int stage) {
            const u64 k_tile = tile_descriptor(k_base + stage * TILE);
            begin_products();
            multiply_scores<true>(s, q_tile, k_tile);
#pragma unroll
            for (int kk = 1; kk < 8; kk++)
                multiply_scores<false>(s, q_tile + (kk / 4 * (TILE / 2) + kk % 4 * 32 >> 4),
                                       k_tile + (kk / 4 * (TILE / 2) + kk % 4 * 32 >> 4));
            commit_products();
        };
        auto values = [&](int stage) {
            const u64 v_tile = tile_descriptor(v_base + stage * TILE, TILE / 2);
            begin_products();
#pragma unroll
            for (int kk = 0; kk < 8; kk++) multiply_group(o, a[kk], v_tile + (kk * 16 * 128 >> 4));
            commit_products();
        };
        auto release = [&](u32 barrier) {
            if (lane == 0) barrier_arrive(barrier);
        };
        barrier_wait(q_full + turn % 2 * 8, turn / 2 & 1);
        barrier_wait(k_full + at % STAGES * 8, at / STAGES & 1);
        {
            float s[16][4];
            scores(s, at % STAGES);
#pragma unroll
            for (int t = 0; t < 16; t++)
#pragma unroll
                for (int v = 0; v < 4; v++) o[t][v] = 0;
            top[0] = top[1] = LOWEST;
            sum[0] = sum[1] = 0;
            wait_products<0>();
            release(k_free + at % STAGES * 8);
            const int left = min(64, p.keys - last * 64);
            exponentials(s, count % 2 ? last : chosen && BIASED ? chosen[max(count - 2, 0)] : last - 1, last,
                         count % 2 ? left : 64 + left);
            pack(s);
        }
        for (int t = 1; t < tiles; t++) {
            const int next = at + 1;
            float s[16][4];
            barrier_wait(k_full + next % STAGES * 8, next / STAGES & 1);
            named_sync(1 + own, 256);
            scores(s, next % STAGES);
            barrier_wait(v_full + v_at % STAGES * 8, v_at / STAGES & 1);
            values(v_at % STAGES);
            named_arrive(2 - own, 256);
            wait_products<1>();
            settle(s);
            release(k_free + next % STAGES * 8);
            exponentials(s, BIASED ? (chosen ? chosen[2 * t - 2] : 2 * t - 2) : 0,
                         BIASED ? (chosen ? chosen[2 * t - 1] : 2 * t - 1) : 0, 128);
            // Long there: a branch, so that the next wait is not taken before the exponentials.
            settle(s);
            barrier_wait(v_full + v_at % STAGES * 8, v_at / STAGES & 1);
            wait_products<0>();
            release(v_free + v_at++ % STAGES * 8);
            settle(o);
#pragma unroll
            for (int i = 0; i < 16; i++)
#pragma unroll
                for (int v = 0; v < 4; v++) o[i][v] *= change[v / 2];
            pack(s);
            at = next;
        }
        barrier_wait(v_full + v_at % STAGES * 8, v_at / STAGES & 1);
        values(v_at % STAGES);
        wait_products<0>();
        release(v_free + v_at++ % STAGES * 8);
        at++;
        float factor[2] = {1, 1};
        if (BRANCH) {
            const float *key_sum = p.states + (i64)head * 128 * 129 + 128 * 128;
#pragma unroll
            for (int r = 0; r < 2; r++)
                factor[r] = linear_operands(
                    key_sum, [&](int t) { return load_shared(pair_place(q_own, TILE / 2, t, r)); },
                    [&](int t, u32 two) { a[t / 2][t % 2 * 2 + r] = two; });
        }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const float share = 1.0f / (quad_sum(sum[r]) * factor[r]);
#pragma unroll
            for (int t = 0; t < 16; t++) {
                o[t][2 * r] *= share;
                o[t][2 * r + 1] *= share;
            }
        }
        if (BRANCH) {
            barrier_wait(v_full + v_at % STAGES * 8, v_at / STAGES & 1);
            values(v_at % STAGES);
            wait_products<0>();
            release(v_free + v_at++ % STAGES * 8);
        }
        // This group's queries are no longer needed: their place takes the results.
        put_rows<BRANCH>(o, factor, p.shift, q_own, TILE / 2);
        publish_copies();
        named_sync(3 + own, 128);
        if (threadIdx.x % 128 == 0) {
            store_rows(p.out, q_own, TILE / 2, head, q0);
            barrier_arrive(q_free + turn % 2 * 8);
        }
    }
}
#define TURNS(NAME, BIASED, BRANCH)                                                                                    \
    extern "C" __global__ void __launch_bounds__(384, 1) NAME(const __grid_constant__ Turns p) {                       \
        attend_in_turns<BIASED, BRANCH>(p);                                                                            \
    }
TURNS(turns_attention, false, false)
TURNS(turns_attention_bias, true, false)
TURNS(turns_attention_branch, false, true)
#endif
