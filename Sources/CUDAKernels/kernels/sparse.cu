// Which key blocks a query block attends to. q, k: `[tokens, heads, dim]`. Source: TurboDiffusion SLA/core.py, utils.py.
#include "common.cuh"

// MARK: Block choice, in double precision: every backend chooses the same

/// means `[heads, blocks, dim]` of blocks of tokens; the last divides by its real size. Block (block, head).
template <typename T> DEVICE void block_means(const T *x, double *means, int tokens, int heads, int dim, int block) {
    const int first = blockIdx.x * block, count = min(block, tokens - first), head = blockIdx.y;
    for (int c = threadIdx.x; c < dim; c += blockDim.x) {
        double sum = 0;
        const T *from = x + ((i64)first * heads + head) * dim + c;
        for (int t = 0; t < count; t++) sum += (double)to_float(from[(i64)t * heads * dim]);
        means[((i64)head * gridDim.x + blockIdx.x) * dim + c] = sum / count;
    }
}
KERNEL block_means_f32(const float *x, double *means, int tokens, int heads, int dim, int block) {
    block_means(x, means, tokens, heads, dim, block);
}
KERNEL block_means_bf16(const bf16 *x, double *means, int tokens, int heads, int dim, int block) {
    block_means(x, means, tokens, heads, dim, block);
}

/// The same for bf16 heads of 128 channels, 16-byte aligned: 16 rows of 16 threads, 8 channels a thread.
KERNEL block_means_wide(const bf16 *x, double *means, int tokens, int heads, int block) {
    __shared__ double parts[16][128];
    const int first = blockIdx.x * block, count = min(block, tokens - first), head = blockIdx.y;
    const int row = threadIdx.x / 16, lane = threadIdx.x % 16;
    const uint4 *from = (const uint4 *)(x + ((i64)first * heads + head) * 128) + lane;
    double sum[8] = {};
    for (int t = row; t < count; t += 16) {
        float v[8];
        unpack8(from[(i64)t * heads * 16], v);
#pragma unroll
        for (int i = 0; i < 8; i++) sum[i] += (double)v[i];
    }
#pragma unroll
    for (int i = 0; i < 8; i++) parts[row][lane * 8 + i] = sum[i];
    __syncthreads();
    if (threadIdx.x < 128) {
        double total = 0;
        for (int r = 0; r < 16; r++) total += parts[r][threadIdx.x];
        means[((i64)head * gridDim.x + blockIdx.x) * 128 + threadIdx.x] = total / count;
    }
}

/// mean `[heads, dim]` = mean over all tokens of the block means; then means -= mean. One block a head, 8 parts of
/// 128 threads.
extern "C" __global__ void __launch_bounds__(1024) center_means(double *means, double *mean, int tokens, int dim, int block, int blocks) {
    __shared__ double parts[8][128];
    const int head = blockIdx.x, lane = threadIdx.x % 128, part = threadIdx.x / 128;
    double *own = means + (i64)head * blocks * dim;
    for (int c0 = 0; c0 < dim; c0 += 128) {
        const int c = c0 + lane;
        double sum = 0;
        if (c < dim)
            for (int b = part; b < blocks; b += 8) {
                const double share = (double)min(block, tokens - b * block) / tokens;
                sum += own[(i64)b * dim + c] * share;
            }
        parts[part][lane] = sum;
        __syncthreads();
        double total = 0;
        for (int i = 0; i < 8; i++) total += parts[i][lane];
        if (c < dim) {
            for (int b = part; b < blocks; b += 8) own[(i64)b * dim + c] -= total;
            if (part == 0) mean[head * dim + c] = total;
        }
        __syncthreads();
    }
}

/// chosen `[heads, query blocks, selected]`, ascending: the blocks of greatest q . k, of equals the earlier. Block (query
/// block, head) of 256 threads; shared memory: dim doubles and `key_blocks` keys of 8 bytes.
KERNEL choose_blocks(const double *queries, const double *keys, int *chosen, int key_blocks, int dim, int selected) {
    extern __shared__ __align__(16) double choice_memory[];
    double *q = choice_memory;
    u64 *order = (u64 *)(q + dim);
    const int head = blockIdx.y, tid = threadIdx.x, lane = tid % 32;
    const i64 at = (i64)head * gridDim.x + blockIdx.x;
    for (int c = tid; c < dim; c += blockDim.x) q[c] = queries[at * dim + c];
    __syncthreads();
    // Four key blocks a warp at once.
    for (int b0 = tid / 32 * 4; b0 < key_blocks; b0 += blockDim.x / 32 * 4) {
        const double *k = keys + ((i64)head * key_blocks + b0) * dim;
        const int count = min(4, key_blocks - b0);
        double dot[4] = {};
        for (int c = lane; c < dim; c += 32)
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (i < count) dot[i] += q[c] * k[i * dim + c];
#pragma unroll
        for (int i = 0; i < 4; i++)
            for (int n = 16; n > 0; n /= 2) dot[i] += __shfl_xor_sync(0xFFFFFFFFu, dot[i], n);
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (lane == i && i < count) {
                // Unsigned integers in the order of the numbers; -0 as 0.
                const u64 bits = (u64)__double_as_longlong(dot[i] + 0.0);
                order[b0 + i] = bits >> 63 ? ~bits : bits | 1ull << 63;
            }
    }
    // The selected-th greatest, 8 bits at a time: how many of those that agree so far have each value of the next 8.
    __shared__ int bins[256];
    __shared__ int found[3]; // those 8 bits, how many are above, how many agree
    u64 threshold = 0;
    int wanted = selected;
    for (int shift = 56; shift >= 0; shift -= 8) {
        bins[tid] = 0;
        __syncthreads();
        for (int b = tid; b < key_blocks; b += blockDim.x)
            if (shift == 56 || order[b] >> (shift + 8) == threshold >> (shift + 8))
                atomicAdd(&bins[order[b] >> shift & 255], 1);
        __syncthreads();
        if (tid < 32) {
            int own = 0, above = 0;
            for (int i = 0; i < 8; i++) own += bins[8 * lane + i];
            for (int n = 0; n < 32; n++) {
                const int other = __shfl_sync(0xFFFFFFFFu, own, n);
                if (n > lane) above += other;
            }
            if (above < wanted && above + own >= wanted) {
                int digit = 8 * lane + 7;
                while (above + bins[digit] < wanted) above += bins[digit--];
                found[0] = digit, found[1] = above, found[2] = bins[digit];
            }
        }
        __syncthreads();
        threshold |= (u64)found[0] << shift;
        wanted -= found[1];
        if (found[2] == wanted) break; // all that agree are among the selected
        __syncthreads();
    }
    int above = 0;
    for (int base = 0; base < key_blocks; base += blockDim.x)
        above += __syncthreads_count(base + tid < key_blocks && order[base + tid] > threshold);
    if (tid >= 32) return;
    const u32 before = (1u << lane) - 1;
    int equals = 0, written = 0;
    for (int base = 0; base < key_blocks; base += 32) {
        const int b = base + lane;
        const bool equal = b < key_blocks && order[b] == threshold;
        const u32 equal_lanes = __ballot_sync(0xFFFFFFFFu, equal);
        const bool taken = (b < key_blocks && order[b] > threshold) ||
                           (equal && equals + __popc(equal_lanes & before) < selected - above);
        const u32 taken_lanes = __ballot_sync(0xFFFFFFFFu, taken);
        if (taken) chosen[at * selected + written + __popc(taken_lanes & before)] = b;
        equals += __popc(equal_lanes);
        written += __popc(taken_lanes);
    }
}
