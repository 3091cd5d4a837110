// Convolutions of 3 x 3 pixels, over three frames or one, for several frames at once, by Hopper's own instructions: one group of four warps copies ahead,
// two others multiply.
//
// A tile is 16 x 8 output pixels of FRAMES frames and 96 channels. Of every frame that it sees, 18 x 10 pixels of 32 channels
// lie in shared memory at a time; the weights of one tap follow each other through four places and serve all frames. Blocks
// stay and take tile after tile, so that the next one's inputs come while one is finished.
#include "common.cuh"

#ifdef HAS_HOPPER
constexpr int WIDE = 18, SPOTS = WIDE * 10, COLUMNS = 96, PLACES = 4, PLANE_BYTES = SPOTS * 64;

/// Brings the line at `p` nearer.
DEVICE void prefetch(const void *p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }

/// As `tile_descriptor`, of rows of 64 bytes, chunks of 16 at their place exclusive-or row / 2 % 4.
DEVICE u64 small_descriptor(u32 address, u32 down) {
    return (u64)(address >> 4 & 0x3FFF) | 1ull << 16 | (u64)(down >> 4) << 32 | 2ull << 62;
}
struct Tile {
    int column0, x0, y0, frame;
};

/// What a launch works on, and where a block keeps it.
///
/// Shared memory: 1024 + 2 HALO_BYTES + PLACES x ROWS rows of 64 bytes + 128.
template <int FRAMES, int TAPS> struct Film {
    static constexpr int INPUTS = FRAMES + TAPS - 1, ROWS = TAPS * COLUMNS;
    static constexpr int HALO_BYTES = (INPUTS * PLANE_BYTES + 1023) / 1024 * 1024, PLACE_BYTES = ROWS * 64;
    const bf16 *x;
    const bf16 *w;
    bf16 *out;
    int frames, n, k;
    const Epilogue &e;
    const Window &p;
    u32 base;                               // two halos, then the places of weights
    u32 there, used, halo_there, halo_used; // barriers: a place is filled, free; a halo is
    int columns, across, down, tiles, parts;

    DEVICE Tile tile_at(int t) const {
        Tile tile;
        tile.column0 = t % columns * COLUMNS;
        t /= columns;
        tile.x0 = t % across * 16;
        t /= across;
        tile.y0 = t % down * 8;
        tile.frame = t / down * FRAMES;
        return tile;
    }
    DEVICE u32 place(int step) const { return base + 2 * HALO_BYTES + step % PLACES * PLACE_BYTES; }
    DEVICE u32 halo(int h) const { return base + h % 2 * HALO_BYTES; }
};

/// Copies the halos of all tiles and parts of 32 channels, and the weights of every step (part, tap).
template <int FRAMES, int TAPS> DEVICE void copy_ahead(const Film<FRAMES, TAPS> &f) {
    using F = Film<FRAMES, TAPS>;
    constexpr int EACH = (SPOTS + 31) / 32, INPUTS = F::INPUTS;
    const Window &p = f.p;
    const int me = threadIdx.x - 256, quad = me / 4, chunk = me % 4;
    const i64 plane = (i64)p.height * p.width * p.in;
    // Of this thread's first row, of weights and of spots: the others lie 32 rows apart.
    const u32 within = quad * 64 + ((chunk ^ (quad / 2 & 3)) << 4);
    int offset[EACH]; // of this thread's chunks in a frame; below zero outside the picture
    int next_tile = blockIdx.x, next_part = 0, next_frame = 0;
    auto enter_tile = [&] {
        const Tile tile = f.tile_at(next_tile);
        next_frame = tile.frame + p.first;
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            const int spot = quad + 32 * j, y = tile.y0 + p.top + spot / WIDE, left = tile.x0 + p.left + spot % WIDE;
            const bool inside = spot < SPOTS && y >= 0 && y < p.height && left >= 0 && left < p.width;
            offset[j] = inside ? (y * p.width + left) * p.in + chunk * 8 : -1;
        }
    };
    auto frame_at = [&](int i, bool &valid) {
        const int t = next_frame + i;
        valid = t >= 0 && t < p.history_frames + p.frames;
        return (t < p.history_frames ? (const bf16 *)p.history + t * plane : f.x + (t - p.history_frames) * plane) +
               next_part * 32;
    };
    // A plane is 180 rows: every other one begins in the middle of the pattern of chunks.
    auto copy_frame = [&](int i, u32 to) {
        bool valid;
        const bf16 *from = frame_at(i, valid);
        to += (i % 2 ? within ^ 32 : within) + i * PLANE_BYTES;
#pragma unroll
        for (int j = 0; j < EACH; j++)
            if (32 * j + 32 <= SPOTS || quad + 32 * j < SPOTS)
                copy16_async(to + j * 2048, valid && offset[j] >= 0 ? from + offset[j] : f.x, valid && offset[j] >= 0);
    };
    if (next_tile < f.tiles) {
        enter_tile();
        for (int i = 0; i < INPUTS; i++) copy_frame(i, f.halo(0));
    }
    int step = 0, halo = 0; // steps and halos so far
    auto announce = [&](int step) {
        publish_copies();
        barrier_arrive(f.there + 8 * (step % PLACES));
        if (step == 0) barrier_arrive(f.halo_there);
        if (step % 9 == 8) barrier_arrive(f.halo_there + 8 * ((step / 9 + 1) % 2));
    };
    for (int t = blockIdx.x; t < f.tiles; t += gridDim.x) {
        const Tile tile = f.tile_at(t);
        const int column = (tile.column0 + quad) * f.k + chunk * 8;
        for (int part = 0; part < f.parts; part++, halo++) {
            // The halo after this one: of this tile, or the first of the next.
            if (++next_part == f.parts) {
                next_part = 0;
                next_tile += gridDim.x;
                if (next_tile < f.tiles) enter_tile();
            }
            const bool loads = next_tile < f.tiles;
            const u32 to = f.halo(halo + 1);
            for (int tap = 0; tap < 9; tap++, step++) {
                if (step >= PLACES) barrier_wait(f.used + 8 * (step % PLACES), (step / PLACES - 1) & 1);
                const bf16 *from = f.w + column + tap * p.in + part * 32;
#pragma unroll
                for (int i = 0; i < F::ROWS / 32; i++) {
                    const int time = TAPS - 1 - i / 3;
                    copy16_async(f.place(step) + within + i * 2048, from + (i % 3 * 32 * f.k + time * 9 * p.in), true);
                }
                // The halo before this one was read to its end.
                constexpr int BEGIN = 9 - INPUTS;
                if (loads && tap == BEGIN && halo > 0) barrier_wait(f.halo_used + 8 * ((halo + 1) % 2), (halo - 1) / 2 & 1);
                if (loads && tap >= BEGIN) copy_frame(tap - BEGIN, to);
                if (part == 0 && tap == 1 && f.e.kind == RESIDUAL)
                    for (int i = me; i < FRAMES * 128; i += 128) {
                        const int o = tile.frame + i / 128, y = tile.y0 + i % 128 / 16, left = tile.x0 + i % 16;
                        if (o >= f.frames || y >= p.out_height || left >= p.out_width) continue;
                        const bf16 *at = (const bf16 *)f.e.operand +
                                         (((i64)o * p.out_height + y) * p.out_width + left) * f.n + tile.column0;
                        prefetch(at), prefetch(at + 32), prefetch(at + 64);
                    }
                commit_copies();
                wait_copies<1>();
                if (step >= 1) announce(step - 1);
            }
        }
    }
    wait_copies<0>();
    if (step >= 1) announce(step - 1);
}

/// Adds bias and residual to a group's sums of 8 x 8 pixels, and writes them: 16 bytes a lane.
template <int FRAMES, int TAPS>
DEVICE void finish(const Film<FRAMES, TAPS> &f, const Tile &tile, const float (&sum)[FRAMES][12][4]) {
    const Window &p = f.p;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4, group = threadIdx.x / 128, fourth = lane % 4;
    const int frame_size = p.out_height * p.out_width * f.n;
    constexpr int TOGETHER = FRAMES < 2 ? FRAMES : 2;
#pragma unroll
    for (int m = 0; m < 3; m++) {
        float2 bias[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            bias[i] = f.e.bias ? *(const float2 *)(f.e.bias + tile.column0 + 32 * m + 8 * i + 2 * fourth)
                               : make_float2(0, 0);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int r = warp * 16 + lane / 4 + 8 * half, y = tile.y0 + r / 8, left = tile.x0 + group * 8 + r % 8;
            const bool inside = y < p.out_height && left < p.out_width;
            const int at = ((tile.frame * p.out_height + y) * p.out_width + left) * f.n + tile.column0 + 32 * m + 8 * fourth;
#pragma unroll
            for (int first = 0; first < FRAMES; first += TOGETHER) {
                uint4 other[TOGETHER];
#pragma unroll
                for (int b = 0; b < TOGETHER; b++) {
                    other[b] = make_uint4(0, 0, 0, 0);
                    if (f.e.kind == RESIDUAL && inside && tile.frame + first + b < f.frames)
                        other[b] = *(const uint4 *)((const bf16 *)f.e.operand + at + (first + b) * frame_size);
                }
#pragma unroll
                for (int b = 0; b < TOGETHER; b++) {
                    const int o = first + b;
                    u32 v[4] = {other[b].x, other[b].y, other[b].z, other[b].w};
                    if (f.e.kind == RESIDUAL) exchange(v);
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        const float(&s)[4] = sum[o][4 * m + i];
                        v[i] = pack_bf16(s[2 * half] + bias[i].x + __uint_as_float(v[i] << 16),
                                         s[2 * half + 1] + bias[i].y + __uint_as_float(v[i] & 0xFFFF0000u));
                    }
                    exchange(v);
                    if (inside && tile.frame + o < f.frames)
                        *(uint4 *)(f.out + at + o * frame_size) = make_uint4(v[0], v[1], v[2], v[3]);
                }
            }
        }
    }
}

/// FRAMES output frames a tile, TAPS of the weights in time. n: a multiple of 96; channels of the input: of 32. Whatever
/// FRAMES is, a value's products are summed in the same order: part, tap, time.
template <int FRAMES, int TAPS>
DEVICE void frames_convolution(const bf16 *x, const bf16 *w, bf16 *out, int frames, int n, int k, const Epilogue &e,
                               const Window &p) {
    using F = Film<FRAMES, TAPS>;
    extern __shared__ __align__(1024) u8 frames_memory[];
    const u32 start = shared_address(frames_memory), base = start + ((1024 - (start & 1023)) & 1023);
    const u32 barriers = base + 2 * F::HALO_BYTES + PLACES * F::PLACE_BYTES;
    const int columns = n / COLUMNS, across = (p.out_width + 15) / 16, down = (p.out_height + 7) / 8;
    const F f{x, w, out, frames, n, k, e, p, base, barriers, barriers + 32, barriers + 64, barriers + 80,
              columns, across, down, columns * across * down * ((frames + FRAMES - 1) / FRAMES), p.in / 32};
    const int lane = threadIdx.x % 32, group = threadIdx.x / 128;
    if (threadIdx.x == 0) {
        for (int i = 0; i < PLACES; i++) barrier_start(f.there + 8 * i, 128), barrier_start(f.used + 8 * i, 8);
        for (int i = 0; i < 2; i++) barrier_start(f.halo_there + 8 * i, 128), barrier_start(f.halo_used + 8 * i, 8);
        barriers_started();
    }
    __syncthreads();
    if (group == 2) {
        fewer_registers<40>();
        return copy_ahead(f);
    }
    more_registers<232>();
    int step = 0, halo = 0; // steps and halos so far
    for (int t = blockIdx.x; t < f.tiles; t += gridDim.x) {
        float sum[FRAMES][12][4];
#pragma unroll
        for (int i = 0; i < FRAMES; i++)
#pragma unroll
            for (int j = 0; j < 12; j++)
#pragma unroll
                for (int v = 0; v < 4; v++) sum[i][j][v] = 0;
        for (int part = 0; part < f.parts; part++, halo++) {
            barrier_wait(f.halo_there + 8 * (halo % 2), halo / 2 & 1);
            const u32 corner = f.halo(halo) + group * 8 * 64;
            for (int tap = 0; tap < 9; tap++, step++) {
                barrier_wait(f.there + 8 * (step % PLACES), step / PLACES & 1);
                const u64 window = small_descriptor(corner + (tap / 3 * WIDE + tap % 3) * 64, WIDE * 64);
                const u64 weights = small_descriptor(f.place(step), 512);
                begin_products();
#pragma unroll
                for (int kk = 0; kk < 2; kk++)
#pragma unroll
                    for (int i = 0; i < F::INPUTS; i++) {
                        const u64 a = window + (i * PLANE_BYTES >> 4) + 2 * kk, b = weights + 2 * kk;
#pragma unroll
                        for (int o = 0; o < FRAMES; o++)
                            if (i >= o && i < o + TAPS)
                                multiply_group(sum[o], a, b + (TAPS - 1 - i + o) * (COLUMNS * 64 >> 4));
                    }
                commit_products();
                wait_products<1>();
                // The products of the step before have ended.
                if (lane == 0 && (part > 0 || tap > 0)) {
                    barrier_arrive(f.used + 8 * ((step - 1) % PLACES));
                    if (tap == 0) barrier_arrive(f.halo_used + 8 * ((halo - 1) % 2));
                }
            }
        }
        wait_products<0>();
        if (lane == 0) {
            barrier_arrive(f.used + 8 * ((step - 1) % PLACES));
            barrier_arrive(f.halo_used + 8 * ((halo - 1) % 2));
        }
        finish(f, f.tile_at(t), sum);
    }
}

#define FRAMES_KERNEL(FRAMES, TAPS)                                                                                    \
    extern "C" __global__ void __launch_bounds__(384, 1)                                                               \
        frames_convolution_##FRAMES##_##TAPS(const bf16 *x, const bf16 *w, bf16 *out, int frames, int n, int k,        \
                                             Epilogue e, Window p) {                                                   \
        frames_convolution<FRAMES, TAPS>(x, w, out, frames, n, k, e, p);                                               \
    }
FRAMES_KERNEL(1, 1)
FRAMES_KERNEL(2, 1)
FRAMES_KERNEL(4, 1)
FRAMES_KERNEL(1, 3)
FRAMES_KERNEL(2, 3)
FRAMES_KERNEL(4, 3)
#endif
