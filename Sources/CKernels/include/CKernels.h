/// Hot loops of the CPU backend, compiled once for each level of instruction set and chosen at run time.
///
/// Every function works on a part of an operation that one thread does; threads, scratch memory and checks are the
/// caller's. Matrices are row-major. "Panels" hold a matrix `[k, n]` as column groups of `nr` columns, each group
/// `[k, nr]` contiguous; the last group is `nr / 2` wide when that is enough, and padded with zeros.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>

enum dk_epilogue {
    DK_STORE = 0,
    DK_SILU = 1,
    DK_GELU = 2,
    /// `out += result`
    DK_ACCUMULATE = 3,
    /// `out += operand[column] * result`
    DK_GATED = 4,
    /// `out = result * operand[row, column]`
    DK_MULTIPLY = 5,
};

/// One linear layer applied to one input; `out = epilogue(x w^T + bias)`.
struct dk_linear {
    const float *x;  // [m, k]
    long m, k, n;
    const float *panels;       // of w^T, or NULL
    const uint16_t *bf16;      // w [n, k], or NULL
    const int8_t *int8;        // w [n, k], or NULL
    const float *weight_scale; // [ceil(n/128), ceil(k/128)]
    const void *codes;         // x quantised, [m, code_stride] as `pack_codes` writes it
    const float *x_scale;      // [ceil(m/128), ceil(k/128)]
    long code_stride;          // elements
    const float *bias;         // [n] or NULL
    int epilogue;
    const float *operand;
    float *out; // [m, n]
};

/// Attention of one head; see `attend`.
struct dk_attention {
    const float *q;
    long q_stride; // floats from one query to the next
    long queries, keys, dim;
    float scale;
    /// Per key block: panels `[dim, key_block]`, and panels `[key_block, dim]`.
    const float *k_panels, *v_panels;
    long k_block_stride, v_block_stride; // floats
    long key_block;
    const float *bias;
    long bias_stride; // floats from one query's bias to the next; 0 if they share it
    float *out;
    long out_stride;
    /// SageSLA: q, k and v panels hold the values of codes; NULL otherwise.
    const float *k_scale; // per key block
    const float *v_scale; // per channel
    float q_scale;
};

/// The linear branch of sparse-linear attention of one head, added to `out`.
struct dk_linear_branch {
    const float *q;
    long q_stride, dim;
    const float *state_panels; // panels of phi(k)^T v [dim, dim]
    const float *key_sum;      // sum of phi(k) [dim]
    const float *projection;   // panels of w^T [dim, dim]
    const float *bias;         // [dim] or NULL
    float *out;
    long out_stride;
};

/// One band of rows of a convolution, over all output frames.
struct dk_convolution {
    const float *x;       // [frames, height, width, in]
    const float *history; // [history_frames, height, width, in] or NULL
    long zero_frames, history_frames, frames, height, width, in, out;
    long kt, kh, kw, stride_t, stride_h, stride_w, pad_top, pad_left;
    long out_frames, out_height, out_width;
    const float *panels; // [kt * kh * kw * in, out]
    const float *bias;   // [out] or NULL
    const float *residual;
    float *result;
};

/// Functions of one level; never changes.
struct __attribute__((swift_attr("@Sendable"))) dk_kernels {
    const char *name;
    /// Rows of a tile, columns of a full panel, floats of a vector, bytes of a quantised activation.
    long mr, nr, vw, code_bytes;

    // Matrix products
    long (*panel_floats)(long k, long n);
    void (*pack_f32)(const float *w, long row_stride, long k, long n, float *panels);
    void (*pack_bf16)(const uint16_t *w, long row_stride, long k, long n, float *panels);
    void (*pack_rows)(const float *b, long row_stride, long k, long n, float *panels);
    void (*gemm)(const float *a, long a_stride, long m, long k, const float *panels, long panel_k, long n, float *c,
                 long c_stride, int accumulate);
    long (*linear_scratch)(const struct dk_linear *, long rows, long columns);
    void (*linear)(const struct dk_linear *, long row0, long row1, long column0, long column1, void *scratch);

    // Int8
    void (*quantize_blocks)(const float *x, long rows, long columns, int8_t *codes, float *scale);
    void (*pack_codes)(const float *x, long rows, long columns, long code_stride, void *codes, float *scale);

    // Attention
    long (*attention_scratch)(const struct dk_attention *, long rows);
    void (*attend)(const struct dk_attention *, long row0, long row1, const int32_t *blocks, long count, void *scratch);
    void (*block_means)(const float *x, long stride, long tokens, long dim, long block, double *out);
    void (*block_scores)(const double *query, const double *keys, long count, long dim, double *out);
    long (*branch_scratch)(long dim, long rows);
    void (*branch_state)(const float *k, long k_stride, const float *v, long v_stride, long tokens, long dim,
                         float *state, float *sum, void *scratch);
    void (*branch)(const struct dk_linear_branch *, long row0, long row1, void *scratch);

    // Rows
    void (*layer_norm)(const float *x, long rows, long dim, float epsilon, const float *weight, const float *bias,
                       int modulated, float *out);
    void (*rms_norm)(const float *x, long rows, long dim, float epsilon, const float *weight, float *out);
    void (*channel_norm)(const float *x, long rows, long dim, const float *gamma, int activation, float *out);
    void (*rotate)(float *x, long tokens, long heads, long head_dim, const float *table);

    // Elements
    void (*add)(float *x, const float *y, long n);
    void (*multiply)(float *x, const float *y, long n);
    void (*add_gated)(float *x, const float *y, const float *gate, long n);
    void (*activate)(float *x, long n, int activation);
    void (*fill)(float *x, long n, float value);
    void (*f32_to_bf16)(const float *x, uint16_t *out, long n);
    void (*bf16_to_f32)(const uint16_t *x, float *out, long n);
    void (*f32_to_f16)(const float *x, uint16_t *out, long n);
    void (*f16_to_f32)(const uint16_t *x, float *out, long n);
    void (*round_e4m3)(const float *x, float *out, long n);
    void (*quantize_frames)(const float *x, uint8_t *out, long n);
    void (*exponentials)(const float *x, float *out, long n);

    // Convolution
    long (*convolution_scratch)(const struct dk_convolution *, long rows);
    void (*convolve)(const struct dk_convolution *, long frame0, long frame1, long row0, long row1, void *scratch);
};

enum dk_level { DK_BASELINE = 0, DK_AVX2 = 1, DK_AVX512 = 2, DK_VNNI = 3 };

/// The kernels of a level, or NULL where this CPU or this build has none.
const struct dk_kernels *dk_kernels_of(enum dk_level level);
/// The best level of this CPU.
enum dk_level dk_best_level(void);

#endif
