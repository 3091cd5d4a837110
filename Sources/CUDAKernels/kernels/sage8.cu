// SageSLA in eight bits on Hopper: scores from int8 codes, sums of values in e4m3, 64 queries and 128 keys at a time.
//
// Source: SpargeAttn csrc/qattn/qk_int_sv_f8_cuda_sm90.cu.
#include "common.cuh"

#ifdef HAS_HOPPER
constexpr float LOG2E = 1.4426950408889634f, LOWEST = -1e30f;

/// q and k codes `[tokens, heads, 128]` in boxes of 64 and of 128 tokens, v codes `[heads x 128, 1, padded]` in boxes of 128
/// tokens, out and queries bf16 `[tokens, heads, 128]` in boxes of 64 tokens and 64 columns; all 128-byte swizzled.
struct alignas(64) Attention8 {
    TensorMap q, k, v, out;
    TensorMap queries, folded; // of the linear branch; folded `[heads x 128, 1, 128]` in boxes of 128 rows and 64 columns
    const int *blocks;         // [heads, query blocks, selected], ascending
    const float *q_scale;      // [heads, query blocks]
    const float *k_scale;      // [heads, key blocks]
    const float *v_scale;      // [heads, 128]
    const float *states;       // [heads, 128 x 129]: the last 128 of each the sum of phi(k)
    const float *shift;        // null or [128]
    int heads, tokens, selected;
    float scale;
};
static_assert(sizeof(Attention8) == 832, "the launcher says so, too");

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

/// `exp2_fast`, and the compiler keeps to the order in which they are asked for.
DEVICE float exp2_in_order(float x) {
    float y;
    asm volatile("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x) : "memory");
    return y;
}

// MARK: The kernel

/// c `[64, 128]` += a `[64, 32]` b `[128, 32]`^T of int8 codes with int32 sums, laid out as `multiply_group`'s.
DEVICE void multiply_codes(int (&c)[16][4], u64 a, u64 b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {"
        NAMES_64 "}, %64, %65, 1;"
        : SUMS_64("+r")
        : "l"(a), "l"(b));
}
/// c `[64, 128]` += a `[64, 32]` b `[128, 32]`^T of e4m3 codes: a in registers, a thread's four words of row lane / 4 (and 8
/// below) columns 4 (lane % 4) and 16 + 4 (lane % 4) on.
DEVICE void multiply_codes(float (&c)[16][4], const u32 (&a)[4], u64 b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 {"
        NAMES_64 "}, {%64, %65, %66, %67}, %68, 1, 1, 1;"
        : SUMS_64("+f")
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

/// Key blocks in order out of sets that keep a bit for each: those in both sets, or those of the first alone.
struct Walk {
    const u32 *own, *other;
    u32 flip; // none, or all
    int word;
    u32 rest;
    DEVICE int next() {
        while (!rest) {
            word++;
            rest = own[word] & (other[word] ^ flip);
        }
        const int bit = __ffs(rest) - 1;
        rest &= rest - 1;
        return word * 32 + bit;
    }
};

enum { QUERIES8 = 64 * 128, ROWS16 = 64 * 256, TILE8 = 128 * 128, STAGES8 = 5, WORDS8 = 64 };
enum { SAGE8_BYTES = 1024 + 4 * QUERIES8 + 2 * ROWS16 + 2 * STAGES8 * TILE8 + 8 * STAGES8 + 16 + 96 + 32 * STAGES8 };

/// 384 threads: a warp copies, two groups of four warps multiply, each for 64 queries with their own list of blocks; tiles
/// that both lists have come first and are read once. Each block takes every `gridDim.x`-th of all (head, 128 queries).
/// Shared memory: SAGE8_BYTES; at most 32 x WORDS8 key blocks.
template <bool BRANCH> DEVICE void attend_codes(const Attention8 &p) {
    extern __shared__ __align__(1024) u8 sage8_memory[];
    __shared__ u32 sets[2][WORDS8];
    const u32 raw = shared_address(sage8_memory), q_base = raw + ((1024 - (raw & 1023)) & 1023);
    const u32 x_base = q_base + 4 * QUERIES8, k_base = x_base + 2 * ROWS16, v_base = k_base + STAGES8 * TILE8;
    const u32 notes = v_base + STAGES8 * TILE8, common_at = notes + 8 * STAGES8, barriers = common_at + 16;
    const u32 q_full = barriers, q_free = q_full + 32, x_full = q_free + 32, x_free = x_full + 16, k_full = x_free + 16,
              k_free = k_full + 8 * STAGES8, v_full = k_free + 8 * STAGES8, v_free = v_full + 8 * STAGES8;
    const int group = __shfl_sync(0xFFFFFFFFu, threadIdx.x / 128, 0), lane = threadIdx.x % 32;
    if (threadIdx.x == 0) {
        for (int i = 0; i < 4; i++) {
            barrier_start(q_full + 8 * i, 1);
            barrier_start(q_free + 8 * i, 4);
        }
        for (int i = 0; i < 2; i++) {
            barrier_start(x_full + 8 * i, 1);
            barrier_start(x_free + 8 * i, 1);
        }
        for (int i = 0; i < STAGES8; i++) {
            barrier_start(k_full + 8 * i, 1);
            barrier_start(k_free + 8 * i, 8);
            barrier_start(v_full + 8 * i, 1);
            barrier_start(v_free + 8 * i, 8);
        }
        barriers_started();
    }
    __syncthreads();
    const int query_blocks = (p.tokens + 63) / 64, key_blocks = (p.tokens + 127) / 128, pairs = (query_blocks + 1) / 2;
    const int works = pairs * p.heads, count = p.selected;
    if (group == 0) {
        fewer_registers<40>();
        if (threadIdx.x >= 32) return;
        int at = 0;
        for (int work = blockIdx.x, turn = 0; work < works; work += gridDim.x, turn++) {
            const int head = work / pairs, first = work % pairs * 2, lists = min(2, query_blocks - first);
            const int *chosen = p.blocks + ((i64)head * query_blocks + first) * count;
            const float *k_scale = p.k_scale + head * key_blocks;
            for (int w = lane; w < WORDS8; w += 32) sets[0][w] = sets[1][w] = 0;
            __syncwarp();
            for (int i = lane; i < 2 * count; i += 32) {
                const int b = chosen[i < count || lists == 2 ? i : i - count];
                atomicOr(&sets[i / count][b / 32], 1u << b % 32);
            }
            __syncwarp();
            int common = 0;
            for (int w = lane; w < WORDS8; w += 32) common += __popc(sets[0][w] & sets[1][w]);
            for (int n = 16; n > 0; n /= 2) common += __shfl_xor_sync(0xFFFFFFFFu, common, n);
            if (lane == 0) {
                Walk both{sets[0], sets[1], 0, -1, 0}, own[2] = {{sets[0], sets[1], ~0u, -1, 0}, {sets[1], sets[0], ~0u, -1, 0}};
                auto block_of = [&](int i) {
                    return i < common ? both.next() : (i - common) % 2 ? own[1].next() : own[0].next();
                };
                const int total = 2 * count - common;
                auto load = [&](u32 base, u32 full, u32 free, const TensorMap &map, int column, int row, int token) {
                    const int stage = at % STAGES8;
                    barrier_wait(free + 8 * stage, (at / STAGES8 & 1) ^ 1);
                    barrier_expect(full + 8 * stage, TILE8);
                    copy_box(base + stage * TILE8, map, full + 8 * stage, column, row, token);
                };
                for (int g = 0; g < 2; g++) {
                    const int own_q = turn % 2 * 2 + g;
                    barrier_wait(q_free + 8 * own_q, (turn / 2 & 1) ^ 1);
                    store_shared(common_at + 4 * own_q, (u32)common);
                    barrier_expect(q_full + 8 * own_q, QUERIES8);
                    copy_box(q_base + own_q * QUERIES8, p.q, q_full + 8 * own_q, 0, head, (first + g) * 64);
                }
                int block = block_of(0);
                float scale = k_scale[block];
                for (int i = 0; i < total; i++, at++) {
                    const int next = i + 1 < total ? block_of(i + 1) : block;
                    const float next_scale = k_scale[next];
                    barrier_wait(k_free + 8 * (at % STAGES8), (at / STAGES8 & 1) ^ 1);
                    store_shared(notes + at % STAGES8 * 8, __float_as_uint(scale));
                    store_shared(notes + at % STAGES8 * 8 + 4, (u32)(p.tokens - block * 128));
                    load(k_base, k_full, k_free, p.k, 0, head, block * 128);
                    load(v_base, v_full, v_free, p.v, block * 128, 0, head * 128);
                    if (BRANCH && i == min(total - 1, 6))
                        for (int g = 0; g < 2; g++) {
                            barrier_wait(x_free + 8 * g, (turn & 1) ^ 1);
                            barrier_expect(x_full + 8 * g, ROWS16);
                            for (int half = 0; half < 2; half++)
                                copy_box(x_base + g * ROWS16 + half * (ROWS16 / 2), p.queries, x_full + 8 * g, half * 64,
                                         head, (first + g) * 64);
                        }
                    block = next;
                    scale = next_scale;
                }
                if (BRANCH) {
                    load(k_base, k_full, k_free, p.folded, 0, 0, head * 128);
                    load(v_base, v_full, v_free, p.folded, 64, 0, head * 128);
                    at++;
                }
            }
            __syncwarp();
        }
        return;
    }
    more_registers<232>();
    const int own = group - 1;
    if (own == 0) named_arrive(1, 256);
    float o[16][4], top[2], sum[2], change[2];
    u32 a[4][4];
    // Sums of codes, which begin with 1.5 x 2^23 and so are that number's floats, to exponentials of at most 448; of the sums so far
    // `change` is left. The powers follow each other, whatever becomes of them.
    auto exponentials = [&](int (&codes)[16][4], float (&s)[16][4], float scale, int left) {
        constexpr float LOG2_448 = 8.807f, WHOLE = 12582912.0f;
        if (left < 128) {
#pragma unroll
            for (int j = 0; j < 16; j++)
#pragma unroll
                for (int v = 0; v < 4; v++)
                    if (8 * j + lane % 4 * 2 + v % 2 >= left) codes[j][v] = (int)0xFF800000;
        }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            // Their order as whole numbers is that of the floats.
            int first = codes[0][2 * r];
#pragma unroll
            for (int j = 0; j < 16; j++) first = __vimax3_s32(first, codes[j][2 * r], codes[j][2 * r + 1]);
            float most = __int_as_float(first);
            most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 1));
            most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 2));
            most = fmaxf((most - WHOLE) * scale, top[r]);
            change[r] = exp2_fast(top[r] - most);
            const float shift = fmaf(-WHOLE, scale, LOG2_448 - most);
            top[r] = most;
#pragma unroll
            for (int j = 0; j < 16; j++)
#pragma unroll
                for (int v = 2 * r; v < 2 * r + 2; v++)
                    s[j][v] = exp2_in_order(fmaf(__int_as_float(codes[j][v]), scale, shift));
        }
    };
    auto add = [&](const float (&s)[16][4]) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float part[4] = {};
#pragma unroll
            for (int j = 0; j < 16; j++)
#pragma unroll
                for (int i = 0; i < 2; i++) part[j % 2 * 2 + i] += s[j][2 * r + i];
            sum[r] = sum[r] * change[r] + ((part[0] + part[1]) + (part[2] + part[3]));
        }
    };
    auto pack = [&](const float (&s)[16][4]) {
#pragma unroll
        for (int i = 0; i < 16; i++) {
            const float *first = s[i / 4 * 4 + i % 4 / 2 * 2] + i % 2 * 2, *second = first + 4;
            a[i / 4][i % 4] = e4m3_codes(first[0], first[1]) | e4m3_codes(second[0], second[1]) << 16;
        }
    };
    int base = 0;
    for (int work = blockIdx.x, turn = 0; work < works; work += gridDim.x, turn++) {
        const int head = work / pairs, query_block = work % pairs * 2 + own, own_q = turn % 2 * 2 + own;
        const u32 q_own = q_base + own_q * QUERIES8, x_own = x_base + own * ROWS16;
        const u64 q_tile = tile_descriptor(q_own);
        const float q_scale = p.scale * LOG2E * p.q_scale[head * query_blocks + min(query_block, query_blocks - 1)];
        barrier_wait(q_full + 8 * own_q, turn / 2 & 1);
        const int common = __shfl_sync(0xFFFFFFFFu, (int)load_shared(common_at + 4 * own_q), 0);
        // Where in the ring this group's tiles are, and how often each of its warps lets go of one.
        auto place = [&](int t) { return base + (t < common ? t : 2 * t - common + own); };
        auto times = [&](int t) { return t < common ? 1 : 2; };
        auto full = [&](u32 barriers, int at) { barrier_wait(barriers + at % STAGES8 * 8, at / STAGES8 & 1); };
        auto release = [&](u32 barriers, int at, int times) {
            if (lane == 0) barrier_arrive(barriers + at % STAGES8 * 8, times);
        };
        auto k_scale = [&](int at) { return q_scale * __uint_as_float(load_shared(notes + at % STAGES8 * 8)); };
        auto left = [&](int at) { return (int)load_shared(notes + at % STAGES8 * 8 + 4); };
        auto scores = [&](int (&codes)[16][4], int at) {
            const u64 k_tile = tile_descriptor(k_base + at % STAGES8 * TILE8);
            begin_products();
#pragma unroll
            for (int kk = 0; kk < 4; kk++) multiply_codes(codes, q_tile + 2 * kk, k_tile + 2 * kk);
            commit_products();
        };
        auto start = [&](int (&codes)[16][4]) {
#pragma unroll
            for (int j = 0; j < 16; j++)
#pragma unroll
                for (int v = 0; v < 4; v++) codes[j][v] = 0x4B400000;
        };
        auto values = [&](int at) {
            const u64 v_tile = tile_descriptor(v_base + at % STAGES8 * TILE8);
            begin_products();
#pragma unroll
            for (int kk = 0; kk < 4; kk++) multiply_codes(o, a[kk], v_tile + 2 * kk);
            commit_products();
        };
        int at = place(0);
        full(k_full, at);
        {
            int codes[16][4];
            float s[16][4];
            const float scale = k_scale(at);
            const int rest = left(at);
            start(codes);
            // In turns here, too: a group is never so far ahead that a place's number could stand for a tile of the other.
            named_sync(1 + own, 256);
            scores(codes, at);
            named_arrive(2 - own, 256);
#pragma unroll
            for (int t = 0; t < 16; t++)
#pragma unroll
                for (int v = 0; v < 4; v++) o[t][v] = 0;
            top[0] = top[1] = LOWEST;
            sum[0] = sum[1] = 0;
            wait_products<0>();
            settle(codes);
            release(k_free, at, times(0));
            exponentials(codes, s, scale, rest);
            add(s);
            pack(s);
        }
        for (int t = 1; t < count; t++) {
            const int next = place(t);
            int codes[16][4];
            float s[16][4];
            start(codes);
            full(k_full, next);
            const float scale = k_scale(next);
            const int rest = left(next);
            named_sync(1 + own, 256);
            scores(codes, next);
            full(v_full, at);
            values(at);
            named_arrive(2 - own, 256);
            wait_products<1>();
            settle(codes);
            release(k_free, next, times(t));
            exponentials(codes, s, scale, rest);
            // Long there: a branch, so that the next wait is not taken before the exponentials.
            settle(s);
            full(v_full, at);
            wait_products<0>();
            release(v_free, at, times(t - 1));
            settle(o);
            add(s);
#pragma unroll
            for (int i = 0; i < 16; i++)
#pragma unroll
                for (int v = 0; v < 4; v++) o[i][v] *= change[v / 2];
            pack(s);
            at = next;
        }
        if (lane == 0) barrier_arrive(q_free + 8 * own_q);
        full(v_full, at);
        values(at);
        wait_products<0>();
        release(v_free, at, times(count - 1));
        base += 2 * count - common;
        float factor[2] = {1, 1};
        u32 phi[8][4];
        if (BRANCH) {
            barrier_wait(x_full + 8 * own, turn & 1);
            const float *key_sum = p.states + (i64)head * 128 * 129 + 128 * 128;
#pragma unroll
            for (int r = 0; r < 2; r++)
                factor[r] = linear_operands(
                    key_sum, [&](int t) { return load_shared(pair_place(x_own, ROWS16 / 2, t, r)); },
                    [&](int t, u32 two) { phi[t / 2][t % 2 * 2 + r] = two; });
        } else {
            barrier_wait(x_free + 8 * own, (turn & 1) ^ 1);
        }
        float share[2];
#pragma unroll
        for (int r = 0; r < 2; r++) share[r] = 1.0f / (quad_sum(sum[r]) * factor[r]);
#pragma unroll
        for (int t = 0; t < 16; t++) {
            const float2 scale = *(const float2 *)(p.v_scale + head * 128 + 8 * t + lane % 4 * 2);
#pragma unroll
            for (int v = 0; v < 4; v++) o[t][v] *= share[v / 2] * (v % 2 ? scale.y : scale.x);
        }
        if (BRANCH) {
            full(k_full, base);
            full(v_full, base);
            const u64 tile = tile_descriptor(k_base + base % STAGES8 * TILE8, STAGES8 * TILE8);
            begin_products();
#pragma unroll
            for (int kk = 0; kk < 8; kk++) multiply_group(o, phi[kk], tile + (kk * 16 * 128 >> 4));
            commit_products();
            wait_products<0>();
            release(k_free, base, 1);
            release(v_free, base, 1);
            base++;
        }
        put_rows<BRANCH>(o, factor, p.shift, x_own, ROWS16 / 2);
        publish_copies();
        named_sync(3 + own, 128);
        if (threadIdx.x % 128 == 0) {
            store_rows(p.out, x_own, ROWS16 / 2, head, query_block * 64);
            barrier_arrive(x_free + 8 * own);
        }
    }
}
extern "C" __global__ void __launch_bounds__(384, 1) sage8_attention(const __grid_constant__ Attention8 p) { attend_codes<false>(p); }
extern "C" __global__ void __launch_bounds__(384, 1) sage8_attention_branch(const __grid_constant__ Attention8 p) { attend_codes<true>(p); }
#endif
