// Norms of rows and the rotation of queries and keys.

INLINE float row_sum(const float *x, long n) {
    vf s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0);
    long i = 0;
    for (; i + 4 * VW <= n; i += 4 * VW) {
        s0 += load(x + i);
        s1 += load(x + i + VW);
        s2 += load(x + i + 2 * VW);
        s3 += load(x + i + 3 * VW);
    }
    for (; i + VW <= n; i += VW) s0 += load(x + i);
    if (i < n) s1 += load_part(x + i, n - i);
    return sum_lanes((s0 + s1) + (s2 + s3));
}

/// Sum of (x - mean)^2.
INLINE float row_squares(const float *x, long n, float mean) {
    vf s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0), c = splat(mean);
    long i = 0;
    for (; i + 4 * VW <= n; i += 4 * VW) {
        vf a = load(x + i) - c, b = load(x + i + VW) - c, d = load(x + i + 2 * VW) - c, e = load(x + i + 3 * VW) - c;
        s0 += a * a;
        s1 += b * b;
        s2 += d * d;
        s3 += e * e;
    }
    for (; i + VW <= n; i += VW) {
        vf a = load(x + i) - c;
        s0 += a * a;
    }
    float rest = 0;
    for (; i < n; i++) rest += (x[i] - mean) * (x[i] - mean);
    return sum_lanes((s0 + s1) + (s2 + s3)) + rest;
}

static void layer_norm(const float *x, long rows, long dim, float epsilon, const float *weight, const float *bias,
                       int modulated, float *out) {
    const vf one = splat(modulated ? 1.0f : 0.0f);
    for (long r = 0; r < rows; r++, x += dim, out += dim) {
        const float mean = row_sum(x, dim) / (float)dim;
        const float factor = 1.0f / sqrtf(row_squares(x, dim, mean) / (float)dim + epsilon);
        const vf m = splat(mean), f = splat(factor);
#define PLAIN(L, S) S(out + i, (L(x + i) - m) * f)
#define SCALED(L, S) S(out + i, (L(x + i) - m) * f * (L(weight + i) + one))
#define SHIFTED(L, S) S(out + i, (L(x + i) - m) * f + L(bias + i))
#define AFFINE(L, S) S(out + i, (L(x + i) - m) * f * (L(weight + i) + one) + L(bias + i))
        if (weight && bias)
            EACH(dim, AFFINE);
        else if (weight)
            EACH(dim, SCALED);
        else if (bias)
            EACH(dim, SHIFTED);
        else
            EACH(dim, PLAIN);
    }
}

static void rms_norm(const float *x, long rows, long dim, float epsilon, const float *weight, float *out) {
    for (long r = 0; r < rows; r++, x += dim, out += dim) {
        const vf f = splat(1.0f / sqrtf(row_squares(x, dim, 0) / (float)dim + epsilon));
#define BODY(L, S) S(out + i, L(x + i) * f * L(weight + i))
        EACH(dim, BODY);
#undef BODY
    }
}

/// activation: DK_STORE for none.
static void channel_norm(const float *x, long rows, long dim, const float *gamma, int activation, float *out) {
    const float root = sqrtf((float)dim);
    for (long r = 0; r < rows; r++, x += dim, out += dim) {
        const float length = sqrtf(row_squares(x, dim, 0));
        const vf f = splat(root / (length > 1e-12f ? length : 1e-12f));
#define PLAIN_NORM(L, S) S(out + i, L(x + i) * f * L(gamma + i))
#define SILU_NORM(L, S) S(out + i, silu(L(x + i) * f * L(gamma + i)))
#define GELU_NORM(L, S) S(out + i, gelu_tanh(L(x + i) * f * L(gamma + i)))
        if (activation == DK_SILU)
            EACH(dim, SILU_NORM);
        else if (activation == DK_GELU)
            EACH(dim, GELU_NORM);
        else
            EACH(dim, PLAIN_NORM);
    }
}

static void rotate(float *x, long tokens, long heads, long head_dim, const float *table) {
    for (long t = 0; t < tokens; t++, table += head_dim)
        for (long h = 0; h < heads; h++, x += head_dim)
            for (long i = 0; i < head_dim; i += 2) {
                const float a = x[i], b = x[i + 1], c = table[i], s = table[i + 1];
                x[i] = a * c - b * s;
                x[i + 1] = a * s + b * c;
            }
}
