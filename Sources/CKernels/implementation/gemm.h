// The matrix product everything dense goes through.

/// Rows of a tile that is half a panel wide: as many sums as a full tile has, where there are registers for the rows'
/// addresses.
#define TALL (VW == 16 ? MR : 2 * MR)

/// One tile `[height, width * VW]` of C: `C (+)= sum over taps and depth of rows[i][tap + d] * b[tap][d]`.
///
/// - rows: `height` rows of A.
/// - taps: byte offsets from each row's start, one for each run of `depth` values.
/// - b: one panel group `[taps * depth, width * VW]`.
INLINE void tile(const int height, const int width, const float *const *rows, const ptrdiff_t *taps, long tap_count,
                 long depth, const float *b, float *c, long c_stride, int accumulate) {
    vf sum[TALL > MR ? TALL : MR][2];
#pragma clang loop unroll(full)
    for (int i = 0; i < height; i++) {
        sum[i][0] = splat(0);
        sum[i][1] = splat(0);
    }
    for (long t = 0; t < tap_count; t++) {
        const float *a[TALL > MR ? TALL : MR];
#pragma clang loop unroll(full)
        for (int i = 0; i < height; i++) a[i] = (const float *)((uintptr_t)rows[i] + (uintptr_t)taps[t]);
        for (long d = 0; d < depth; d++) {
            const vf b0 = load(b), b1 = width == 2 ? load(b + VW) : splat(0);
#pragma clang loop unroll(full)
            for (int i = 0; i < height; i++) {
                const vf x = splat(a[i][d]);
                sum[i][0] += x * b0;
                if (width == 2) sum[i][1] += x * b1;
            }
            b += width * VW;
        }
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < height; i++) {
        float *out = c + i * c_stride;
        if (accumulate) {
            store(out, load(out) + sum[i][0]);
            if (width == 2) store(out + VW, load(out + VW) + sum[i][1]);
        } else {
            store(out, sum[i][0]);
            if (width == 2) store(out + VW, sum[i][1]);
        }
    }
}

#define TILE(name, height, width)                                                                                      \
    static __attribute__((noinline)) void name(const float *const *rows, const ptrdiff_t *taps, long tap_count,        \
                                               long depth, const float *b, float *c, long c_stride, int accumulate) {  \
        tile(height, width, rows, taps, tap_count, depth, b, c, c_stride, accumulate);                                 \
    }

TILE(tile_full, MR, 2)
TILE(tile_half, MR, 1)
TILE(tile_tall, TALL, 1)

/// A tile of which only `count` <= MR rows exist.
INLINE void tile_rows(long width, long count, const float **rows, const ptrdiff_t *taps, long tap_count, long depth,
                      const float *b, float *c, long c_stride, int accumulate) {
    if (count == MR) {
        (width == NR ? tile_full : tile_half)(rows, taps, tap_count, depth, b, c, c_stride, accumulate);
        return;
    }
    float part[MR * NR];
    for (long i = count; i < MR; i++) rows[i] = rows[0];
    (width == NR ? tile_full : tile_half)(rows, taps, tap_count, depth, b, part, NR, 0);
    for (long i = 0; i < count; i++)
        for (long j = 0; j < width; j += VW) {
            float *out = c + i * c_stride + j;
            vf v = load(part + i * NR + j);
            store(out, accumulate ? load(out) + v : v);
        }
}

/// `C (+)= A B` with rows `[k0, k0 + k)` of panels that are `panel_k` deep; C's rows hold `round_up(n, VW)` floats.
static void gemm_slice(const float *a, long a_stride, long m, long k0, long k, const float *panels, long panel_k,
                       long n, float *c, long c_stride, int accumulate) {
    const ptrdiff_t origin = 0;
    const float *rows[MR];
    // A block of rows that stays in the second cache while it meets every panel.
    const long block = MR * 16;
    for (long m0 = 0; m0 < m; m0 += block) {
        const long m1 = least(m, m0 + block);
        for (long j = 0; j < n; j += NR) {
            const long width = group_width(n, j);
            const float *b = panels + j * panel_k + k0 * width;
            for (long i = m0; i < m1; i += MR) {
                const long count = least(MR, m1 - i);
                for (long r = 0; r < count; r++) rows[r] = a + (i + r) * a_stride;
                tile_rows(width, count, rows, &origin, 1, k, b, c + i * c_stride + j, c_stride, accumulate);
            }
        }
    }
}

static void gemm(const float *a, long a_stride, long m, long k, const float *panels, long panel_k, long n, float *c,
                 long c_stride, int accumulate) {
    gemm_slice(a, a_stride, m, 0, k, panels, panel_k, n, c, c_stride, accumulate);
}
