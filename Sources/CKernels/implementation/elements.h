// Element-wise loops.

#define EACH(n, BODY)                                                                                                  \
    do {                                                                                                               \
        long i = 0;                                                                                                    \
        for (; i + VW <= (n); i += VW) BODY(load, store);                                                              \
        if (i < (n)) {                                                                                                 \
            const long rest = (n) - i;                                                                                 \
            BODY(LOAD_REST, STORE_REST);                                                                               \
        }                                                                                                              \
    } while (0)
#define LOAD_REST(p) load_part(p, rest)
#define STORE_REST(p, v) store_part(p, v, rest)

static void add(float *x, const float *y, long n) {
#define BODY(L, S) S(x + i, L(x + i) + L(y + i))
    EACH(n, BODY);
#undef BODY
}

static void multiply(float *x, const float *y, long n) {
#define BODY(L, S) S(x + i, L(x + i) * L(y + i))
    EACH(n, BODY);
#undef BODY
}

static void add_gated(float *x, const float *y, const float *gate, long n) {
#define BODY(L, S) S(x + i, L(x + i) + L(gate + i) * L(y + i))
    EACH(n, BODY);
#undef BODY
}

static void activate(float *x, long n, int activation) {
#define SILU(L, S) S(x + i, silu(L(x + i)))
#define GELU(L, S) S(x + i, gelu_tanh(L(x + i)))
    if (activation == DK_SILU)
        EACH(n, SILU);
    else
        EACH(n, GELU);
#undef SILU
#undef GELU
}

static void fill(float *x, long n, float value) {
#define BODY(L, S) S(x + i, splat(value))
    EACH(n, BODY);
#undef BODY
}

static void round_e4m3(const float *x, float *out, long n) {
#define BODY(L, S) S(out + i, e4m3_vector(L(x + i)))
    EACH(n, BODY);
#undef BODY
}

static void exponentials(const float *x, float *out, long n) {
#define BODY(L, S) S(out + i, exp_vector(L(x + i)))
    EACH(n, BODY);
#undef BODY
}

INLINE uint16_t bf16_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static void f32_to_bf16(const float *x, uint16_t *out, long n) {
    for (long i = 0; i < n; i++) out[i] = bf16_of(x[i]);
}

static void bf16_to_f32(const uint16_t *x, float *out, long n) {
    for (long i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)x[i] << 16;
        memcpy(out + i, &bits, 4);
    }
}

/// Half to even, by the exponent trick: exact for subnormals too.
INLINE uint16_t f16_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) return (uint16_t)(sign | 0x7E00);
    if (magnitude >= 0x477FF000) return (uint16_t)(sign | 0x7C00);
    if (magnitude < 0x38800000) {
        float m;
        memcpy(&m, &magnitude, 4);
        m += 0.5f; // the step at 0.5 is 2^-24, as of subnormal halves
        uint32_t r;
        memcpy(&r, &m, 4);
        return (uint16_t)(sign | (r - 0x3F000000));
    }
    return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13));
}

INLINE float f32_of_f16(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7FFF;
    uint32_t bits;
    if (magnitude >= 0x7C00)
        bits = sign | 0x7F800000 | (magnitude & 0x3FF) << 13;
    else if (magnitude >= 0x400)
        bits = sign | ((magnitude << 13) + 0x38000000);
    else {
        const float m = (float)magnitude * 0x1p-24f;
        memcpy(&bits, &m, 4);
        bits |= sign;
    }
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static void f32_to_f16(const float *x, uint16_t *out, long n) {
    for (long i = 0; i < n; i++) out[i] = f16_of(x[i]);
}

static void f16_to_f32(const uint16_t *x, float *out, long n) {
    for (long i = 0; i < n; i++) out[i] = f32_of_f16(x[i]);
}

/// [-1, 1] -> [0, 255]: `floor((1 + clamp(v)) / 2 * 255 + 0.5)`; NaN becomes 0.
static void quantize_frames(const float *x, uint8_t *out, long n) {
    for (long i = 0; i < n; i++) {
        float v = x[i] > -1.0f ? x[i] : -1.0f;
        v = v < 1.0f ? v : 1.0f;
        out[i] = (uint8_t)((1.0f + v) / 2.0f * 255.0f + 0.5f);
    }
}
