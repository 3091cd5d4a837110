// Softmax attention over key blocks, with a running maximum: never more than one block of scores.

struct attention_memory {
    float *scores, *sum, *most, *part;
    long score_stride, out_stride;
};

INLINE struct attention_memory attention_parts(const struct dk_attention *a, long rows, void *scratch) {
    struct attention_memory m;
    m.score_stride = round_up(a->key_block, VW);
    m.out_stride = round_up(a->dim, VW);
    m.scores = scratch;
    m.part = m.scores + rows * m.score_stride;
    m.sum = m.part + rows * m.out_stride;
    m.most = m.sum + round_up(rows, VW);
    return m;
}

static long attention_scratch(const struct dk_attention *a, long rows) {
    return (rows * (round_up(a->key_block, VW) + round_up(a->dim, VW)) + 2 * round_up(rows, VW)) * (long)sizeof(float);
}

/// Scales and biases one row of scores, and returns its maximum; lanes past `keys` become -FLT_MAX.
INLINE float prepare_scores(float *s, long keys, float scale, const float *bias) {
    vf most = splat(-FLT_MAX);
    const vf f = splat(scale);
    long i = 0;
    for (; i + VW <= keys; i += VW) {
        vf v = load(s + i) * f;
        if (bias) v += load(bias + i);
        store(s + i, v);
        most = larger(most, v);
    }
    float top = max_lanes(most);
    for (; i < keys; i++) {
        s[i] = s[i] * scale + (bias ? bias[i] : 0);
        top = s[i] > top ? s[i] : top;
    }
    for (; i % VW; i++) s[i] = -FLT_MAX;
    return top;
}

/// `s = exp(s - top)`, returns the sum.
INLINE float exponentiate(float *s, long keys, float top) {
    vf sum = splat(0);
    const vf t = splat(top);
    for (long i = 0; i < keys; i += VW) {
        vf p = exp_negative(load(s + i) - t);
        store(s + i, p);
        sum += p;
    }
    return sum_lanes(sum);
}

/// `s = e4m3(2^(s f - top + 8.807))`, returns the sum before rounding. Source: SpargeAttn csrc/qattn.
INLINE float exponentiate_quantized(float *s, long keys, float top) {
    vf sum = splat(0);
    const vf t = splat(8.807f - top);
    for (long i = 0; i < keys; i += VW) {
        vf p = exp2_vector(load(s + i) + t);
        sum += p;
        store(s + i, e4m3_vector(p));
    }
    return sum_lanes(sum);
}

INLINE void multiply_row(float *x, long n, float factor) {
    for (long i = 0; i < n; i += VW) store(x + i, load(x + i) * splat(factor));
}

/// Rows `[row0, row1)` of `softmax(scale q k^T + bias) v` over the `count` key blocks `blocks` (all, if NULL).
static void attend(const struct dk_attention *a, long row0, long row1, const int32_t *blocks, long count,
                   void *scratch) {
    const long rows = row1 - row0;
    const struct attention_memory m = attention_parts(a, rows, scratch);
    const int quantized = a->k_scale != NULL;
    for (long r = 0; r < rows; r++) {
        m.sum[r] = 0;
        m.most[r] = -FLT_MAX;
    }
    for (long n = 0; n < count; n++) {
        const long block = blocks ? blocks[n] : n;
        const long first = block * a->key_block, keys = least(a->key_block, a->keys - first);
        gemm(a->q + row0 * a->q_stride, a->q_stride, rows, a->dim, a->k_panels + block * a->k_block_stride, a->dim,
             keys, m.scores, m.score_stride, 0);
        const float scale = quantized ? a->scale * 1.44269504f * (a->q_scale * a->k_scale[block]) : a->scale;
        for (long r = 0; r < rows; r++) {
            float *s = m.scores + r * m.score_stride;
            const float *bias = a->bias ? a->bias + (row0 + r) * a->bias_stride + first : NULL;
            const float top = prepare_scores(s, keys, scale, bias);
            if (top > m.most[r]) {
                // Nothing has been summed before the first block: no old part to scale.
                if (n > 0) {
                    float old[VW];
                    const vf difference = splat(m.most[r] - top);
                    store(old, quantized ? exp2_vector(difference) : exp_negative(difference));
                    m.sum[r] *= old[0];
                    multiply_row(m.part + r * m.out_stride, m.out_stride, old[0]);
                }
                m.most[r] = top;
            }
            m.sum[r] += quantized ? exponentiate_quantized(s, keys, m.most[r]) : exponentiate(s, keys, m.most[r]);
        }
        gemm(m.scores, m.score_stride, rows, keys, a->v_panels + block * a->v_block_stride, keys, a->dim, m.part,
             m.out_stride, n > 0);
    }
    for (long r = 0; r < rows; r++) {
        const float *part = m.part + r * m.out_stride;
        float *out = a->out + (row0 + r) * a->out_stride;
        const float factor = 1.0f / m.sum[r];
        for (long i = 0; i < a->dim; i++) out[i] = part[i] * factor * (quantized ? a->v_scale[i] : 1.0f);
    }
}
