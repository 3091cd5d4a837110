// Panels: groups of NR columns, each [k, NR]; the last group VW wide when that is enough.

INLINE long group_width(long n, long column) { return n - column > VW ? NR : VW; }

static long panel_floats(long k, long n) { return k * round_up(n, VW); }

#if VW == 4
#define LOW_HALVES(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH_HALVES(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#elif VW == 8
#define LOW_HALVES(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH_HALVES(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define LOW_HALVES(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH_HALVES(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#endif

/// Transposes VW rows of VW values: each round shuffles the rows perfectly.
INLINE void transpose_tile(vf *rows) {
#pragma clang loop unroll(full)
    for (int round = 1; round < VW; round *= 2) {
        vf next[VW];
#pragma clang loop unroll(full)
        for (int i = 0; i < VW / 2; i++) {
            next[2 * i] = LOW_HALVES(rows[i], rows[i + VW / 2]);
            next[2 * i + 1] = HIGH_HALVES(rows[i], rows[i + VW / 2]);
        }
#pragma clang loop unroll(full)
        for (int i = 0; i < VW; i++) rows[i] = next[i];
    }
}

/// VW values that may be halves: f32 or bf16.
INLINE vf load_as(const void *p, long i, int bf16) {
    if (!bf16) return load((const float *)p + i);
    return (vf)(__builtin_convertvector(*(const vh_unaligned *)((const uint16_t *)p + i), vu) << 16);
}

INLINE float value_of(const void *p, long i, int bf16) {
    if (!bf16) return ((const float *)p)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/// Panels of `w^T`, w `[n, k]` with rows `row_stride` apart.
INLINE void pack_transposed(const void *w, long row_stride, long k, long n, float *panels, int bf16) {
    const long size = bf16 ? 2 : 4;
    for (long j = 0; j < n; j += NR) {
        const long width = group_width(n, j);
        for (long half = 0; half < width; half += VW) {
            float *out = panels + j * k + half;
            const char *rows = (const char *)w + (j + half) * row_stride * size;
            const long real = least(VW, n - j - half);
            long i = 0;
            if (real == VW)
                for (; i + VW <= k; i += VW) {
                    vf t[VW];
#pragma clang loop unroll(full)
                    for (int c = 0; c < VW; c++) t[c] = load_as(rows + c * row_stride * size, i, bf16);
                    transpose_tile(t);
#pragma clang loop unroll(full)
                    for (int c = 0; c < VW; c++) store(out + (i + c) * width, t[c]);
                }
            for (; i < k; i++)
                for (long c = 0; c < VW; c++)
                    out[i * width + c] = c < real ? value_of(rows + c * row_stride * size, i, bf16) : 0;
        }
    }
}

static void pack_f32(const float *w, long row_stride, long k, long n, float *panels) {
    pack_transposed(w, row_stride, k, n, panels, 0);
}

static void pack_bf16(const uint16_t *w, long row_stride, long k, long n, float *panels) {
    pack_transposed(w, row_stride, k, n, panels, 1);
}

/// Panels of `b` `[k, n]` with rows `row_stride` apart.
static void pack_rows(const float *b, long row_stride, long k, long n, float *panels) {
    for (long j = 0; j < n; j += NR) {
        const long width = group_width(n, j);
        for (long half = 0; half < width; half += VW) {
            const float *rows = b + j + half;
            float *out = panels + j * k + half;
            const long real = least(VW, n - j - half);
            if (real == VW)
                for (long i = 0; i < k; i++) store(out + i * width, load(rows + i * row_stride));
            else
                for (long i = 0; i < k; i++)
                    store(out + i * width, load_part(rows + i * row_stride, real));
        }
    }
}
