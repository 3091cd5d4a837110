// A product on Hopper whose results leave it as e4m3 codes: hidden rows of a feed-forward, after their bias and GELU.
//
// A row's scale is known before the product: |x . w| <= |x| |w|. e4m3 numbers are as exact far below the greatest as near it,
// so that a bound ten or forty times too large costs nothing.
//
// One group of four warps copies ahead, two multiply, each a tile of 128 x 128 of its own, in turn: while one finishes, the
// other multiplies. Blocks stay and take tile after tile. What a tile needs at its end is brought near before its products.
#include "common.cuh"

#ifdef HAS_HOPPER
struct alignas(64) Hidden {
    TensorMap x, w;       // codes `[m, k]` and `[n, k]` in boxes of 128 rows and 128 bytes
    const float *x_scale; // [m]
    const float *w_scale; // [n]
    const float *bias;    // [n] or null
    const float *lengths; // [m]: of the rows of x
    const float *bounds;  // the length of the longest row of w, the greatest bias
    u8 *out;
    float *out_scale; // [m]
    int m, n, k;
    int group; // rows of tiles whose columns are taken before the next ones
    int padding[14];
};
static_assert(sizeof(Hidden) == 384, "the launcher says so, too");

/// c `[64, 128]` += a `[64, 32]` b `[128, 32]`^T of e4m3 codes, laid out as `multiply_group`'s; `keep` = 0: c is overwritten.
DEVICE void multiply_tile(float (&c)[16][4], u64 a, u64 b, int keep) {
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %66, 0;\n\t"
                 "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 {" NAMES_64 "}, %64, %65, p, 1, 1;\n\t}"
                 : SUMS_64("+f")
                 : "l"(a), "l"(b), "r"(keep));
}

/// `gelu_tanh` times 2 `factor`, by the tangent that the hardware has, to 2^-11 or so: for results of four bits.
DEVICE float gelu_rough(float x, float factor) {
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x * fmaf(0.035677408f, x * x, 0.79788456f)));
    return fmaf(x * factor, y, x * factor);
}

/// What a thread needs for its four rows, two of each half of a tile.
struct Rows {
    int row[4];
    float factor[4], share[4]; // of x; half of what makes a result a code
    bool inside[4];
};
DEVICE Rows rows_of(const Hidden &p, int row0, bool first) {
    Rows rows;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int row = row0 + i / 2 * 64 + threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4 + i % 2 * 8;
        rows.row[i] = row;
        rows.inside[i] = row < p.m;
        rows.factor[i] = rows.inside[i] ? p.x_scale[row] : 0.0f;
        // GELU makes nothing greater, and rounding makes a row of x at most a sixteenth longer.
        const float length = rows.inside[i] ? p.lengths[row] : 0.0f;
        const float bound = fmaxf(fmaf(length, p.bounds[0] * 1.0625f, p.bounds[1]), 1e-12f);
        rows.share[i] = __fdiv_rn(224.0f, bound);
        if (first && threadIdx.x % 4 == 0 && rows.inside[i]) p.out_scale[row] = __fdiv_rn(bound, 448.0f);
    }
    return rows;
}

/// Finishes half a tile, 64 rows and 128 columns of sums, 16 bytes a lane. `near`: scales, then biases of 128 columns.
DEVICE void finish_half(const Hidden &p, const Rows &rows, int half, const float (&c)[16][4], const float *near,
                        int column0) {
    const int fourth = threadIdx.x % 4;
#pragma unroll
    for (int m = 0; m < 2; m++) {
        u32 v[2][4];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const int j = 8 * m + i;
            const float2 scale = *(const float2 *)(near + 8 * j + 2 * fourth);
            const float2 bias = *(const float2 *)(near + 128 + 8 * j + 2 * fourth);
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const float factor = rows.factor[2 * half + h], share = rows.share[2 * half + h];
                const float low = fmaf(c[j][2 * h] * factor, scale.x, bias.x);
                const float high = fmaf(c[j][2 * h + 1] * factor, scale.y, bias.y);
                const u32 two = e4m3_codes(gelu_rough(low, share), gelu_rough(high, share));
                v[h][i / 2] = i % 2 ? v[h][i / 2] | two << 16 : two;
            }
        }
        const int column = column0 + 64 * m + 16 * fourth;
#pragma unroll
        for (int h = 0; h < 2; h++) {
            u32(&x)[4] = v[h];
            exchange(x);
            // A word holds two columns of one eight and, above them, two of the next.
            const uint4 whole = make_uint4(__byte_perm(x[0], x[1], 0x5410), __byte_perm(x[2], x[3], 0x5410),
                                           __byte_perm(x[0], x[1], 0x7632), __byte_perm(x[2], x[3], 0x7632));
            if (rows.inside[2 * half + h] && column < p.n)
                *(uint4 *)(p.out + (i64)rows.row[2 * half + h] * p.n + column) = whole;
        }
    }
}

// MARK: The kernel

enum { STAGES = 6, BOX = 128 * 128, STAGE = 2 * BOX, NEAR = 2 * 128 * 4 };
enum { HIDDEN_BYTES = 1024 + STAGES * STAGE + 4 * NEAR + 16 * STAGES };

/// out = codes of gelu(x w^T + bias). k and n: multiples of 16. 384 threads. Shared memory: HIDDEN_BYTES.
extern "C" __global__ void __launch_bounds__(384, 1) hidden_codes(const __grid_constant__ Hidden p) {
    extern __shared__ __align__(1024) u8 hidden_memory[];
    const u32 raw = shared_address(hidden_memory), base = raw + ((1024 - (raw & 1023)) & 1023);
    const u32 full = base + STAGES * STAGE + 4 * NEAR, empty = full + 8 * STAGES;
    const int group = threadIdx.x / 128, lane = threadIdx.x % 32;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrier_start(full + 8 * i, 1);
            barrier_start(empty + 8 * i, 4);
        }
        barriers_started();
    }
    __syncthreads();
    const int across = (p.n + 127) / 128, down = (p.m + 127) / 128, works = across * down, steps = (p.k + 127) / 128;
    auto place = [&](int work, int &row, int &column) {
        const int first = work / (p.group * across) * p.group, size = min(p.group, down - first);
        const int at = work % (p.group * across);
        row = (first + at % size) * 128;
        column = at / size * 128;
    };
    if (group == 0) {
        fewer_registers<40>();
        if (threadIdx.x != 0) return;
        int stage = 0, parity = 1;
        for (int work = blockIdx.x; work < works; work += gridDim.x) {
            int row, column;
            place(work, row, column);
            for (int s = 0; s < steps; s++) {
                const u32 to = base + stage * STAGE, there = full + 8 * stage;
                barrier_wait(empty + 8 * stage, parity);
                barrier_expect(there, STAGE);
                copy_box(to, p.x, there, s * 128, 0, row);
                copy_box(to + BOX, p.w, there, s * 128, 0, column);
                if (++stage == STAGES) stage = 0, parity ^= 1;
            }
        }
        return;
    }
    more_registers<232>();
    const int own = group - 1, thread = threadIdx.x % 128;
    auto release = [&](int stage) {
        if (lane == 0) barrier_arrive(empty + 8 * stage);
    };
    if (own == 0) named_arrive(1, 256);
    for (int work = blockIdx.x, turn = 0; work < works; work += gridDim.x, turn++) {
        if (turn % 2 != own) continue;
        int row, column, stage = turn * steps % STAGES, parity = turn * steps / STAGES & 1, before = 0;
        place(work, row, column);
        // Two places a group: one is read until all have come to the next tile.
        float *near = (float *)(hidden_memory + (base - raw) + STAGES * STAGE + turn % 4 * NEAR);
        const int at = min(column + thread, p.n - 1);
        near[thread] = p.w_scale[at];
        near[128 + thread] = p.bias ? p.bias[at] : 0.0f;
        const Rows rows = rows_of(p, row, column == 0);
        float top[16][4], low[16][4];
        // A barrier tells two phases apart, not three: the other group has seen all of its tile arrive.
        named_sync(1 + own, 256);
        for (int s = 0; s < steps; s++) {
            const u64 x = tile_descriptor(base + stage * STAGE), w = tile_descriptor(base + stage * STAGE + BOX);
            barrier_wait(full + 8 * stage, parity);
            begin_products();
#pragma unroll
            for (int kk = 0; kk < 4; kk++) {
                multiply_tile(top, x + 2 * kk, w + 2 * kk, s + kk);
                multiply_tile(low, x + 2 * kk + (BOX / 2 >> 4), w + 2 * kk, s + kk);
            }
            commit_products();
            wait_products<1>();
            if (s > 0) release(before);
            before = stage;
            if (++stage == STAGES) stage = 0, parity ^= 1;
        }
        named_arrive(2 - own, 256);
        wait_products<0>();
        release(before);
        finish_half(p, rows, 0, top, near, column);
        finish_half(p, rows, 1, low, near, column);
    }
}
#endif
