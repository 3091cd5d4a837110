// Convolutions of 3 x 3 pixels by Hopper's own instructions, each input read once for its nine neighbours.
//
// What a tile of 16 x 16 (or 8) output pixels sees of one frame is 18 x 18 (10), of which 64 channels (or 48) lie in shared
// memory at a time; the nine taps multiply nine windows of it. The weights of one tap follow each other through four places.
#include "common.cuh"

#ifdef HAS_HOPPER
constexpr int SIDE = 16, WIDE = SIDE + 2, PLACES = 4;

/// A row of 64 bf16 in shared memory is 8 chunks of 16 bytes, each at its place exclusive-or row: no bank conflicts.
DEVICE u32 chunk_offset(int row, int chunk) { return (u32)(row * 128 + ((chunk ^ (row & 7)) << 4)); }

/// 64 GROUPS pixels x N channels a block of GROUPS groups of four warps, each 8 x 8 pixels x N; PART channels of the input at
/// once.
///
/// Shared memory: 1024 + 2 HALO_BYTES + PLACES x N rows of 128 bytes, or the finished tile, 64 GROUPS x (N + 4) floats.
template <int N, int PART, int GROUPS>
DEVICE void halo_convolution(const bf16 *x, const bf16 *w, bf16 *out, int n, int k, const Epilogue &e, const Window &p) {
    extern __shared__ __align__(1024) u8 halo_memory[];
    constexpr int HIGH = 4 * GROUPS, SPOTS = WIDE * (HIGH + 2), STEP = 16 * GROUPS;
    constexpr int HALO_BYTES = (SPOTS * 128 + 1023) / 1024 * 1024;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = threadIdx.x / 128;
    const int load_row = threadIdx.x / 8, load_chunk = threadIdx.x % 8;
    const u32 start = shared_address(halo_memory), skip = (1024 - (start & 1023)) & 1023, base = start + skip;
    const u32 places = base + 2 * HALO_BYTES;

    const int columns = (n + N - 1) / N, across = (p.out_width + SIDE - 1) / SIDE;
    const int down = (p.out_height + HIGH - 1) / HIGH, tile_index = (int)(blockIdx.x / columns);
    const int column0 = (int)(blockIdx.x % columns) * N;
    const int x0 = tile_index % across * SIDE, y0 = tile_index / across % down * HIGH, frame = tile_index / across / down;

    // Where this thread's chunks of a halo come from, in a frame; below zero outside the picture.
    constexpr int COPIES = (SPOTS + STEP - 1) / STEP;
    int offset[COPIES];
#pragma unroll
    for (int i = 0; i < COPIES; i++) {
        const int spot = load_row + STEP * i, y = y0 + p.top + spot / WIDE, left = x0 + p.left + spot % WIDE;
        const bool inside = spot < SPOTS && y >= 0 && y < p.height && left >= 0 && left < p.width;
        offset[i] = inside && load_chunk * 8 < PART ? (y * p.width + left) * p.in + load_chunk * 8 : -1;
    }
    const int parts = p.in / PART, halos = k / (9 * PART), steps = 9 * halos;
    const i64 plane = (i64)p.height * p.width * p.in;
    // Chunk i of halo number h.
    auto load_halo = [&](int h, int i) {
        const int t = frame + p.first + h / parts;
        const bf16 *from = t < p.history_frames ? (const bf16 *)p.history + t * plane
                                                : x + (t - p.history_frames) * plane;
        const bool valid = t >= 0 && offset[i] >= 0;
        if (load_row + STEP * i < SPOTS)
            copy16_async(base + h % 2 * HALO_BYTES + chunk_offset(load_row + STEP * i, load_chunk),
                         valid ? from + offset[i] + h % parts * PART : x, valid);
    };
    const int tap_in = p.in; // from one tap's weights to the next
    auto load_weights = [&](int step) {
        const int h = step / 9, depth = (h / parts * 9 + step % 9) * tap_in + h % parts * PART + load_chunk * 8;
#pragma unroll
        for (int i = 0; i < (N + STEP - 1) / STEP; i++) {
            const int row = load_row + STEP * i;
            const bool valid = column0 + row < n && load_chunk * 8 < PART;
            if (row < N)
                copy16_async(places + step % PLACES * (N * 128) + chunk_offset(row, load_chunk),
                             w + (valid ? (i64)(column0 + row) * k + depth : 0), valid);
        }
    };
#pragma unroll
    for (int i = 0; i < COPIES; i++) load_halo(0, i);
    load_weights(0);
    commit_copies();
    load_weights(1);
    commit_copies();

    constexpr int PIECE = N % 96 == 0 ? 96 : N; // columns that one instruction takes
    float sum[N / PIECE][PIECE / 8][4] = {};
    const u32 corner = (u32)((group / 2 * 8) * WIDE + group % 2 * 8) * 128;
    int step = 0;
    for (int h = 0; h < halos; h++) {
        const u32 window = base + h % 2 * HALO_BYTES + corner;
#pragma unroll
        for (int tap = 0; tap < 9; tap++, step++) {
            wait_copies<1>();
            publish_copies();
            __syncthreads();
            const u64 a = tile_descriptor(window + (tap / 3 * WIDE + tap % 3) * 128, 16, WIDE * 128);
            const u64 b = tile_descriptor(places + step % PLACES * (N * 128));
            begin_products();
#pragma unroll
            for (int kk = 0; kk < PART / 16; kk++)
#pragma unroll
                for (int j = 0; j < N / PIECE; j++)
                    multiply_group(sum[j], a + 2 * kk, b + 2 * kk + j * (PIECE * 128 >> 4));
            commit_products();
            if (step + 2 < steps) load_weights(step + 2);
            // The other halo is free once the last step's products before it have ended.
            if (tap >= 1 && tap - 1 < COPIES && h + 1 < halos) load_halo(h + 1, tap - 1);
            commit_copies();
            wait_products<1>();
        }
    }
    wait_products<0>();
    wait_copies<0>();
    __syncthreads();
    float *tile = (float *)(halo_memory + skip);
#pragma unroll
    for (int j = 0; j < N / 8; j++)
#pragma unroll
        for (int v = 0; v < 4; v++)
            tile[(warp * 16 + lane / 4 + v / 2 * 8) * (N + 4) + 8 * j + lane % 4 * 2 + v % 2] = 
                sum[j / (PIECE / 8)][j % (PIECE / 8)][v];
    __syncthreads();
    const int width = p.out_width, height = p.out_height;
    finish_placed(
        tile, 64 * GROUPS, N, N + 4, out,
        [=](int r) {
            const int y = y0 + r / 128 * 8 + r % 64 / 8, left = x0 + r / 64 % 2 * 8 + r % 8;
            return y < height && left < width ? ((i64)frame * height + y) * width + left : (i64)-1;
        },
        column0, n, e);
}

#define HALO_KERNEL(N, PART, GROUPS)                                                                                   \
    extern "C" __global__ void __launch_bounds__(128 * GROUPS, N == 8 ? 4 : 1)                            \
        halo_convolution_##N##_##PART##_##GROUPS(const bf16 *x, const bf16 *w, bf16 *out, int n, int k, Epilogue e,    \
                                                 Window p) {                                                           \
        halo_convolution<N, PART, GROUPS>(x, w, out, n, k, e, p);                                                      \
    }
HALO_KERNEL(8, 48, 2)
HALO_KERNEL(8, 64, 2)
HALO_KERNEL(192, 48, 4)
HALO_KERNEL(192, 64, 4)
#endif
