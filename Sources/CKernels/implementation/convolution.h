// Convolution, channels last, as a matrix product that reads its rows where they lie.
//
// A band of output rows keeps the last `kt` input frames in a ring of zero-padded copies; with those, every tap of
// every pixel lies at a fixed distance from the pixel, and `tile` needs one offset a tap.

#define MAX_TAPS 256

INLINE int convolution_padded(const struct dk_convolution *c) {
    return c->kh > 1 || c->kw > 1 || c->pad_top || c->pad_left || c->stride_h > 1 || c->stride_w > 1 ||
           (c->out_width - 1) * c->stride_w + c->kw > c->width || (c->out_height - 1) * c->stride_h + c->kh > c->height;
}

INLINE long band_width(const struct dk_convolution *c) { return (c->out_width - 1) * c->stride_w + c->kw; }
INLINE long band_height(const struct dk_convolution *c, long rows) { return (rows - 1) * c->stride_h + c->kh; }

static long convolution_scratch(const struct dk_convolution *c, long rows) {
    if (!convolution_padded(c)) return 64;
    return c->kt * band_height(c, rows) * band_width(c) * c->in * (long)sizeof(float);
}

/// The input frame that stands at `t` of [zeros, history, x], or NULL for zeros.
INLINE const float *input_frame(const struct dk_convolution *c, long t) {
    const long size = c->height * c->width * c->in;
    t -= c->zero_frames;
    if (t < 0) return NULL;
    return t < c->history_frames ? c->history + t * size : c->x + (t - c->history_frames) * size;
}

/// Copies the input rows of a band into `out`, with zeros around.
static void copy_band(const struct dk_convolution *c, const float *frame, long row0, long rows, float *out) {
    const long height = band_height(c, rows), width = band_width(c), row = c->width * c->in;
    const long real = least(c->width, width - c->pad_left), right = width - c->pad_left - real;
    for (long i = 0; i < height; i++, out += width * c->in) {
        const long y = row0 * c->stride_h - c->pad_top + i;
        if (y < 0 || y >= c->height) {
            memset(out, 0, (size_t)(width * c->in) * sizeof(float));
            continue;
        }
        memset(out, 0, (size_t)(c->pad_left * c->in) * sizeof(float));
        memcpy(out + c->pad_left * c->in, frame + y * row, (size_t)(real * c->in) * sizeof(float));
        memset(out + (c->pad_left + real) * c->in, 0, (size_t)(right * c->in) * sizeof(float));
    }
}

/// Writes `n` channels from `j` on of `count` pixels.
INLINE void finish_pixels(const struct dk_convolution *c, const float *sum, long stride, long pixel, long count, long j,
                          long n) {
    const float *bias = c->bias ? c->bias + j : NULL;
    for (long r = 0; r < count; r++, sum += stride) {
        float *out = c->result + (pixel + r) * c->out + j;
        const float *residual = c->residual ? c->residual + (pixel + r) * c->out + j : NULL;
        long i = 0;
        for (; i + VW <= n; i += VW) {
            vf v = load(sum + i);
            if (bias) v += load(bias + i);
            if (residual) v += load(residual + i);
            store(out + i, v);
        }
        for (; i < n; i++) out[i] = sum[i] + (bias ? bias[i] : 0) + (residual ? residual[i] : 0);
    }
}

/// Output frames `[frame0, frame1)`, rows `[row0, row1)`.
static void convolve(const struct dk_convolution *c, long frame0, long frame1, long row0, long row1, void *scratch) {
    const long rows = row1 - row0, padded = convolution_padded(c);
    const long width = padded ? band_width(c) : c->width;
    const long slot = band_height(c, rows) * width * c->in;
    const long pixels = rows * c->out_width, depth = c->kt * c->kh * c->kw * c->in;
    float *ring = scratch;
    long copied = frame0 * c->stride_t; // next input frame to copy into the ring
    for (long f = frame0; f < frame1; f++) {
        const long t0 = f * c->stride_t;
        if (copied < t0) copied = t0;
        // Zero frames come first and are skipped, with their taps.
        long skipped = c->zero_frames - t0;
        skipped = skipped < 0 ? 0 : least(skipped, c->kt);
        for (; padded && copied < t0 + c->kt; copied++) {
            const float *frame = input_frame(c, copied);
            if (frame) copy_band(c, frame, row0, rows, ring + copied % c->kt * slot);
        }
        ptrdiff_t taps[MAX_TAPS];
        long count = 0;
        const float *origin = padded ? ring : input_frame(c, t0 + skipped);
        for (long i = skipped; i < c->kt; i++) {
            const float *base = padded ? ring + (t0 + i) % c->kt * slot : input_frame(c, t0 + i);
            for (long y = 0; y < c->kh; y++)
                for (long x = 0; x < c->kw; x++)
                    taps[count++] = (ptrdiff_t)((uintptr_t)(base + (y * width + x) * c->in) - (uintptr_t)origin);
        }
        if (!padded) origin += row0 * width * c->in;
        const long first_pixel = (f * c->out_height + row0) * c->out_width;
        for (long j = 0; j < c->out; j += NR) {
            const long columns = group_width(c->out, j);
            const float *b = c->panels + j * depth + skipped * c->kh * c->kw * c->in * columns;
            const long height = columns == NR ? MR : TALL;
            for (long p = 0; p < pixels; p += height) {
                const long n = least(height, pixels - p);
                const float *at[TALL > MR ? TALL : MR];
                float sum[(TALL > MR ? TALL : MR) * NR];
                long y = p / c->out_width, x = p % c->out_width;
                for (long r = 0; r < height; r++) {
                    at[r] = origin + (y * c->stride_h * width + x * c->stride_w) * c->in;
                    if (r + 1 < n && ++x == c->out_width) {
                        x = 0;
                        y++;
                    }
                }
                (columns == NR ? tile_full : tile_tall)(at, taps, count, c->in, b, sum, columns, 0);
                finish_pixels(c, sum, columns, first_pixel + p, n, j, least(columns, c->out - j));
            }
        }
    }
}
