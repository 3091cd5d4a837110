// A linear layer on a rectangle of its output.

/// Depth of one slice: a panel group of it stays in the first cache.
#define SLICE 384

INLINE long slice_count(long k) { return (k + SLICE - 1) / SLICE; }

/// Floats and bytes this rectangle needs: C, and the packed weights of one slice.
static long linear_scratch(const struct dk_linear *l, long rows, long columns) {
    const long width = round_up(columns, VW);
    long bytes = rows * width * (long)sizeof(float) + 64;
    if (l->bf16) bytes += least(SLICE, l->k) * width * (long)sizeof(float);
    if (l->int8) bytes += (columns + NR - 1) / NR * dot_group_bytes(NR);
    return bytes;
}

INLINE void finish_row(const struct dk_linear *l, const float *c, long row, long column0, long n) {
    float *out = l->out + row * l->n + column0;
    const float *bias = l->bias ? l->bias + column0 : NULL;
    const float *gate = l->epilogue == DK_GATED ? l->operand + column0 : NULL;
    const float *factor = l->epilogue == DK_MULTIPLY ? l->operand + row * l->n + column0 : NULL;
#define RESULT(L) (bias ? L(c + i) + L(bias + i) : L(c + i))
#define STORE_EACH(L, S) S(out + i, RESULT(L))
#define SILU_EACH(L, S) S(out + i, silu(RESULT(L)))
#define GELU_EACH(L, S) S(out + i, gelu_tanh(RESULT(L)))
#define SUM_EACH(L, S) S(out + i, L(out + i) + RESULT(L))
#define GATED_EACH(L, S) S(out + i, L(out + i) + L(gate + i) * RESULT(L))
#define PRODUCT_EACH(L, S) S(out + i, L(factor + i) * RESULT(L))
    switch (l->epilogue) {
    case DK_SILU: EACH(n, SILU_EACH); break;
    case DK_GELU: EACH(n, GELU_EACH); break;
    case DK_ACCUMULATE: EACH(n, SUM_EACH); break;
    case DK_GATED: EACH(n, GATED_EACH); break;
    case DK_MULTIPLY: EACH(n, PRODUCT_EACH); break;
    default: EACH(n, STORE_EACH);
    }
}

/// Rows `[row0, row1)` and columns `[column0, column1)`; column0 is a multiple of NR.
static void linear(const struct dk_linear *l, long row0, long row1, long column0, long column1, void *scratch) {
    const long m = row1 - row0, n = column1 - column0, width = round_up(n, VW);
    float *c = scratch;
    char *packed = (char *)scratch + round_up(m * width * (long)sizeof(float), 64);
    if (l->int8) {
        const long stride = (l->k + BLOCK - 1) / BLOCK;
        for (long k = 0; k < l->k; k += BLOCK) {
            pack_int8(l->int8 + column0 * l->k + k, l->k, least(BLOCK, l->k - k), n, packed);
            dot_block((const code_t *)l->codes + row0 * l->code_stride + k, l->code_stride, row0, m,
                      l->x_scale + k / BLOCK, stride, packed, column0, n, l->weight_scale + k / BLOCK, c, width,
                      k > 0);
        }
    } else {
        const long slices = slice_count(l->k), step = (l->k + slices - 1) / slices;
        for (long k = 0; k < l->k; k += step) {
            const long depth = least(step, l->k - k);
            const float *x = l->x + row0 * l->k + k;
            if (l->bf16) {
                pack_bf16(l->bf16 + column0 * l->k + k, l->k, depth, n, (float *)packed);
                gemm_slice(x, l->k, m, 0, depth, (const float *)packed, depth, n, c, width, k > 0);
            } else {
                gemm_slice(x, l->k, m, k, depth, l->panels + column0 * l->k, l->k, n, c, width, k > 0);
            }
        }
    }
    for (long r = 0; r < m; r++) finish_row(l, c + r * width, row0 + r, column0, n);
}
