// The linear branch of sparse-linear attention. Source: TurboDiffusion SLA/core.py.

/// phi(x) = softmax over the channels.
INLINE void channel_softmax(const float *x, long dim, float *out) {
    float top = x[0];
    vf most = splat(x[0]);
    long i = 0;
    for (; i + VW <= dim; i += VW) most = larger(most, load(x + i));
    for (; i < dim; i++) top = x[i] > top ? x[i] : top;
    const float lanes = max_lanes(most);
    top = lanes > top ? lanes : top;
    vf total = splat(0);
    float rest = 0;
    for (i = 0; i + VW <= dim; i += VW) {
        vf e = exp_negative(load(x + i) - splat(top));
        store(out + i, e);
        total += e;
    }
    const long whole = i;
    if (i < dim) {
        float part[VW];
        store(part, exp_negative(load_part(x + i, dim - i) - splat(top)));
        for (long j = 0; i + j < dim; j++) {
            out[i + j] = part[j];
            rest += part[j];
        }
    }
    const float factor = 1.0f / (sum_lanes(total) + rest);
    multiply_row(out, whole, factor);
    for (i = whole; i < dim; i++) out[i] *= factor;
}

INLINE float dot(const float *x, const float *y, long n) {
    vf s0 = splat(0), s1 = splat(0);
    long i = 0;
    for (; i + 2 * VW <= n; i += 2 * VW) {
        s0 += load(x + i) * load(y + i);
        s1 += load(x + i + VW) * load(y + i + VW);
    }
    float rest = 0;
    for (; i < n; i++) rest += x[i] * y[i];
    return sum_lanes(s0 + s1) + rest;
}

/// out `[columns, rows]` = x `[rows, columns]` transposed.
static void transpose(const float *x, long stride, long rows, long columns, float *out, long out_stride) {
    long r = 0;
    for (; r + VW <= rows; r += VW) {
        long c = 0;
        for (; c + VW <= columns; c += VW) {
            vf t[VW];
#pragma clang loop unroll(full)
            for (int i = 0; i < VW; i++) t[i] = load(x + (r + i) * stride + c);
            transpose_tile(t);
#pragma clang loop unroll(full)
            for (int i = 0; i < VW; i++) store(out + (c + i) * out_stride + r, t[i]);
        }
        for (; c < columns; c++)
            for (long i = r; i < r + VW; i++) out[c * out_stride + i] = x[i * stride + c];
    }
    for (; r < rows; r++)
        for (long c = 0; c < columns; c++) out[c * out_stride + r] = x[r * stride + c];
}

/// Tokens whose phi(k) is transposed at once.
#define BRANCH_TOKENS 128

static long branch_scratch(long dim, long rows) {
    const long width = round_up(dim, VW), tokens = BRANCH_TOKENS;
    const long state = dim * tokens + 2 * tokens * width, branch = 2 * rows * width;
    return (state > branch ? state : branch) * (long)sizeof(float);
}

/// state `[dim, round_up(dim, VW)]` = phi(k)^T v and sum `[dim]` = sum of phi(k), over `tokens` tokens.
static void branch_state(const float *k, long k_stride, const float *v, long v_stride, long tokens, long dim,
                         float *state, float *sum, void *scratch) {
    const long width = round_up(dim, VW);
    float *across = scratch, *panels = across + dim * BRANCH_TOKENS, *phi = panels + BRANCH_TOKENS * width;
    memset(sum, 0, (size_t)dim * sizeof(float));
    memset(state, 0, (size_t)(dim * width) * sizeof(float));
    for (long t = 0; t < tokens; t += BRANCH_TOKENS) {
        const long n = least(BRANCH_TOKENS, tokens - t);
        for (long i = 0; i < n; i++) {
            channel_softmax(k + (t + i) * k_stride, dim, phi + i * width);
            add(sum, phi + i * width, dim);
        }
        transpose(phi, width, n, dim, across, BRANCH_TOKENS);
        pack_rows(v + t * v_stride, v_stride, n, dim, panels);
        gemm(across, BRANCH_TOKENS, dim, n, panels, n, dim, state, width, 1);
    }
}

/// `out += w (phi(q) state / (1e-5 + phi(q) . sum)) + bias` for rows `[row0, row1)`.
static void branch(const struct dk_linear_branch *b, long row0, long row1, void *scratch) {
    const long rows = row1 - row0, dim = b->dim, width = round_up(dim, VW);
    float *phi = scratch, *part = phi + rows * width;
    for (long r = 0; r < rows; r++) channel_softmax(b->q + (row0 + r) * b->q_stride, dim, phi + r * width);
    gemm(phi, width, rows, dim, b->state_panels, dim, dim, part, width, 0);
    for (long r = 0; r < rows; r++) {
        const float total = dot(phi + r * width, b->key_sum, dim);
        multiply_row(part + r * width, width, 1.0f / (1e-5f + total));
    }
    gemm(part, width, rows, dim, b->projection, dim, dim, phi, width, 0);
    for (long r = 0; r < rows; r++) {
        float *out = b->out + (row0 + r) * b->out_stride;
        add(out, phi + r * width, dim);
        if (b->bias) add(out, b->bias, dim);
    }
}
