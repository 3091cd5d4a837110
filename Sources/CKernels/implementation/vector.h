// Vectors of VW floats and the functions of one vector.

typedef float vf __attribute__((ext_vector_type(VW)));
typedef int32_t vi __attribute__((ext_vector_type(VW)));
typedef uint32_t vu __attribute__((ext_vector_type(VW)));
typedef uint16_t vh __attribute__((ext_vector_type(VW)));
typedef vf vf_unaligned __attribute__((aligned(4), may_alias));
typedef vi vi_unaligned __attribute__((aligned(4), may_alias));
typedef vh vh_unaligned __attribute__((aligned(2), may_alias));

#define INLINE static inline __attribute__((always_inline, unused))

INLINE vf load(const float *p) { return *(const vf_unaligned *)p; }
INLINE void store(float *p, vf v) { *(vf_unaligned *)p = v; }
INLINE vf splat(float x) { return (vf)(x); }
INLINE long round_up(long n, long step) { return (n + step - 1) / step * step; }
INLINE long least(long a, long b) { return a < b ? a : b; }

/// The first `n` < VW floats, the rest zero.
INLINE vf load_part(const float *p, long n) {
    vf v = splat(0);
    memcpy(&v, p, (size_t)n * sizeof(float));
    return v;
}

INLINE void store_part(float *p, vf v, long n) { memcpy(p, &v, (size_t)n * sizeof(float)); }

INLINE vf larger(vf a, vf b) { return a > b ? a : b; }
INLINE vf smaller(vf a, vf b) { return a < b ? a : b; }

typedef float v4 __attribute__((ext_vector_type(4)));

/// Folds a vector to four lanes with `OP`, and those to one.
#if VW == 16
typedef float v8 __attribute__((ext_vector_type(8)));
#define FOLD(v, OP)                                                                                                    \
    const v8 e0 = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);                                               \
    const v8 e1 = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);                                         \
    const v8 e = OP(e0, e1);                                                                                           \
    const v4 q0 = __builtin_shufflevector(e, e, 0, 1, 2, 3), q1 = __builtin_shufflevector(e, e, 4, 5, 6, 7);           \
    const v4 q = OP(q0, q1);
#elif VW == 8
#define FOLD(v, OP)                                                                                                    \
    const v4 q0 = __builtin_shufflevector(v, v, 0, 1, 2, 3), q1 = __builtin_shufflevector(v, v, 4, 5, 6, 7);           \
    const v4 q = OP(q0, q1);
#else
#define FOLD(v, OP) const v4 q = v;
#endif
#define SUM_OF(a, b) ((a) + (b))
#define LARGER_OF(a, b) ((a) > (b) ? (a) : (b))

INLINE float sum_lanes(vf v) {
    FOLD(v, SUM_OF)
    return (q[0] + q[2]) + (q[1] + q[3]);
}

INLINE float max_lanes(vf v) {
    FOLD(v, LARGER_OF)
    const float a = LARGER_OF(q[0], q[2]), b = LARGER_OF(q[1], q[3]);
    return LARGER_OF(a, b);
}

/// 1.5 * 2^23: adding and subtracting it rounds to an integer, half to even, for |x| < 2^22.
#define ROUNDER 12582912.0f

/// 2^n * polynomial(r), with n in the low bits of `rounded`.
INLINE vf scale_exponent(vf y, vf rounded) {
    return (vf)((vi)y + ((vi)rounded << 23));
}

/// e^x to 1e-7 relative; 0 below -87, clamped above 88.
/// Polynomial: Cephes `expf`.
INLINE vf exp_vector(vf x) {
    vf c = larger(splat(-87.0f), smaller(splat(88.0f), x));
    c = x == x ? c : x;
    vf t = c * splat(1.44269504f) + splat(ROUNDER);
    vf n = t - splat(ROUNDER);
    vf r = c - n * splat(0.693359375f);
    r = r - n * splat(-2.12194440e-4f);
    vf p = splat(1.9875691500e-4f);
    p = p * r + splat(1.3981999507e-3f);
    p = p * r + splat(8.3334519073e-3f);
    p = p * r + splat(4.1665795894e-2f);
    p = p * r + splat(1.6666665459e-1f);
    p = p * r + splat(5.0000001201e-1f);
    vf y = p * (r * r) + r;
    y = y + splat(1.0f);
    vf e = scale_exponent(y, t);
    return x < splat(-87.0f) ? splat(0) : e;
}

/// e^x for x <= 0, as the softmax needs it.
INLINE vf exp_negative(vf x) {
    vf c = larger(splat(-87.0f), x);
    vf t = c * splat(1.44269504f) + splat(ROUNDER);
    vf n = t - splat(ROUNDER);
    vf r = c - n * splat(0.693359375f);
    r = r - n * splat(-2.12194440e-4f);
    vf p = splat(1.9875691500e-4f);
    p = p * r + splat(1.3981999507e-3f);
    p = p * r + splat(8.3334519073e-3f);
    p = p * r + splat(4.1665795894e-2f);
    p = p * r + splat(1.6666665459e-1f);
    p = p * r + splat(5.0000001201e-1f);
    vf y = p * (r * r) + r;
    y = y + splat(1.0f);
    vf e = scale_exponent(y, t);
    return x < splat(-87.0f) ? splat(0) : e;
}

/// 2^x; 0 below -125.
INLINE vf exp2_vector(vf x) {
    vf c = larger(splat(-125.0f), smaller(splat(126.0f), x));
    vf t = c + splat(ROUNDER);
    vf r = (c - (t - splat(ROUNDER))) * splat(0.693147181f);
    vf p = splat(1.9875691500e-4f);
    p = p * r + splat(1.3981999507e-3f);
    p = p * r + splat(8.3334519073e-3f);
    p = p * r + splat(4.1665795894e-2f);
    p = p * r + splat(1.6666665459e-1f);
    p = p * r + splat(5.0000001201e-1f);
    vf y = p * (r * r) + r;
    y = y + splat(1.0f);
    vf e = scale_exponent(y, t);
    return x < splat(-125.0f) ? splat(0) : e;
}

INLINE vf silu(vf x) { return x / (splat(1.0f) + exp_vector(-x)); }

/// x (1 + tanh(u)) / 2 = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3).
INLINE vf gelu_tanh(vf x) {
    vf u = splat(-1.5957691216f) * (x + splat(0.044715f) * (x * x * x));
    return x / (splat(1.0f) + exp_vector(u));
}

/// The nearest e4m3 value, half to even, saturating at 448.
INLINE vf e4m3_vector(vf x) {
    vi bits = (vi)x;
    vi sign = bits & (vi)(INT32_MIN);
    vi magnitude = bits & (vi)(INT32_MAX);
    vi rounded = (magnitude + ((magnitude >> 20) & (vi)(1)) + (vi)(0x7FFFF)) & (vi)(~0xFFFFF);
    vf normal = (vf)rounded;
    vf a = (vf)magnitude;
    // Below 2^-6 the step is 2^-9: 1.5 * 2^23 * 2^-9 rounds to it.
    vf subnormal = (a + splat(ROUNDER * 0x1p-9f)) - splat(ROUNDER * 0x1p-9f);
    vf y = a < splat(0x1p-6f) ? subnormal : normal;
    y = smaller(y, splat(448.0f));
    return (vf)((vi)y | sign);
}
