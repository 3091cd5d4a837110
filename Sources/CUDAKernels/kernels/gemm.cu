// Matrix products y = epilogue(x w^T), and convolutions as the same product over gathered pixels (implicit GEMM).
//
// `plain_*` runs on the ordinary arithmetic units in float32, for any size and alignment. `tensor_*` runs on the
// tensor cores (mma.sync, sm_80 and later): x and w bf16, rows 16-byte aligned, depth a multiple of 8.
#include "common.cuh"

// MARK: Plain

/// Rows of x, `row_stride` values apart.
template <typename T> struct Rows {
    const T *x;
    i64 row_stride;
    DEVICE float at(i64 row, int k) const { return to_float(x[row * row_stride + k]); }
};

/// Row = output pixel, depth = (tap, channel).
template <typename T> struct Pixels {
    const T *x;
    const Window &w;
    DEVICE float at(i64 row, int k) const {
        const int tap = k / w.in, channel = k % w.in;
        const int ox = (int)(row % w.out_width);
        const i64 above = row / w.out_width;
        const int t = (int)(above / w.out_height) * w.stride_t + w.first + tap / (w.kh * w.kw);
        const int y = (int)(above % w.out_height) * w.stride_h + w.top + tap / w.kw % w.kh;
        const int p = ox * w.stride_w + w.left + tap % w.kw;
        if (t < 0 || y < 0 || y >= w.height || p < 0 || p >= w.width) return 0;
        const bool old = t < w.history_frames;
        const T *from = old ? (const T *)w.history : x;
        const i64 frame = old ? t : t - w.history_frames;
        return to_float(from[((frame * w.height + y) * w.width + p) * w.in + channel]);
    }
};

/// A 64 x 64 tile a block of 256 threads, 4 x 4 values a thread, 16 deep.
template <typename A, typename TW, typename TO>
DEVICE void plain_product(const A &a, const TW *w, TO *out, i64 m, int n, int k, const Epilogue &e) {
    __shared__ float memory[64 * 65];
    float (*as)[65] = (float (*)[65])memory, (*ws)[65] = as + 16;
    const int columns = (n + 63) / 64;
    const i64 row0 = (i64)(blockIdx.x / columns) * 64;
    const int column0 = (int)(blockIdx.x % columns) * 64;
    const int load_row = threadIdx.x / 4, load_k = threadIdx.x % 4 * 4;
    const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    float sum[4][4] = {};
    for (int k0 = 0; k0 < k; k0 += 16) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int kk = k0 + load_k + i;
            as[load_k + i][load_row] = row0 + load_row < m && kk < k ? a.at(row0 + load_row, kk) : 0.0f;
            ws[load_k + i][load_row] =
                column0 + load_row < n && kk < k ? to_float(w[(i64)(column0 + load_row) * k + kk]) : 0.0f;
        }
        __syncthreads();
#pragma unroll
        for (int kk = 0; kk < 16; kk++) {
            float x[4], y[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                x[i] = as[kk][ty + 16 * i];
                y[i] = ws[kk][tx + 16 * i];
            }
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) sum[i][j] += x[i] * y[j];
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) memory[(ty + 16 * i) * 65 + tx + 16 * j] = sum[i][j];
    __syncthreads();
    finish_tile(memory, 64, 64, 65, out, row0, column0, m, n, e);
}

#define PLAIN_LINEAR(A, TA, W, TW, O, TO)                                                                              \
    KERNEL plain_linear_##A##_##W##_##O(const TA *x, const TW *w, TO *out, i64 m, int n, int k, Epilogue e) {          \
        plain_product(Rows<TA>{x, k}, w, out, m, n, k, e);                                                       \
    }
PLAIN_LINEAR(f32, float, f32, float, f32, float)
PLAIN_LINEAR(f32, float, bf16, bf16, f32, float)
PLAIN_LINEAR(f32, float, f32, float, bf16, bf16)
PLAIN_LINEAR(f32, float, bf16, bf16, bf16, bf16)
PLAIN_LINEAR(bf16, bf16, bf16, bf16, bf16, bf16)
PLAIN_LINEAR(bf16, bf16, bf16, bf16, f32, float)

KERNEL plain_convolution_f32(const float *x, const float *w, float *out, i64 m, int n, int k, Epilogue e, Window p) {
    plain_product(Pixels<float>{x, p}, w, out, m, n, k, e);
}
KERNEL plain_convolution_bf16(const bf16 *x, const bf16 *w, bf16 *out, i64 m, int n, int k, Epilogue e, Window p) {
    plain_product(Pixels<bf16>{x, p}, w, out, m, n, k, e);
}

// MARK: Tensor cores

constexpr int TILE_ROWS = 128, DEPTH = 64, STAGES = 3;

/// A row of 64 bf16 in shared memory is 8 chunks of 16 bytes, each at its place exclusive-or row: no bank conflicts.
DEVICE u32 chunk_offset(int row, int chunk) { return (u32)(row * 128 + ((chunk ^ (row & 7)) << 4)); }

/// Writes 16 bytes of shared memory, of which `value` gives each bf16's bits.
template <typename VALUE> DEVICE void store_chunk(u32 to, VALUE value) {
    u32 pairs[4];
#pragma unroll
    for (int j = 0; j < 4; j++) pairs[j] = (u32)value(2 * j) | (u32)value(2 * j + 1) << 16;
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(pairs[0]), "r"(pairs[1]), "r"(pairs[2]),
                 "r"(pairs[3])
                 : "memory");
}

/// Copies one step of a product: ROWS rows of the source and N of w, 64 values of each; `to` is where the stage begins. A thread
/// takes one chunk of rows STEP apart.
template <int ROWS, int N, int STEP, typename SOURCE>
DEVICE void copy_step(SOURCE &source, const bf16 *w, u32 to, int depth, int n, int k, int column0) {
    const int load_row = threadIdx.x / 8, load_chunk = threadIdx.x % 8;
    source.advance();
    if constexpr (SOURCE::GATHERS) {
#pragma unroll
        for (int i = 0; i < ROWS / STEP; i++)
            store_chunk(to + chunk_offset(load_row + STEP * i, load_chunk), [&](int j) { return source.value(i, j, depth); });
#pragma unroll
        for (int i = 0; i < N / STEP; i++) {
            const int column = column0 + load_row + STEP * i;
            store_chunk(to + ROWS * 128 + chunk_offset(load_row + STEP * i, load_chunk), [&](int j) {
                return column < n && depth + j < k ? w[(i64)column * k + depth + j].bits : (u16)0;
            });
        }
    } else {
#pragma unroll
        for (int i = 0; i < ROWS / STEP; i++) {
            bool valid;
            const bf16 *from = source.chunk(i, load_row + STEP * i, depth, valid);
            copy16_async(to + chunk_offset(load_row + STEP * i, load_chunk), from, valid);
        }
#pragma unroll
        for (int i = 0; i < (N + STEP - 1) / STEP; i++) {
            const int row = load_row + STEP * i;
            const bool valid = column0 + row < n && depth < k;
            if (N % STEP == 0 || row < N)
                copy16_async(to + ROWS * 128 + chunk_offset(row, load_chunk),
                             w + (valid ? (i64)(column0 + row) * k + depth : 0), valid);
        }
    }
}

/// Gives the addresses of the chunks a thread copies: rows `first + 32 i` of the tile.
struct LinearSource {
    static constexpr bool GATHERS = false;
    const bf16 *x;
    i64 row0, m, row_stride;
    int k;
    DEVICE void start(int, int) {}
    DEVICE void advance() {}
    DEVICE const bf16 *chunk(int i, int row, int depth, bool &valid) const {
        valid = row0 + row < m && depth < k;
        return x + (valid ? (row0 + row) * row_stride + depth : 0);
    }
};

/// At most 32 taps in height and width, fewer than 2^31 values of input. Depths are asked for in steps of DEPTH. A thread
/// copies rows STEP apart.
template <int STEP = 32> struct PixelSource {
    static constexpr bool GATHERS = false;
    const bf16 *x;
    const Window &w;
    i64 row0, m;
    int k;
    const bf16 *later; // x, counted from the first frame of the history
    int t[4];          // frame of tap 0, for each of the thread's rows; far below zero for rows past the end
    u32 seen[4];       // which taps in height and width lie inside the picture
    int offset[4];     // of tap 0
    int dt, dy, dp, bit, channel, tap_offset;
    DEVICE void start(int first, int depth) {
        const int plane = w.height * w.width * w.in;
        later = x - (i64)w.history_frames * plane;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const i64 row = row0 + first + STEP * i;
            const i64 above = row / w.out_width;
            const int p = (int)(row % w.out_width) * w.stride_w + w.left;
            const int y = (int)(above % w.out_height) * w.stride_h + w.top;
            const int frame = (int)(above / w.out_height) * w.stride_t + w.first;
            seen[i] = 0;
            for (int dy = 0; dy < w.kh; dy++)
                for (int dp = 0; dp < w.kw; dp++)
                    if (y + dy >= 0 && y + dy < w.height && p + dp >= 0 && p + dp < w.width)
                        seen[i] |= 1u << (dy * w.kw + dp);
            t[i] = row < m ? frame : -(1 << 30);
            offset[i] = ((frame * w.height + y) * w.width + p) * w.in;
        }
        dt = dy = dp = bit = 0;
        channel = depth - DEPTH; // the first step adds DEPTH
    }
    DEVICE void advance() {
        channel += DEPTH;
        while (channel >= w.in) {
            channel -= w.in;
            bit++;
            if (++dp < w.kw) continue;
            dp = 0;
            if (++dy < w.kh) continue;
            dy = bit = 0;
            dt++;
        }
        tap_offset = ((dt * w.height + dy) * w.width + dp) * w.in + channel;
    }
    DEVICE const bf16 *chunk(int i, int, int depth, bool &valid) const {
        const int frame = t[i] + dt;
        valid = depth < k && frame >= 0 && (seen[i] >> bit & 1) != 0;
        const bf16 *from = frame < w.history_frames ? (const bf16 *)w.history : later;
        return valid ? from + (offset[i] + tap_offset) : x;
    }
};

/// The same for channels that are no multiple of 8: a thread gathers the values of its chunks one by one.
struct NarrowSource : PixelSource<> {
    static constexpr bool GATHERS = true;
    int frames[8], offsets[8]; // of the chunk's values
    u32 bits[8];
    DEVICE void advance() {
        PixelSource<>::advance();
        int f = dt, y = dy, p = dp, c = channel, at = bit;
#pragma unroll
        for (int j = 0; j < 8; j++) {
            offsets[j] = ((f * w.height + y) * w.width + p) * w.in + c;
            frames[j] = f;
            bits[j] = at;
            if (++c < w.in) continue;
            c = 0;
            at++;
            if (++p < w.kw) continue;
            p = 0;
            if (++y < w.kh) continue;
            y = at = 0;
            f++;
        }
    }
    DEVICE u16 value(int i, int j, int depth) const {
        const int frame = t[i] + frames[j];
        if (depth + j >= k || frame < 0 || (seen[i] >> bits[j] & 1) == 0) return 0;
        return (frame < w.history_frames ? (const bf16 *)w.history : later)[offset[i] + offsets[j]].bits;
    }
};

/// A 128 x N tile a block of 8 warps, 4 down and 2 across, each 32 x N / 2; copies run two stages ahead.
///
/// Shared memory: STAGES x (128 + N) rows of 128 bytes; the finished tile, 128 x (N + 4) floats, lies over them.
template <int N, typename SOURCE, typename TO>
DEVICE void tensor_product(SOURCE source, const bf16 *w, TO *out, i64 m, int n, int k, i64 row0, int column0,
                           const Epilogue &e) {
    extern __shared__ __align__(128) u8 memory[];
    constexpr int STAGE_BYTES = (TILE_ROWS + N) * 128;
    constexpr int TILES = N / 16; // of 8 columns, a warp
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int warp_row = warp / 2 * 32, warp_column = warp % 2 * (N / 2);
    const int load_row = threadIdx.x / 8, load_chunk = threadIdx.x % 8;
    const u32 base = shared_address(memory);
    const int steps = (k + DEPTH - 1) / DEPTH;

    source.start(load_row, load_chunk * 8);
    auto load = [&](int step) {
        copy_step<TILE_ROWS, N, 32>(source, w, base + step % STAGES * STAGE_BYTES, step * DEPTH + load_chunk * 8, n, k,
                                    column0);
    };
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < steps) load(s);
        commit_copies();
    }

    float sum[2][TILES][4] = {};
    for (int step = 0; step < steps; step++) {
        wait_copies<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < steps) load(step + STAGES - 1);
        commit_copies();
        const u32 at = base + step % STAGES * STAGE_BYTES;
#pragma unroll
        for (int kk = 0; kk < DEPTH / 16; kk++) {
            u32 a[2][4], b[TILES / 2][4];
#pragma unroll
            for (int i = 0; i < 2; i++)
                load_matrices(a[i], at + chunk_offset(warp_row + 16 * i + lane % 16, 2 * kk + lane / 16));
#pragma unroll
            for (int j = 0; j < TILES / 2; j++)
                load_matrices(b[j], at + TILE_ROWS * 128 +
                                        chunk_offset(warp_column + 16 * j + lane % 8 + lane / 16 * 8,
                                                     2 * kk + lane / 8 % 2));
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < TILES; j++)
                    multiply_bf16(sum[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
        }
    }
    wait_copies<0>();
    __syncthreads();
    float *tile = (float *)memory;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < TILES; j++)
#pragma unroll
            for (int v = 0; v < 4; v++)
                tile[(warp_row + 16 * i + lane / 4 + v / 2 * 8) * (N + 4) + warp_column + 8 * j + lane % 4 * 2 +
                     v % 2] = sum[i][j][v];
    __syncthreads();
    finish_tile(tile, TILE_ROWS, N, N + 4, out, row0, column0, m, n, e);
}

template <int N, typename TO>
DEVICE void tensor_linear(const bf16 *x, const bf16 *w, TO *out, i64 m, int n, int k, const Epilogue &e) {
    const int columns = (n + N - 1) / N;
    const i64 row0 = (i64)(blockIdx.x / columns) * TILE_ROWS;
    tensor_product<N>(LinearSource{x, row0, m, k, k}, w, out, m, n, k, row0, (int)(blockIdx.x % columns) * N, e);
}
template <int N, typename SOURCE = PixelSource<>>
DEVICE void tensor_convolution(const bf16 *x, const bf16 *w, bf16 *out, i64 m, int n, int k, const Epilogue &e,
                               const Window &p) {
    const int columns = (n + N - 1) / N;
    const i64 row0 = (i64)(blockIdx.x / columns) * TILE_ROWS;
    SOURCE source = {x, p, row0, m, k};
    tensor_product<N>(source, w, out, m, n, k, row0, (int)(blockIdx.x % columns) * N, e);
}

#define TENSOR_KERNEL extern "C" __global__ void __launch_bounds__(256, 2)

TENSOR_KERNEL tensor_linear_bf16(const bf16 *x, const bf16 *w, bf16 *out, i64 m, int n, int k, Epilogue e) {
    tensor_linear<128>(x, w, out, m, n, k, e);
}
TENSOR_KERNEL tensor_linear_f32(const bf16 *x, const bf16 *w, float *out, i64 m, int n, int k, Epilogue e) {
    tensor_linear<128>(x, w, out, m, n, k, e);
}
TENSOR_KERNEL tensor_convolution_32(const bf16 *x, const bf16 *w, bf16 *out, i64 m, int n, int k, Epilogue e,
                                    Window p) {
    tensor_convolution<32>(x, w, out, m, n, k, e, p);
}
TENSOR_KERNEL tensor_convolution_96(const bf16 *x, const bf16 *w, bf16 *out, i64 m, int n, int k, Epilogue e,
                                    Window p) {
    tensor_convolution<96>(x, w, out, m, n, k, e, p);
}
TENSOR_KERNEL narrow_convolution_32(const bf16 *x, const bf16 *w, bf16 *out, i64 m, int n, int k, Epilogue e,
                                    Window p) {
    tensor_convolution<32, NarrowSource>(x, w, out, m, n, k, e, p);
}
TENSOR_KERNEL narrow_convolution_96(const bf16 *x, const bf16 *w, bf16 *out, i64 m, int n, int k, Epilogue e,
                                    Window p) {
    tensor_convolution<96, NarrowSource>(x, w, out, m, n, k, e, p);
}

// MARK: Hopper

#ifdef HAS_HOPPER
constexpr int HOPPER_STAGES = 4;

/// A 64 GROUPS x N tile a block of GROUPS groups of four warps, each 64 x N; copies run two steps ahead of the products, which
/// run one step ahead of their end. Two groups leave room for a second block, which multiplies while this one finishes; four
/// read less for a product.
///
/// Shared memory: 1024 + HOPPER_STAGES x (64 GROUPS + N) rows of 128 bytes, begun at a multiple of 1024.
template <int N, int GROUPS, typename SOURCE>
DEVICE void hopper_product(SOURCE source, const bf16 *w, bf16 *out, i64 m, int n, int k, i64 row0, int column0,
                           const Epilogue &e) {
    extern __shared__ __align__(1024) u8 hopper_memory[];
    constexpr int HOPPER_ROWS = 64 * GROUPS, STEP = 16 * GROUPS, STAGE_BYTES = (HOPPER_ROWS + N) * 128;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = threadIdx.x / 128;
    const int load_row = threadIdx.x / 8, load_chunk = threadIdx.x % 8;
    const u32 start = shared_address(hopper_memory), skip = (1024 - (start & 1023)) & 1023, base = start + skip;
    const int steps = (k + DEPTH - 1) / DEPTH;
    source.start(load_row, load_chunk * 8);
    auto load = [&](int step) {
        copy_step<HOPPER_ROWS, N, STEP>(source, w, base + step % HOPPER_STAGES * STAGE_BYTES,
                                        step * DEPTH + load_chunk * 8, n, k, column0);
    };
#pragma unroll
    for (int s = 0; s < HOPPER_STAGES - 2; s++) {
        if (s < steps) load(s);
        commit_copies();
    }
    float sum[N / 96][12][4] = {};
    for (int step = 0; step < steps; step++) {
        // All but the latest copies are there; every group has ended the products of two steps ago.
        wait_copies<HOPPER_STAGES - 3>();
        publish_copies();
        __syncthreads();
        const u32 at = base + step % HOPPER_STAGES * STAGE_BYTES;
        const u64 a = tile_descriptor(at + group * 64 * 128), b = tile_descriptor(at + HOPPER_ROWS * 128);
        begin_products();
#pragma unroll
        for (int kk = 0; kk < DEPTH / 16; kk++)
#pragma unroll
            for (int j = 0; j < N / 96; j++) multiply_group(sum[j], a + 2 * kk, b + 2 * kk + j * (96 * 128 >> 4));
        commit_products();
        if (step + HOPPER_STAGES - 2 < steps) load(step + HOPPER_STAGES - 2);
        commit_copies();
        wait_products<1>();
    }
    wait_products<0>();
    wait_copies<0>();
    __syncthreads();
    float *tile = (float *)(hopper_memory + skip);
#pragma unroll
    for (int j = 0; j < N / 8; j++)
#pragma unroll
        for (int v = 0; v < 4; v++)
            tile[(warp * 16 + lane / 4 + v / 2 * 8) * (N + 4) + 8 * j + lane % 4 * 2 + v % 2] = sum[j / 12][j % 12][v];
    __syncthreads();
    finish_tile(tile, HOPPER_ROWS, N, N + 4, out, row0, column0, m, n, e);
}
template <int N, int GROUPS>
DEVICE void hopper_convolution(const bf16 *x, const bf16 *w, bf16 *out, i64 m, int n, int k, const Epilogue &e,
                               const Window &p) {
    const int columns = (n + N - 1) / N;
    const i64 row0 = (i64)(blockIdx.x / columns) * (64 * GROUPS);
    hopper_product<N, GROUPS>(PixelSource<16 * GROUPS>{x, p, row0, m, k}, w, out, m, n, k, row0,
                              (int)(blockIdx.x % columns) * N, e);
}
#define HOPPER_KERNEL(THREADS, BLOCKS) extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
HOPPER_KERNEL(256, 2) hopper_convolution_96(const bf16 *x, const bf16 *w, bf16 *out, i64 m, int n, int k, Epilogue e, Window p) {
    hopper_convolution<96, 2>(x, w, out, m, n, k, e, p);
}
HOPPER_KERNEL(512, 1) hopper_convolution_192(const bf16 *x, const bf16 *w, bf16 *out, i64 m, int n, int k, Epilogue e,
                                     Window p) {
    hopper_convolution<192, 4>(x, w, out, m, n, k, e, p);
}
#endif
