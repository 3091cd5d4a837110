// Panels: groups of NR columns, each [k, NR]; the last group VW wide when that is enough.

INLINE long group_width(long n, long column) { return n - column > VW ? NR : VW; }

static long panel_floats(long k, long n) { return k * round_up(n, VW); }

/// Panels of `w^T`, w `[n, k]` with rows `row_stride` apart.
static void pack_f32(const float *w, long row_stride, long k, long n, float *panels) {
    for (long j = 0; j < n; j += NR) {
        const long width = group_width(n, j), real = least(width, n - j);
        float *out = panels + j * k;
        for (long c = 0; c < real; c++) {
            const float *row = w + (j + c) * row_stride;
            for (long i = 0; i < k; i++) out[i * width + c] = row[i];
        }
        for (long c = real; c < width; c++)
            for (long i = 0; i < k; i++) out[i * width + c] = 0;
    }
}

static void pack_bf16(const uint16_t *w, long row_stride, long k, long n, float *panels) {
    for (long j = 0; j < n; j += NR) {
        const long width = group_width(n, j), real = least(width, n - j);
        uint32_t *out = (uint32_t *)(panels + j * k);
        for (long i = 0; i < k; i++) {
            for (long c = 0; c < real; c++) out[i * width + c] = (uint32_t)w[(j + c) * row_stride + i] << 16;
            for (long c = real; c < width; c++) out[i * width + c] = 0;
        }
    }
}

/// Panels of `b` `[k, n]` with rows `row_stride` apart.
static void pack_rows(const float *b, long row_stride, long k, long n, float *panels) {
    for (long j = 0; j < n; j += NR) {
        const long width = group_width(n, j), real = least(width, n - j);
        float *out = panels + j * k;
        for (long i = 0; i < k; i++) {
            memcpy(out + i * width, b + i * row_stride + j, (size_t)real * sizeof(float));
            for (long c = real; c < width; c++) out[i * width + c] = 0;
        }
    }
}
