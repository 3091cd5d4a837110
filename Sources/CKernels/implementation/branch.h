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
    if (i < dim) {
        float part[VW];
        store(part, exp_negative(load_part(x + i, dim - i) - splat(top)));
        for (long j = 0; i + j < dim; j++) {
            out[i + j] = part[j];
            rest += part[j];
        }
    }
    const float factor = 1.0f / (sum_lanes(total) + rest);
    for (i = 0; i < dim; i++) out[i] *= factor;
}

/// Tokens whose phi(k) is transposed at once.
#define BRANCH_TOKENS 128

static long branch_scratch(long dim, long rows) {
    const long width = round_up(dim, VW), tokens = BRANCH_TOKENS;
    const long state = dim * tokens + tokens * width + dim + dim * width, branch = 2 * rows * width;
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
            channel_softmax(k + (t + i) * k_stride, dim, phi);
            for (long c = 0; c < dim; c++) {
                across[c * BRANCH_TOKENS + i] = phi[c];
                sum[c] += phi[c];
            }
        }
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
        float total = 0;
        for (long i = 0; i < dim; i++) total += phi[r * width + i] * b->key_sum[i];
        multiply_row(part + r * width, width, 1.0f / (1e-5f + total));
    }
    gemm(part, width, rows, dim, b->projection, dim, dim, phi, width, 0);
    for (long r = 0; r < rows; r++) {
        float *out = b->out + (row0 + r) * b->out_stride;
        for (long i = 0; i < dim; i++) out[i] += phi[r * width + i] + (b->bias ? b->bias[i] : 0);
    }
}
