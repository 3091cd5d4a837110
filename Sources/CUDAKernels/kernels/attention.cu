// softmax(scale q k^T + bias) v, over all key blocks or over those chosen for a query block.
//
// q, k, v, out: `[tokens, heads, dim]`; `stride` = heads * dim values from token to token. Online softmax: never more
// than one block of scores. With `k_scale` the values of q, k and v are SageSLA's codes (int8 and e4m3 numbers, which
// bf16 holds exactly), and P is rounded to e4m3. Source: SpargeAttn csrc/qattn.
#include "common.cuh"

struct Attention {
    const void *q, *k, *v;
    void *out;
    const float *bias;         // null, or bias[head * bias_head + query * bias_query + key]
    const int *blocks;         // null for all, or [heads, query blocks, selected], ascending
    const float *q_scale;      // [heads, query blocks]
    const float *k_scale;      // [heads, key blocks] or null
    const float *v_scale;      // [heads, dim]
    i64 bias_head, bias_query; // values
    int stride, dim, queries, keys;
    int query_block, key_block, selected;
    float scale;
};
static_assert(sizeof(Attention) == 120, "KernelArguments.swift says so, too");

constexpr float LOG2E = 1.4426950408889634f, LOWEST = -1e30f, SAGE_SHIFT = 8.807f;

// MARK: Plain: any dim, float32

/// One block of 128 threads takes `rows` queries (at most 16, dividing the query block) of one head.
/// Shared memory: rows (2 dim + key_block) + 16 (dim + 1) + 3 rows floats.
template <typename T, bool QUANTIZED> DEVICE void attend_plain(const Attention &p, int rows) {
    extern __shared__ float plain_memory[];
    const int dim = p.dim, head = blockIdx.y, q0 = blockIdx.x * rows, tid = threadIdx.x;
    const int warp = tid / 32, lane = tid % 32;
    float *q = plain_memory, *o = q + rows * dim, *tile = o + rows * dim, *s = tile + 16 * (dim + 1);
    float *top = s + rows * p.key_block, *sum = top + rows, *change = sum + rows;
    const T *qs = (const T *)p.q + head * dim, *ks = (const T *)p.k + head * dim, *vs = (const T *)p.v + head * dim;
    for (int i = tid; i < rows * dim; i += 128) {
        const int query = q0 + i / dim;
        q[i] = query < p.queries ? to_float(qs[(i64)query * p.stride + i % dim]) : 0.0f;
        o[i] = 0;
    }
    if (tid < rows) {
        top[tid] = -3.402823466e38f;
        sum[tid] = 0;
    }
    const int key_blocks = (p.keys + p.key_block - 1) / p.key_block;
    const int query_blocks = (p.queries + p.query_block - 1) / p.query_block, query_block = q0 / p.query_block;
    const int *chosen = p.blocks ? p.blocks + (i64)(head * query_blocks + query_block) * p.selected : nullptr;
    const int count = chosen ? p.selected : key_blocks;
    for (int n = 0; n < count; n++) {
        const int block = chosen ? chosen[n] : n;
        const int first = block * p.key_block, keys = min(p.key_block, p.keys - first);
        float factor = p.scale;
        if (QUANTIZED)
            factor *= LOG2E * (p.q_scale[head * query_blocks + query_block] * p.k_scale[head * key_blocks + block]);
        for (int sub = 0; sub < keys; sub += 16) {
            __syncthreads();
            for (int i = tid; i < 16 * dim; i += 128) {
                const int key = sub + i / dim;
                tile[i / dim * (dim + 1) + i % dim] =
                    key < keys ? to_float(ks[(i64)(first + key) * p.stride + i % dim]) : 0.0f;
            }
            __syncthreads();
            for (int i = tid; i < rows * 16; i += 128) {
                const int r = i / 16, key = i % 16;
                if (sub + key >= keys) continue;
                float dot = 0;
                for (int c = 0; c < dim; c++) dot += q[r * dim + c] * tile[key * (dim + 1) + c];
                dot *= factor;
                if (p.bias && q0 + r < p.queries)
                    dot += p.bias[head * p.bias_head + (q0 + r) * p.bias_query + first + sub + key];
                s[r * p.key_block + sub + key] = dot;
            }
        }
        __syncthreads();
        for (int r = warp; r < rows; r += 4) {
            float *row = s + r * p.key_block;
            float most = -3.402823466e38f;
            for (int i = lane; i < keys; i += 32) most = fmaxf(most, row[i]);
            most = fmaxf(warp_max(most), top[r]);
            float total = 0;
            for (int i = lane; i < keys; i += 32) {
                const float e = QUANTIZED ? exp2f(row[i] - most + SAGE_SHIFT) : expf(row[i] - most);
                total += e;
                row[i] = QUANTIZED ? round_e4m3(e) : e;
            }
            total = warp_sum(total);
            __syncwarp();
            if (lane == 0) {
                const float old = QUANTIZED ? exp2f(top[r] - most) : expf(top[r] - most);
                change[r] = old;
                sum[r] = sum[r] * old + total;
                top[r] = most;
            }
        }
        for (int sub = 0; sub < keys; sub += 16) {
            __syncthreads();
            for (int i = tid; i < 16 * dim; i += 128) {
                const int key = sub + i / dim;
                tile[i / dim * (dim + 1) + i % dim] =
                    key < keys ? to_float(vs[(i64)(first + key) * p.stride + i % dim]) : 0.0f;
            }
            __syncthreads();
            const int width = min(16, keys - sub);
            for (int c = tid; c < dim; c += 128)
                for (int r = 0; r < rows; r++) {
                    float part = sub == 0 ? o[r * dim + c] * change[r] : o[r * dim + c];
                    for (int key = 0; key < width; key++)
                        part += s[r * p.key_block + sub + key] * tile[key * (dim + 1) + c];
                    o[r * dim + c] = part;
                }
        }
    }
    __syncthreads();
    T *out = (T *)p.out + head * dim;
    for (int i = tid; i < rows * dim; i += 128) {
        const int query = q0 + i / dim;
        if (query >= p.queries) continue;
        float y = o[i] / sum[i / dim];
        if (QUANTIZED) y *= p.v_scale[head * dim + i % dim];
        out[(i64)query * p.stride + i % dim] = from_float<T>(y);
    }
}
KERNEL attend_plain_f32(Attention p, int rows) { attend_plain<float, false>(p, rows); }
KERNEL attend_plain_bf16(Attention p, int rows) { attend_plain<bf16, false>(p, rows); }
KERNEL attend_plain_sage_f32(Attention p, int rows) { attend_plain<float, true>(p, rows); }
KERNEL attend_plain_sage_bf16(Attention p, int rows) { attend_plain<bf16, true>(p, rows); }

/// out `[rows, columns]` = softmax(scale * scores) of each row, scale above zero. One block of 256 threads a row.
KERNEL softmax_rows(const float *scores, bf16 *out, int columns, float scale) {
    __shared__ float shared[33];
    const float *row = scores + (i64)blockIdx.x * columns;
    float most = -3.402823466e38f, total = 0;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) most = fmaxf(most, row[i]);
    most = block_max(most, shared);
    const float factor = scale * LOG2E;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) total += exp2_fast((row[i] - most) * factor);
    const float share = 1.0f / block_sum(total, shared);
    bf16 *to = out + (i64)blockIdx.x * columns;
    for (int i = threadIdx.x; i < columns; i += blockDim.x)
        to[i] = from_float<bf16>(exp2_fast((row[i] - most) * factor) * share);
}

// MARK: Tensor cores: dim 64 or 128, bf16

/// Rows of D bf16 in chunks of 16 bytes, the low three bits of the place exclusive-or row: no bank conflicts.
template <int D> DEVICE u32 chunk_offset(int row, int chunk) { return (u32)(row * D * 2 + ((chunk ^ (row & 7)) << 4)); }

/// Each warp takes 16 TALL queries; the block's warps share tiles of KEYS keys (= the key block where blocks are chosen),
/// of which STAGES are in shared memory. Tall warps read each tile for twice as many queries, but must read the queries
/// again for every tile. Shared memory: (16 TALL warps + 2 STAGES KEYS) D bf16.
template <int D, int KEYS, int STAGES, int TALL, bool QUANTIZED> DEVICE void attend_tensor(const Attention &p) {
    extern __shared__ __align__(128) u8 memory[];
    constexpr int TILE_BYTES = KEYS * D * 2;
    const int tid = threadIdx.x, lane = tid % 32, warp = tid / 32, rows = blockDim.x / 2 * TALL;
    const int head = blockIdx.y, q0 = blockIdx.x * rows;
    const bf16 *qs = (const bf16 *)p.q + head * D, *ks = (const bf16 *)p.k + head * D,
               *vs = (const bf16 *)p.v + head * D;
    const u32 q_base = shared_address(memory), tile_base = q_base + rows * D * 2;
    const int key_blocks = (p.keys + KEYS - 1) / KEYS;
    const int *chosen = p.blocks ? p.blocks + (i64)(head * gridDim.x + blockIdx.x) * p.selected : nullptr;
    const int count = chosen ? p.selected : key_blocks;

    for (int i = tid; i < rows * (D / 8); i += blockDim.x) {
        const int row = i / (D / 8), chunk = i % (D / 8);
        const bool valid = q0 + row < p.queries;
        copy16_async(q_base + chunk_offset<D>(row, chunk), qs + (valid ? (i64)(q0 + row) * p.stride + chunk * 8 : 0),
                     valid);
    }
    auto load = [&](int n) {
        const int first = (chosen ? chosen[n] : n) * KEYS;
        const u32 to = tile_base + n % STAGES * 2 * TILE_BYTES;
        for (int i = tid; i < KEYS * (D / 8); i += blockDim.x) {
            const int row = i / (D / 8), chunk = i % (D / 8);
            const bool valid = first + row < p.keys;
            const i64 at = valid ? (i64)(first + row) * p.stride + chunk * 8 : 0;
            copy16_async(to + chunk_offset<D>(row, chunk), ks + at, valid);
            copy16_async(to + TILE_BYTES + chunk_offset<D>(row, chunk), vs + at, valid);
        }
    };
    load(0);
    commit_copies();

    u32 kept[TALL == 1 ? D / 16 : 1][4]; // the queries, where registers allow
    float o[TALL][D / 8][4] = {};
    float top[TALL][2], sum[TALL][2];
#pragma unroll
    for (int m = 0; m < TALL; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            top[m][r] = LOWEST;
            sum[m][r] = 0;
        }
    const int row = q0 + warp * 16 * TALL + lane / 4; // this thread's queries: row + 16 m and row + 16 m + 8
    for (int n = 0; n < count; n++) {
        if (STAGES == 2) {
            if (n + 1 < count) load(n + 1);
            commit_copies();
            wait_copies<1>();
        } else {
            wait_copies<0>();
        }
        __syncthreads();
        if (TALL == 1 && n == 0) {
#pragma unroll
            for (int kk = 0; kk < D / 16; kk++)
                load_matrices(kept[TALL == 1 ? kk : 0],
                              q_base + chunk_offset<D>(warp * 16 + lane % 16, 2 * kk + lane / 16));
        }
        const int block = chosen ? chosen[n] : n;
        const u32 k_tile = tile_base + n % STAGES * 2 * TILE_BYTES, v_tile = k_tile + TILE_BYTES;
        float s[TALL][KEYS / 8][4] = {};
#pragma unroll
        for (int kk = 0; kk < D / 16; kk++) {
            u32 q[TALL][4];
#pragma unroll
            for (int m = 0; m < TALL; m++) {
                if (TALL == 1) {
#pragma unroll
                    for (int i = 0; i < 4; i++) q[m][i] = kept[TALL == 1 ? kk : 0][i];
                } else {
                    load_matrices(q[m], q_base + chunk_offset<D>((warp * TALL + m) * 16 + lane % 16, 2 * kk + lane / 16));
                }
            }
#pragma unroll
            for (int j = 0; j < KEYS / 16; j++) {
                u32 b[4];
                load_matrices(b, k_tile + chunk_offset<D>(16 * j + lane % 8 + lane / 16 * 8, 2 * kk + lane / 8 % 2));
#pragma unroll
                for (int m = 0; m < TALL; m++) {
                    multiply_bf16(s[m][2 * j], q[m], b[0], b[1]);
                    multiply_bf16(s[m][2 * j + 1], q[m], b[2], b[3]);
                }
            }
        }

        float factor = p.scale * LOG2E;
        if (QUANTIZED)
            factor *= p.q_scale[head * gridDim.x + blockIdx.x] * p.k_scale[head * key_blocks + block];
        const bool is_partial = (block + 1) * KEYS > p.keys;
#pragma unroll
        for (int m = 0; m < TALL; m++) {
            // With a bias or at the end of the keys scores are finished one by one, else inside the exponential.
            float scale = factor;
            if (is_partial || p.bias) {
                const int first = block * KEYS + lane % 4 * 2;
                scale = 1;
#pragma unroll
                for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                    for (int v = 0; v < 4; v++) {
                        const int key = first + 8 * j + v % 2, query = row + 16 * m + v / 2 * 8;
                        float x = s[m][j][v] * factor;
                        if (key >= p.keys) {
                            x = -__int_as_float(0x7F800000);
                        } else if (p.bias) {
                            if (query < p.queries) x += LOG2E * p.bias[head * p.bias_head + query * p.bias_query + key];
                            x = fmaxf(x, LOWEST);
                        }
                        s[m][j][v] = x;
                    }
            }
#pragma unroll
            for (int r = 0; r < 2; r++) {
                // The scale is above zero: the greatest product is the greatest score.
                float most = s[m][0][2 * r];
#pragma unroll
                for (int j = 0; j < KEYS / 8; j++) most = fmaxf(most, fmaxf(s[m][j][2 * r], s[m][j][2 * r + 1]));
                most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 1));
                most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 2));
                most = fmaxf(most * scale, top[m][r]);
                const float change = exp2_fast(top[m][r] - most);
                top[m][r] = most;
                sum[m][r] *= change;
#pragma unroll
                for (int t = 0; t < D / 8; t++) {
                    o[m][t][2 * r] *= change;
                    o[m][t][2 * r + 1] *= change;
                }
                const float shift = QUANTIZED ? SAGE_SHIFT - most : -most;
#pragma unroll
                for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
                    for (int v = 2 * r; v < 2 * r + 2; v++) {
                        const float e = exp2_fast(fmaf(s[m][j][v], scale, shift));
                        sum[m][r] += e;
                        s[m][j][v] = QUANTIZED ? round_e4m3(e) : e;
                    }
            }
        }
#pragma unroll
        for (int kk = 0; kk < KEYS / 16; kk++) {
            u32 a[TALL][4];
#pragma unroll
            for (int m = 0; m < TALL; m++) {
                a[m][0] = pack_bf16(s[m][2 * kk][0], s[m][2 * kk][1]);
                a[m][1] = pack_bf16(s[m][2 * kk][2], s[m][2 * kk][3]);
                a[m][2] = pack_bf16(s[m][2 * kk + 1][0], s[m][2 * kk + 1][1]);
                a[m][3] = pack_bf16(s[m][2 * kk + 1][2], s[m][2 * kk + 1][3]);
            }
#pragma unroll
            for (int t = 0; t < D / 16; t++) {
                u32 b[4];
                load_matrices_transposed(
                    b, v_tile + chunk_offset<D>(16 * kk + lane % 8 + lane / 8 % 2 * 8, 2 * t + lane / 16));
#pragma unroll
                for (int m = 0; m < TALL; m++) {
                    multiply_bf16(o[m][2 * t], a[m], b[0], b[1]);
                    multiply_bf16(o[m][2 * t + 1], a[m], b[2], b[3]);
                }
            }
        }
        __syncthreads();
        if (STAGES == 1) {
            if (n + 1 < count) load(n + 1);
            commit_copies();
        }
    }
    bf16 *out = (bf16 *)p.out + head * D;
#pragma unroll
    for (int m = 0; m < TALL; m++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float all = sum[m][r];
            all += __shfl_xor_sync(0xFFFFFFFFu, all, 1);
            all += __shfl_xor_sync(0xFFFFFFFFu, all, 2);
            const int query = row + 16 * m + 8 * r;
            if (query >= p.queries) continue;
            const float share = 1.0f / all;
#pragma unroll
            for (int t = 0; t < D / 8; t++) {
                const int c = 8 * t + lane % 4 * 2;
                float low = o[m][t][2 * r] * share, high = o[m][t][2 * r + 1] * share;
                if (QUANTIZED) {
                    low *= p.v_scale[head * D + c];
                    high *= p.v_scale[head * D + c + 1];
                }
                *(u32 *)(out + (i64)query * p.stride + c) = pack_bf16(low, high);
            }
        }
}
#define TENSOR_ATTENTION(THREADS, BLOCKS) extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
TENSOR_ATTENTION(256, 1) attend_tensor_64(Attention p) { attend_tensor<64, 64, 2, 1, false>(p); }
TENSOR_ATTENTION(256, 1) attend_tensor_128(Attention p) { attend_tensor<128, 64, 2, 1, false>(p); }
TENSOR_ATTENTION(256, 1) attend_tensor_128_wide(Attention p) { attend_tensor<128, 128, 1, 1, false>(p); }
TENSOR_ATTENTION(256, 1) attend_tensor_sage(Attention p) { attend_tensor<128, 64, 2, 1, true>(p); }
TENSOR_ATTENTION(256, 1) attend_tensor_sage_wide(Attention p) { attend_tensor<128, 128, 1, 1, true>(p); }
// 128 queries a block of 4 tall warps.
TENSOR_ATTENTION(128, 2) attend_tensor_128_tall(Attention p) { attend_tensor<128, 64, 2, 2, false>(p); }
TENSOR_ATTENTION(128, 2) attend_tensor_sage_tall(Attention p) { attend_tensor<128, 64, 2, 2, true>(p); }

// MARK: Hopper: dim 128, bf16, no bias but one a key

#ifdef HAS_HOPPER
/// Rows of 128 bf16 as two parts of 64 columns, each `rows` x 128 bytes with its chunks at their place exclusive-or row.
DEVICE u32 halves_offset(int row, int chunk, int rows) {
    return (u32)(chunk / 8 * rows * 128 + row * 128 + ((chunk % 8 ^ (row & 7)) << 4));
}

/// 128 queries a block of two groups of four warps, tiles of 64 keys, of which two are in shared memory: while one block
/// of a multiprocessor takes exponentials, the other multiplies. Shared memory: 1024 + (128 + 4 x 64) x 256 bytes.
template <bool QUANTIZED, bool BIASED = false> DEVICE void hopper_attention(const Attention &p) {
    extern __shared__ __align__(1024) u8 hopper_memory[];
    constexpr int D = 128, KEYS = 64, TILE = KEYS * 256;
    const int tid = threadIdx.x, lane = tid % 32, warp = tid / 32, group = tid / 128;
    const int head = blockIdx.y, q0 = blockIdx.x * 128;
    const bf16 *qs = (const bf16 *)p.q + head * D, *ks = (const bf16 *)p.k + head * D,
               *vs = (const bf16 *)p.v + head * D;
    const u32 start = shared_address(hopper_memory), q_base = start + ((1024 - (start & 1023)) & 1023);
    const u32 tile_base = q_base + 128 * 256;
    const int key_blocks = (p.keys + KEYS - 1) / KEYS;
    const int *chosen = p.blocks ? p.blocks + (i64)(head * gridDim.x + blockIdx.x) * p.selected : nullptr;
    const int count = chosen ? p.selected : key_blocks;
    for (int i = tid; i < 128 * 16; i += 256) {
        const int row = i / 16, chunk = i % 16;
        const bool valid = q0 + row < p.queries;
        copy16_async(q_base + halves_offset(row, chunk, 128),
                     qs + (valid ? (i64)(q0 + row) * p.stride + chunk * 8 : 0), valid);
    }
    auto load = [&](int n) {
        const int first = (chosen ? chosen[n] : n) * KEYS;
        const u32 to = tile_base + n % 2 * 2 * TILE;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = tid / 16 + 16 * i, chunk = tid % 16;
            const bool valid = first + row < p.keys;
            const i64 at = valid ? (i64)(first + row) * p.stride + chunk * 8 : 0;
            copy16_async(to + halves_offset(row, chunk, KEYS), ks + at, valid);
            copy16_async(to + TILE + halves_offset(row, chunk, KEYS), vs + at, valid);
        }
    };
    load(0);
    commit_copies();
    float o[16][4] = {}, top[2] = {LOWEST, LOWEST}, sum[2] = {};
    const u64 q_tile = tile_descriptor(q_base + group * 64 * 128);
    for (int n = 0; n < count; n++) {
        wait_copies<0>();
        publish_copies();
        __syncthreads();
        // Every warp has ended its products of the tile before: its memory is free.
        if (n + 1 < count) load(n + 1);
        commit_copies();
        const int block = chosen ? chosen[n] : n;
        const u32 at = tile_base + n % 2 * 2 * TILE;
        const u64 k_tile = tile_descriptor(at), v_tile = tile_descriptor(at + TILE, KEYS * 128);
        float s[8][4] = {};
        begin_products();
#pragma unroll
        for (int kk = 0; kk < 8; kk++)
            multiply_group(s, q_tile + (kk / 4 * (128 * 128) + kk % 4 * 32 >> 4),
                           k_tile + (kk / 4 * (KEYS * 128) + kk % 4 * 32 >> 4));
        commit_products();
        float scale = p.scale * LOG2E;
        if (QUANTIZED) scale *= p.q_scale[head * gridDim.x + blockIdx.x] * p.k_scale[head * key_blocks + block];
        wait_products<0>();
        if (BIASED) {
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int v = 0; v < 4; v++) {
                    const int key = min(block * KEYS + 8 * j + lane % 4 * 2 + v % 2, p.keys - 1);
                    s[j][v] = fmaf(s[j][v], scale, p.bias[key] * LOG2E);
                }
            scale = 1;
        }
        if ((block + 1) * KEYS > p.keys) {
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int v = 0; v < 4; v++)
                    if (block * KEYS + 8 * j + lane % 4 * 2 + v % 2 >= p.keys) s[j][v] = -__int_as_float(0x7F800000);
        }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float most = s[0][2 * r];
#pragma unroll
            for (int j = 0; j < 8; j++) most = fmaxf(most, fmaxf(s[j][2 * r], s[j][2 * r + 1]));
            most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 1));
            most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 2));
            most = fmaxf(most * scale, top[r]);
            const float change = exp2_fast(top[r] - most);
            top[r] = most;
            sum[r] *= change;
#pragma unroll
            for (int t = 0; t < 16; t++) {
                o[t][2 * r] *= change;
                o[t][2 * r + 1] *= change;
            }
            const float shift = QUANTIZED ? SAGE_SHIFT - most : -most;
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int v = 2 * r; v < 2 * r + 2; v++) {
                    s[j][v] = exp2_fast(fmaf(s[j][v], scale, shift));
                    sum[r] += s[j][v];
                }
        }
        u32 a[4][4];
#pragma unroll
        for (int kk = 0; kk < 4; kk++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float *pair = s[2 * kk + i / 2] + i % 2 * 2;
                a[kk][i] = QUANTIZED ? pack_e4m3(pair[0], pair[1]) : pack_bf16(pair[0], pair[1]);
            }
        begin_products();
#pragma unroll
        for (int kk = 0; kk < 4; kk++) multiply_group(o, a[kk], v_tile + (kk * 16 * 128 >> 4));
        commit_products();
        wait_products<0>();
    }
    bf16 *out = (bf16 *)p.out + head * D;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float all = sum[r];
        all += __shfl_xor_sync(0xFFFFFFFFu, all, 1);
        all += __shfl_xor_sync(0xFFFFFFFFu, all, 2);
        const int query = q0 + warp * 16 + lane / 4 + 8 * r;
        if (query >= p.queries) continue;
        const float share = 1.0f / all;
#pragma unroll
        for (int t = 0; t < 16; t++) {
            const int c = 8 * t + lane % 4 * 2;
            float low = o[t][2 * r] * share, high = o[t][2 * r + 1] * share;
            if (QUANTIZED) {
                low *= p.v_scale[head * D + c];
                high *= p.v_scale[head * D + c + 1];
            }
            *(u32 *)(out + (i64)query * p.stride + c) = pack_bf16(low, high);
        }
    }
}
TENSOR_ATTENTION(256, 2) hopper_attention_128(Attention p) { hopper_attention<false>(p); }
TENSOR_ATTENTION(256, 2) hopper_attention_128_bias(Attention p) { hopper_attention<false, true>(p); }
TENSOR_ATTENTION(256, 2) hopper_attention_sage(Attention p) { hopper_attention<true>(p); }
#endif
