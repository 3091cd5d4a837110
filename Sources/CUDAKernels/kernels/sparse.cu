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

/// c `[8, 8]` += a `[8, 4]` b `[4, 8]` in double precision: lane l has a[l / 4][l % 4], b[l % 4][l / 4] and c[l / 4][2 (l % 4)] and
/// the next.
DEVICE void multiply_f64(double (&c)[2], double a, double b) {
    asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
                 : "+d"(c[0]), "+d"(c[1])
                 : "d"(a), "d"(b));
}
/// `choose_blocks` for eight query blocks at once, dim 128: the keys are read once for all of them. Block (8 query blocks, head) of
/// 8 warps, of which each then takes one query block; shared memory: 8 x `key_blocks` keys of 8 bytes.
extern "C" __global__ void __launch_bounds__(256, 2)
    choose_blocks_wide(const double *queries, const double *keys, int *chosen, int query_blocks, int key_blocks, int selected) {
    extern __shared__ __align__(16) double choice_memory[];
    u64 *order = (u64 *)choice_memory;
    __shared__ int bins[8][256];
    const int head = blockIdx.y, first = blockIdx.x * 8, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    // A thread's channels are 8 c + 2 (lane % 4) and the next: any order will do, if it is the same for both.
    double2 q[16];
    const double2 *own = (const double2 *)(queries + ((i64)head * query_blocks + min(first + lane / 4, query_blocks - 1)) * 128);
#pragma unroll
    for (int c = 0; c < 16; c++) q[c] = own[4 * c + lane % 4];
    for (int b0 = warp * 8; b0 < key_blocks; b0 += 64) {
        const double2 *k = (const double2 *)(keys + ((i64)head * key_blocks + min(b0 + lane / 4, key_blocks - 1)) * 128) + lane % 4;
        double even[2] = {}, odd[2] = {};
#pragma unroll
        for (int half = 0; half < 2; half++) {
            double2 part[8];
#pragma unroll
            for (int c = 0; c < 8; c++) part[c] = k[4 * (8 * half + c)];
#pragma unroll
            for (int c = 0; c < 8; c++) {
                multiply_f64(even, q[8 * half + c].x, part[c].x);
                multiply_f64(odd, q[8 * half + c].y, part[c].y);
            }
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int b = b0 + lane % 4 * 2 + i;
            // Unsigned integers in the order of the numbers; -0 as 0.
            const u64 bits = (u64)__double_as_longlong(even[i] + odd[i] + 0.0);
            if (b < key_blocks) order[lane / 4 * key_blocks + b] = bits >> 63 ? ~bits : bits | 1ull << 63;
        }
    }
    __syncthreads();
    if (first + warp >= query_blocks) return;
    order += warp * key_blocks;
    // The selected-th greatest, 8 bits at a time: how many of those that agree so far have each value of the next 8.
    u64 threshold = 0;
    int wanted = selected;
    for (int shift = 56; shift >= 0; shift -= 8) {
#pragma unroll
        for (int i = 0; i < 8; i++) bins[warp][lane + 32 * i] = 0;
        __syncwarp();
        for (int b = lane; b < key_blocks; b += 32)
            if (shift == 56 || order[b] >> (shift + 8) == threshold >> (shift + 8))
                atomicAdd(&bins[warp][order[b] >> shift & 255], 1);
        __syncwarp();
        int own_bins[8], sum = 0;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            own_bins[i] = bins[warp][8 * lane + i];
            sum += own_bins[i];
        }
        int above = 0; // of the lanes after this one
        for (int n = 1; n < 32; n *= 2) {
            const int from = lane + n, other = __shfl_sync(0xFFFFFFFFu, sum + above, from & 31);
            if (from < 32) above += other;
        }
        const bool here = above < wanted && above + sum >= wanted;
        int digit = 0, agree = 0;
        if (here) {
            digit = 7;
            while (above + bins[warp][8 * lane + digit] < wanted) above += bins[warp][8 * lane + digit--];
            agree = bins[warp][8 * lane + digit];
            digit += 8 * lane;
        }
        const int at = __ffs(__ballot_sync(0xFFFFFFFFu, here)) - 1;
        digit = __shfl_sync(0xFFFFFFFFu, digit, at);
        above = __shfl_sync(0xFFFFFFFFu, above, at);
        agree = __shfl_sync(0xFFFFFFFFu, agree, at);
        threshold |= (u64)digit << shift;
        wanted -= above;
        if (agree == wanted) break; // all that agree are among the selected
    }
    const u32 before = (1u << lane) - 1;
    int *to = chosen + ((i64)head * query_blocks + first + warp) * selected;
    int equals = 0, written = 0, above = 0;
    for (int b = lane; b < key_blocks; b += 32) above += order[b] > threshold;
    for (int n = 16; n > 0; n /= 2) above += __shfl_xor_sync(0xFFFFFFFFu, above, n);
    for (int base = 0; base < key_blocks; base += 32) {
        const int b = base + lane;
        const bool equal = b < key_blocks && order[b] == threshold;
        const u32 equal_lanes = __ballot_sync(0xFFFFFFFFu, equal);
        const bool taken = (b < key_blocks && order[b] > threshold) ||
                           (equal && equals + __popc(equal_lanes & before) < selected - above);
        const u32 taken_lanes = __ballot_sync(0xFFFFFFFFu, taken);
        if (taken) to[written + __popc(taken_lanes & before)] = b;
        equals += __popc(equal_lanes);
        written += __popc(taken_lanes);
    }
}
