// Int8 linear layers: 128 x 128 blocks, int32 dot products of 128, float32 sums over the blocks.
// Source: TurboDiffusion ops/quant/quant.hpp, ops/gemm/kernel.hpp.

#define BLOCK 128
/// Values of one lane that a dot step multiplies.
#define DOT (DK_DOT_BYTES == 1 ? 4 : 2)

#if DK_DOT_BYTES == 1
typedef uint8_t code_t;
#define CODE_OFFSET 128
typedef int8_t dot_weight_t;
#else
typedef int16_t code_t;
#define CODE_OFFSET 0
typedef int16_t dot_weight_t;
#endif

/// acc + the dot product of the DOT values in each lane.
INLINE vi dot_step(vi acc, vi a, vi b) {
#if DK_DOT_BYTES == 1
    return (vi)(_mm512_dpbusd_epi32((__m512i)acc, (__m512i)a,
                                                (__m512i)b));
#elif VW == 16
    return acc + (vi)(_mm512_madd_epi16((__m512i)a, (__m512i)b));
#elif VW == 8
    return acc + (vi)(_mm256_madd_epi16((__m256i)a, (__m256i)b));
#elif defined(__SSE2__)
    return acc + (vi)(_mm_madd_epi16((__m128i)a, (__m128i)b));
#else
    return acc + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

/// Greatest magnitude of a block of `rows` x `columns` values.
INLINE float block_maximum(const float *x, long stride, long rows, long columns) {
    vf most = splat(0);
    for (long r = 0; r < rows; r++) {
        const float *p = x + r * stride;
        long i = 0;
        for (; i + VW <= columns; i += VW) {
            vf v = load(p + i);
            most = larger(larger(v, -v), most);
        }
        if (i < columns) {
            vf v = load_part(p + i, columns - i);
            most = larger(larger(v, -v), most);
        }
    }
    return max_lanes(most);
}

/// The code of each value, before it is narrowed: half to even, saturating.
INLINE vi code_vector(vf x, vf factor) {
    vf scaled = larger(splat(-128.0f), smaller(splat(127.0f), x * factor));
    return __builtin_convertvector((scaled + splat(ROUNDER)) - splat(ROUNDER), vi);
}

/// Quantises up to 128 rows; scale `[ceil(columns / 128)]`.
static void quantize_blocks(const float *x, long rows, long columns, int8_t *codes, float *scale) {
    for (long k = 0; k < columns; k += BLOCK) {
        const long n = least(BLOCK, columns - k);
        float most = block_maximum(x + k, columns, rows, n);
        most = most > 1e-8f ? most : 1e-8f;
        const vf factor = splat(128.0f / most);
        scale[k / BLOCK] = most / 128.0f;
        for (long r = 0; r < rows; r++)
            for (long i = 0; i < n; i += VW) {
                const long count = least(VW, n - i);
                vi q = code_vector(load_part(x + r * columns + k + i, count), factor);
                for (long j = 0; j < count; j++) codes[r * columns + k + i + j] = (int8_t)q[j];
            }
    }
}

/// As `quantize_blocks`, in the form that `linear` reads: `code_stride` (a multiple of 128) values a row, zero padded.
static void pack_codes(const float *x, long rows, long columns, long code_stride, void *codes, float *scale) {
    code_t *out = codes;
    for (long k = 0; k < columns; k += BLOCK) {
        const long n = least(BLOCK, columns - k);
        float most = block_maximum(x + k, columns, rows, n);
        most = most > 1e-8f ? most : 1e-8f;
        const vf factor = splat(128.0f / most);
        scale[k / BLOCK] = most / 128.0f;
        for (long r = 0; r < rows; r++) {
            const float *p = x + r * columns + k;
            code_t *q = out + r * code_stride + k;
            typedef code_t vcode __attribute__((ext_vector_type(VW)));
            typedef vcode vcode_unaligned __attribute__((aligned(1), may_alias));
            long i = 0;
            for (; i + VW <= n; i += VW)
                *(vcode_unaligned *)(q + i) =
                    __builtin_convertvector(code_vector(load(p + i), factor) + (vi)(CODE_OFFSET), vcode);
            for (; i < BLOCK; i++) {
                float v = i < n ? p[i] * factor[0] : 0;
                v = v < 127.0f ? v : 127.0f;
                v = v > -128.0f ? v : -128.0f;
                q[i] = (code_t)((int)((v + ROUNDER) - ROUNDER) + CODE_OFFSET);
            }
        }
    }
}

/// Bytes of the packed weights of one block depth: per group a row of start values, then BLOCK / DOT steps.
INLINE long dot_group_bytes(long width) { return width * (4 + BLOCK * DK_DOT_BYTES); }

/// Packs `n` rows of weights `[n, k]`, `depth` <= BLOCK values each.
static void pack_int8(const int8_t *w, long row_stride, long depth, long n, char *out) {
    for (long j = 0; j < n; j += NR) {
        const long width = group_width(n, j), real = least(width, n - j);
        int32_t *start = (int32_t *)out;
        dot_weight_t *b = (dot_weight_t *)(start + width);
        memset(out, 0, (size_t)dot_group_bytes(width));
        for (long c = 0; c < real; c++) {
            const int8_t *row = w + (j + c) * row_stride;
            int32_t sum = 0;
            for (long i = 0; i < depth; i++) {
                b[(i / DOT * width + c) * DOT + i % DOT] = row[i];
                sum += row[i];
            }
            start[c] = -CODE_OFFSET * sum;
        }
        out += dot_group_bytes(width);
    }
}

/// `C (+)= dot * scale[row]` for MR rows of codes and one group.
INLINE void dot_tile(const int width, const code_t *const *rows, const char *group, const float *scale, float *c,
                     long c_stride, int accumulate) {
    vi sum[MR][2];
    const vi s0 = *(const vi_unaligned *)group, s1 = width == 2 ? *(const vi_unaligned *)(group + VW * 4) : (vi)(0);
#pragma clang loop unroll(full)
    for (int i = 0; i < MR; i++) {
        sum[i][0] = s0;
        sum[i][1] = s1;
    }
    const char *b = group + width * VW * 4;
    for (long d = 0; d < BLOCK; d += DOT) {
        const vi b0 = *(const vi_unaligned *)b, b1 = width == 2 ? *(const vi_unaligned *)(b + VW * 4) : (vi)(0);
#pragma clang loop unroll(full)
        for (int i = 0; i < MR; i++) {
            int32_t lane;
            memcpy(&lane, rows[i] + d, 4);
            const vi x = (vi)(lane);
            sum[i][0] = dot_step(sum[i][0], x, b0);
            if (width == 2) sum[i][1] = dot_step(sum[i][1], x, b1);
        }
        b += width * VW * 4;
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < width; j++) {
            float *out = c + i * c_stride + j * VW;
            vf v = __builtin_convertvector(sum[i][j], vf) * splat(scale[i]);
            store(out, accumulate ? load(out) + v : v);
        }
}

static __attribute__((noinline)) void dot_full(const code_t *const *rows, const char *group, const float *scale,
                                               float *c, long c_stride, int accumulate) {
    dot_tile(2, rows, group, scale, c, c_stride, accumulate);
}

static __attribute__((noinline)) void dot_half(const code_t *const *rows, const char *group, const float *scale,
                                               float *c, long c_stride, int accumulate) {
    dot_tile(1, rows, group, scale, c, c_stride, accumulate);
}

/// Adds one block depth of `linear` to C.
/// - codes: of the first row at this depth; scale_stride: block columns of `x_scale`.
/// - weight_scale: of the first column; weight_stride: from one block of 128 columns to the next.
static void dot_block(const code_t *codes, long code_stride, long row0, long m, const float *x_scale,
                      long scale_stride, const char *groups, long column0, long n, const float *weight_scale, float *c,
                      long c_stride, int accumulate) {
    const long block = MR * 16;
    for (long m0 = 0; m0 < m; m0 += block) {
        const long m1 = least(m, m0 + block);
        const char *group = groups;
        float row_scale[MR * 16];
        for (long i = 0; i < block; i++)
            row_scale[i] = x_scale[(row0 + least(m0 + i, m - 1)) / BLOCK * scale_stride];
        for (long j = 0; j < n; j += NR) {
            const long width = group_width(n, j);
            const float ws = weight_scale[(column0 + j) / BLOCK * scale_stride];
            for (long i = m0; i < m1; i += MR) {
                const long count = least(MR, m1 - i);
                const code_t *rows[MR];
                float scale[MR], part[MR * NR];
                for (long r = 0; r < MR; r++) rows[r] = codes + (i + (r < count ? r : 0)) * code_stride;
                for (long r = 0; r < MR; r++) scale[r] = row_scale[i - m0 + r] * ws;
                float *out = c + i * c_stride + j;
                if (count == MR) {
                    (width == NR ? dot_full : dot_half)(rows, group, scale, out, c_stride, accumulate);
                } else {
                    (width == NR ? dot_full : dot_half)(rows, group, scale, part, NR, 0);
                    for (long r = 0; r < count; r++)
                        for (long q = 0; q < width; q += VW) {
                            vf v = load(part + r * NR + q);
                            float *p = out + r * c_stride + q;
                            store(p, accumulate ? load(p) + v : v);
                        }
                }
            }
            group += dot_group_bytes(width);
        }
    }
}
