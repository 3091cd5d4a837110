// Which key blocks a query block attends to: means of blocks and their products, in double precision.

typedef double vd __attribute__((ext_vector_type(VW)));

/// Means `[ceil(tokens / block), dim]` of blocks of tokens; the last divides by its real size.
static void block_means(const float *x, long stride, long tokens, long dim, long block, double *out) {
    for (long first = 0; first < tokens; first += block, out += dim) {
        const long count = least(block, tokens - first);
        long i = 0;
        for (; i + VW <= dim; i += VW) {
            vd sum = (vd)(0.0);
            for (long t = first; t < first + count; t++)
                sum += __builtin_convertvector(load(x + t * stride + i), vd);
            sum = sum / (vd)((double)count);
            memcpy(out + i, &sum, sizeof sum);
        }
        for (; i < dim; i++) {
            double sum = 0;
            for (long t = first; t < first + count; t++) sum += (double)x[t * stride + i];
            out[i] = sum / (double)count;
        }
    }
}

/// `out[n] = query . keys[n]`, keys `[count, dim]`.
static void block_scores(const double *query, const double *keys, long count, long dim, double *out) {
    for (long n = 0; n < count; n++, keys += dim) {
        double s[8] = {0};
        long i = 0;
        for (; i + 8 <= dim; i += 8)
            for (int j = 0; j < 8; j++) s[j] += query[i + j] * keys[i + j];
        for (; i < dim; i++) s[0] += query[i] * keys[i];
        out[n] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }
}
