// Element-wise operations and moves. One thread takes elements a grid apart; counts may exceed 2^31.
#include "common.cuh"

#define EACH(i, n) for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (i64)gridDim.x * blockDim.x)

template <typename A, typename B> DEVICE void convert(const A *x, B *out, i64 n) {
    EACH(i, n) out[i] = from_float<B>(to_float(x[i]));
}
KERNEL convert_f32_bf16(const float *x, bf16 *out, i64 n) { convert(x, out, n); }
KERNEL convert_f32_f16(const float *x, f16 *out, i64 n) { convert(x, out, n); }
KERNEL convert_bf16_f32(const bf16 *x, float *out, i64 n) { convert(x, out, n); }
KERNEL convert_bf16_f16(const bf16 *x, f16 *out, i64 n) { convert(x, out, n); }
KERNEL convert_f16_f32(const f16 *x, float *out, i64 n) { convert(x, out, n); }
KERNEL convert_f16_bf16(const f16 *x, bf16 *out, i64 n) { convert(x, out, n); }

template <typename T> DEVICE void fill(T *x, i64 n, float value) {
    const T v = from_float<T>(value);
    EACH(i, n) x[i] = v;
}
KERNEL fill_f32(float *x, i64 n, float value) { fill(x, n, value); }
KERNEL fill_bf16(bf16 *x, i64 n, float value) { fill(x, n, value); }
KERNEL fill_f16(f16 *x, i64 n, float value) { fill(x, n, value); }

/// x `[n]` += y `[count]`, y repeated.
template <typename T, typename Y> DEVICE void add(T *x, const Y *y, i64 n, i64 count) {
    if (n == count) {
        EACH(i, n) x[i] = from_float<T>(to_float(x[i]) + to_float(y[i]));
    } else {
        EACH(i, n) x[i] = from_float<T>(to_float(x[i]) + to_float(y[i % count]));
    }
}
KERNEL add_f32_f32(float *x, const float *y, i64 n, i64 count) { add(x, y, n, count); }
KERNEL add_f32_bf16(float *x, const bf16 *y, i64 n, i64 count) { add(x, y, n, count); }
KERNEL add_bf16_f32(bf16 *x, const float *y, i64 n, i64 count) { add(x, y, n, count); }
KERNEL add_bf16_bf16(bf16 *x, const bf16 *y, i64 n, i64 count) { add(x, y, n, count); }

template <typename T> DEVICE void multiply(T *x, const T *y, i64 n) {
    EACH(i, n) x[i] = from_float<T>(to_float(x[i]) * to_float(y[i]));
}
KERNEL multiply_f32(float *x, const float *y, i64 n) { multiply(x, y, n); }
KERNEL multiply_bf16(bf16 *x, const bf16 *y, i64 n) { multiply(x, y, n); }

/// x `[n / dim, dim]` += gate `[dim]` * y.
template <typename T> DEVICE void add_gated(T *x, const T *y, const float *gate, i64 n, int dim) {
    EACH(i, n) x[i] = from_float<T>(to_float(x[i]) + gate[i % dim] * to_float(y[i]));
}
KERNEL add_gated_f32(float *x, const float *y, const float *gate, i64 n, int dim) { add_gated(x, y, gate, n, dim); }
KERNEL add_gated_bf16(bf16 *x, const bf16 *y, const float *gate, i64 n, int dim) { add_gated(x, y, gate, n, dim); }

/// The same over 8 bf16 at once: dim a multiple of 8, all three 16-byte aligned; `groups` = n / 8.
KERNEL add_gated_bf16x8(uint4 *x, const uint4 *y, const float4 *gate, i64 groups, int dim8) {
    EACH(i, groups) {
        const int g = (int)(i % dim8);
        const float4 low = gate[2 * g], high = gate[2 * g + 1];
        const float gates[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
        uint4 a = x[i];
        const uint4 b = y[i];
        u32 *as = (u32 *)&a;
        const u32 *bs = (const u32 *)&b;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float x0 = __uint_as_float(as[j] << 16), x1 = __uint_as_float(as[j] & 0xFFFF0000u);
            const float y0 = __uint_as_float(bs[j] << 16), y1 = __uint_as_float(bs[j] & 0xFFFF0000u);
            as[j] = pack_bf16(x0 + gates[2 * j] * y0, x1 + gates[2 * j + 1] * y1);
        }
        x[i] = a;
    }
}

template <typename T> DEVICE void activate_all(T *x, i64 n, int kind) {
    EACH(i, n) x[i] = from_float<T>(activate(to_float(x[i]), kind));
}
KERNEL activate_f32(float *x, i64 n, int kind) { activate_all(x, n, kind); }
KERNEL activate_bf16(bf16 *x, i64 n, int kind) { activate_all(x, n, kind); }

/// out `[n, dim]` = rows `ids` of table `[vocabulary, dim]`; an id outside stops the kernel.
template <typename T, typename O>
DEVICE void gather(const T *table, const int *ids, O *out, i64 n, int dim, int vocabulary) {
    EACH(i, n * dim) {
        const int id = ids[i / dim];
        if (id < 0 || id >= vocabulary) asm("trap;");
        out[i] = from_float<O>(to_float(table[(i64)id * dim + i % dim]));
    }
}
#define GATHER(A, TA, B, TB)                                                                                           \
    KERNEL gather_##A##_##B(const TA *table, const int *ids, TB *out, i64 n, int dim, int vocabulary) {                \
        gather(table, ids, out, n, dim, vocabulary);                                                                   \
    }
GATHER(f32, float, f32, float)
GATHER(bf16, bf16, f32, float)
GATHER(f16, f16, f32, float)
GATHER(f32, float, bf16, bf16)
GATHER(bf16, bf16, bf16, bf16)
GATHER(f16, f16, bf16, bf16)

/// out `[columns, n]` = table `[rows, columns]` at ids, each column a line.
KERNEL gather_columns_f32(const float *table, const int *ids, float *out, i64 n, int columns, int rows) {
    EACH(i, n * columns) {
        const u32 column = (u32)i / (u32)n; // fewer than 2^32 values
        const int id = ids[(u32)i - column * (u32)n];
        if (id < 0 || id >= rows) asm("trap;");
        out[i] = table[id * columns + column];
    }
}


/// Extents of the output and what one step in each costs in the source, outermost first.
struct Permutation {
    int count;
    int extents[8];
    i64 steps[8];
};
static_assert(sizeof(Permutation) == 104, "KernelArguments.swift says so, too");
template <typename T> DEVICE void permute(const T *x, T *out, i64 n, const Permutation &p) {
    EACH(i, n) {
        i64 rest = i, offset = 0;
        for (int axis = p.count - 1; axis >= 0; axis--) {
            offset += rest % p.extents[axis] * p.steps[axis];
            rest /= p.extents[axis];
        }
        out[i] = x[offset];
    }
}
KERNEL permute_1(const u8 *x, u8 *out, i64 n, Permutation p) { permute(x, out, n, p); }
KERNEL permute_2(const u16 *x, u16 *out, i64 n, Permutation p) { permute(x, out, n, p); }
KERNEL permute_4(const u32 *x, u32 *out, i64 n, Permutation p) { permute(x, out, n, p); }
KERNEL permute_8(const u64 *x, u64 *out, i64 n, Permutation p) { permute(x, out, n, p); }
KERNEL permute_16(const uint4 *x, uint4 *out, i64 n, Permutation p) { permute(x, out, n, p); }

/// out `[rows, 2, 2 width, channels]` = x `[rows, width, channels]`, each pixel four times.
template <typename T> DEVICE void upsample(const T *x, T *out, i64 rows, int width, int channels) {
    EACH(i, rows * width * 4 * channels) {
        const int c = (int)(i % channels);
        const i64 pixel = i / channels;
        const i64 column = pixel % (2 * width), row = pixel / (2 * width);
        out[i] = x[(row / 2 * width + column / 2) * channels + c];
    }
}
KERNEL upsample_2(const u16 *x, u16 *out, i64 rows, int width, int channels) { upsample(x, out, rows, width, channels); }
KERNEL upsample_4(const u32 *x, u32 *out, i64 rows, int width, int channels) { upsample(x, out, rows, width, channels); }
KERNEL upsample_16(const uint4 *x, uint4 *out, i64 rows, int width, int channels) {
    upsample(x, out, rows, width, channels);
}

template <typename T> DEVICE void quantize_frames(const T *x, u8 *out, i64 n) {
    EACH(i, n) {
        const float v = fminf(fmaxf(to_float(x[i]), -1.0f), 1.0f);
        out[i] = (u8)floorf(__fadd_rn(__fmul_rn((1.0f + v) / 2.0f, 255.0f), 0.5f));
    }
}
KERNEL quantize_frames_f32(const float *x, u8 *out, i64 n) { quantize_frames(x, out, n); }
KERNEL quantize_frames_bf16(const bf16 *x, u8 *out, i64 n) { quantize_frames(x, out, n); }

/// A gate taken into a layer's weights `[n, k]` and bias (null: none): rows and values times it. k a multiple of 8.
KERNEL gate_weights(const bf16 *w, const float *bias, const float *gate, bf16 *gated, bf16 *gated_bias, int n, int k) {
    const i64 count = (i64)n * k / 8;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) {
        const float factor = gate[(u32)i / (u32)(k / 8)];
        float v[8];
        unpack8(((const uint4 *)w)[i], v);
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] *= factor;
        ((uint4 *)gated)[i] = pack8(v);
        if (i < n) gated_bias[i] = from_float<bf16>(bias ? bias[i] * gate[i] : 0.0f);
    }
}
