// What every kernel shares: types, bf16, reductions, tensor-core instructions. No header but this one.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define DEVICE __device__ __forceinline__
#define KERNEL extern "C" __global__ void

struct bf16 {
    u16 bits;
};
struct f16 {
    u16 bits;
};

DEVICE float to_float(float x) { return x; }
DEVICE float to_float(bf16 x) { return __uint_as_float((u32)x.bits << 16); }
DEVICE float to_float(f16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

/// Rounds to nearest even.
template <typename T> DEVICE T from_float(float x);
template <> DEVICE float from_float<float>(float x) { return x; }
template <> DEVICE bf16 from_float<bf16>(float x) {
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}
template <> DEVICE f16 from_float<f16>(float x) {
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}
/// What `x` is after a stay in memory as `T`.
template <typename T> DEVICE float rounded(float x) { return to_float(from_float<T>(x)); }

/// Two bf16, `low` at the lower address.
DEVICE u32 pack_bf16(float low, float high) {
    u32 y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

/// Eight bf16 in 16 bytes.
DEVICE void unpack8(const uint4 &v, float (&x)[8]) {
    const u32 *w = (const u32 *)&v;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        x[2 * i] = __uint_as_float(w[i] << 16);
        x[2 * i + 1] = __uint_as_float(w[i] & 0xFFFF0000u);
    }
}
DEVICE uint4 pack8(const float (&x)[8]) {
    return make_uint4(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7]));
}

/// Eight values in a row.
DEVICE void load8(const bf16 *p, float (&x)[8]) { unpack8(*(const uint4 *)p, x); }
DEVICE void load8(const float *p, float (&x)[8]) {
    const float4 low = *(const float4 *)p, high = *(const float4 *)(p + 4);
    x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w;
    x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
}

DEVICE float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

DEVICE float silu(float x) { return x / (1.0f + expf(-x)); }
/// The same by the reciprocal and the power of two that the hardware has, to 2^-20 or so: for results in bf16.
DEVICE float silu_fast(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(1.0f + exp2_fast(-1.4426950408889634f * x)));
    return x * y;
}
DEVICE float gelu_tanh(float x) {
    const float inner = 0.7978845608028654f * (x + 0.044715f * x * x * x);
    // 0.5 (1 + tanh(u)) = 1 / (1 + exp(-2u))
    return x / (1.0f + expf(-2.0f * inner));
}
/// 1: SiLU, 2: tanh GELU, otherwise nothing.
DEVICE float activate(float x, int kind) { return kind == 1 ? silu(x) : kind == 2 ? gelu_tanh(x) : x; }

/// The value of the e4m3 number next to `x`, half to even, saturating at 448.
DEVICE float round_e4m3(float x) {
    const float magnitude = fabsf(x);
    float y;
    if (magnitude >= 448.0f) {
        y = 448.0f;
    } else if (magnitude < 0.015625f) {
        y = rintf(magnitude * 512.0f) * (1.0f / 512.0f);
    } else {
        const u32 bits = __float_as_uint(magnitude);
        y = __uint_as_float((bits + 0x7FFFF + (bits >> 20 & 1)) & 0xFFF00000u);
    }
    return x < 0 ? -y : y;
}

/// Two values as e4m3 codes, rounded half to even, saturating at 448; `low` in the low byte.
DEVICE u32 e4m3_codes(float low, float high) {
#if __CUDA_ARCH__ >= 890
    u16 y;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(y) : "f"(high), "f"(low));
    return y;
#else
    u32 y = 0;
    for (int i = 0; i < 2; i++) {
        const float x = round_e4m3(i ? high : low), magnitude = fabsf(x);
        u32 code;
        if (magnitude < 0.015625f) {
            code = (u32)(magnitude * 512.0f); // 0 to 7
        } else {
            const u32 bits = __float_as_uint(magnitude);
            code = ((bits >> 23) - 120) << 3 | (bits >> 20 & 7);
        }
        y |= (code | (__float_as_uint(x) >> 31) << 7) << (8 * i);
    }
    return y;
#endif
}
/// Of eight values, times `factor`.
DEVICE uint2 codes8(const float (&x)[8], float factor) {
    return make_uint2(e4m3_codes(x[0] * factor, x[1] * factor) | e4m3_codes(x[2] * factor, x[3] * factor) << 16,
                      e4m3_codes(x[4] * factor, x[5] * factor) | e4m3_codes(x[6] * factor, x[7] * factor) << 16);
}
/// What an e4m3 code stands for.
DEVICE float e4m3_value(u32 code) {
    const u32 exponent = code >> 3 & 15, fraction = code & 7;
    const float x =
        exponent ? __uint_as_float((exponent + 120) << 23 | fraction << 20) : (float)fraction * (1.0f / 512.0f);
    return code & 128 ? -x : x;
}

// Reductions: over a warp, and over a block of whole warps (`shared`: 33 values of it).

DEVICE float warp_sum(float x) {
    for (int n = 16; n > 0; n /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, n);
    return x;
}
DEVICE float warp_max(float x) {
    for (int n = 16; n > 0; n /= 2) x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, n));
    return x;
}
template <bool MAX> DEVICE float block_reduce(float x, float *shared) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    x = MAX ? warp_max(x) : warp_sum(x);
    __syncthreads();
    if (lane == 0) shared[warp] = x;
    __syncthreads();
    float y = lane < warps ? shared[lane] : (MAX ? -3.402823466e38f : 0.0f);
    return MAX ? warp_max(y) : warp_sum(y);
}
DEVICE float block_sum(float x, float *shared) { return block_reduce<false>(x, shared); }
DEVICE float block_max(float x, float *shared) { return block_reduce<true>(x, shared); }

// Shared memory and tensor cores (sm_80 and later).

DEVICE u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }

/// 16 bytes from global to shared memory, zeros where `valid` is false (then nothing is read).
DEVICE void copy16_async(u32 to, const void *from, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most `N` groups of copies are under way.
template <int N> DEVICE void wait_copies() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

/// 4 x 4 words over four lanes, transposed: lane q gets the q-th word of each.
DEVICE void exchange(u32 (&v)[4]) {
    const bool odd = threadIdx.x & 1, high = threadIdx.x & 2;
    u32 a = __shfl_xor_sync(0xFFFFFFFFu, odd ? v[0] : v[1], 1), b = __shfl_xor_sync(0xFFFFFFFFu, odd ? v[2] : v[3], 1);
    if (odd) v[0] = a, v[2] = b;
    else v[1] = a, v[3] = b;
    a = __shfl_xor_sync(0xFFFFFFFFu, high ? v[0] : v[2], 2), b = __shfl_xor_sync(0xFFFFFFFFu, high ? v[1] : v[3], 2);
    if (high) v[0] = a, v[1] = b;
    else v[2] = a, v[3] = b;
}

/// Four 8x8 matrices of 16-bit values; lane `8 m + r` gives the address of row r of matrix m.
DEVICE void load_matrices(u32 (&r)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}
DEVICE void load_matrices_transposed(u32 (&r)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}
/// c `[16, 8]` += a `[16, 16]` b `[16, 8]`, bf16 with float32 sums.
DEVICE void multiply_bf16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Hopper's own products: a group of four warps multiplies straight from shared memory, beside whatever its threads do.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) || defined(EMULATES_HOPPER)
#define HAS_HOPPER 1

/// A tile in shared memory whose rows are 128 bytes, chunks of 16 bytes at their place exclusive-or row % 8; begins at a
/// multiple of 1024 bytes. `across`: bytes between parts of 64 columns, for tiles read across their rows; `down`: between
/// groups of 8 rows.
DEVICE u64 tile_descriptor(u32 address, u32 across = 16, u32 down = 1024) {
    return (u64)(address >> 4 & 0x3FFF) | (u64)(across >> 4) << 16 | (u64)(down >> 4) << 32 | 1ull << 62;
}
/// What was copied to shared memory becomes visible to the products of others, once all have passed a barrier.
DEVICE void publish_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
DEVICE void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Waits until at most `N` groups of products are under way.
template <int N> DEVICE void wait_products() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }

// The sums that one thread holds of a group's product, as operands and by their names.
#define SUMS_4(kind, i) kind(c[i][0]), kind(c[i][1]), kind(c[i][2]), kind(c[i][3])
#define SUMS_16(kind, i) SUMS_4(kind, i), SUMS_4(kind, i + 1), SUMS_4(kind, i + 2), SUMS_4(kind, i + 3)
#define SUMS_32(kind) SUMS_16(kind, 0), SUMS_16(kind, 4)
#define SUMS_48(kind) SUMS_32(kind), SUMS_16(kind, 8)
#define SUMS_64(kind) SUMS_48(kind), SUMS_16(kind, 12)
#define NAMES_32 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
    "%24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES_48 NAMES_32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define NAMES_64 NAMES_48 ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

/// c `[64, 96]` += a `[64, 16]` b `[96, 16]`^T; thread t of the group holds of columns 8 j + t % 4 * 2 (and the next) the
/// rows t / 32 * 16 + t % 32 / 4 (c[j][0], c[j][1]) and 8 below (c[j][2], c[j][3]).
DEVICE void multiply_group(float (&c)[12][4], u64 a, u64 b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n96k16.f32.bf16.bf16 {"
        NAMES_48 "}, %48, %49, 1, 1, 1, 0, 0;"
        : SUMS_48("+f")
        : "l"(a), "l"(b));
}
/// c `[64, 8]` += a `[64, 16]` b `[8, 16]`^T, laid out as that.
DEVICE void multiply_group(float (&c)[1][4], u64 a, u64 b) {
    asm volatile("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%0, %1, %2, %3}, %4, %5, 1, 1, 1, 0, 0;"
                 : "+f"(c[0][0]), "+f"(c[0][1]), "+f"(c[0][2]), "+f"(c[0][3])
                 : "l"(a), "l"(b));
}
/// c `[64, 64]` += a `[64, 16]` b `[64, 16]`^T, laid out as that.
DEVICE void multiply_group(float (&c)[8][4], u64 a, u64 b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
        NAMES_32 "}, %32, %33, 1, 1, 1, 0, 0;"
        : SUMS_32("+f")
        : "l"(a), "l"(b));
}
/// c `[64, 128]` += a `[64, 16]` b `[16, 128]`: a in registers as for `multiply_bf16`, 16 rows a warp; b read across its rows.
DEVICE void multiply_group(float (&c)[16][4], const u32 (&a)[4], u64 b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        NAMES_64 "}, {%64, %65, %66, %67}, %68, 1, 1, 1, 1;"
        : SUMS_64("+f")
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}
/// The compiler computes these values here, not after what follows.
DEVICE void settle(float (&c)[16][4]) {
#pragma unroll
    for (int i = 0; i < 16; i++) asm volatile("" : SUMS_4("+f", i)::"memory");
}
DEVICE void settle(int (&c)[16][4]) {
#pragma unroll
    for (int i = 0; i < 16; i++) asm volatile("" : SUMS_4("+r", i)::"memory");
}
// Barriers in shared memory, and the copy engine.

/// A tensor as the copy engine knows it (`CUtensorMap`).
struct alignas(64) TensorMap {
    u64 words[16];
};

DEVICE void barrier_start(u32 barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
DEVICE void barriers_started() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
DEVICE void barrier_arrive(u32 barrier, int times = 1) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(times) : "memory");
}
/// Arrives, and lets the phase wait for so many bytes.
DEVICE void barrier_expect(u32 barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
/// Waits until the phase of this parity has ended.
DEVICE void barrier_wait(u32 barrier, int parity) {
    u32 done;
    do {
        asm volatile("{\n\t.reg .pred p;\n\tmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\t"
                     "selp.u32 %0, 1, 0, p;\n\t}"
                     : "=r"(done)
                     : "r"(barrier), "r"(parity)
                     : "memory");
    } while (!done);
}
DEVICE void copy_box(u32 to, const TensorMap &map, u32 barrier, int column, int head, int token) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];"
                 ::"r"(to), "l"(&map), "r"(column), "r"(head), "r"(token), "r"(barrier)
                 : "memory");
}
DEVICE void store_box(const TensorMap &map, u32 from, int column, int head, int token) {
    asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%1, %2, %3}], [%4];"
                 ::"l"(&map), "r"(column), "r"(head), "r"(token), "r"(from)
                 : "memory");
}
/// Until shared memory has been read.
DEVICE void wait_stores() {
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
    asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}
DEVICE u32 load_shared(u32 from) {
    u32 x;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(x) : "r"(from) : "memory");
    return x;
}
DEVICE void store_shared(u32 to, u32 x) { asm volatile("st.shared.u32 [%0], %1;" ::"r"(to), "r"(x) : "memory"); }
DEVICE void named_sync(int id, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
DEVICE void named_arrive(int id, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
template <int N> DEVICE void more_registers() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N)); }
template <int N> DEVICE void fewer_registers() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N)); }

/// The sum over the four threads that hold a row.
DEVICE float quad_sum(float x) {
    x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
    return x + __shfl_xor_sync(0xFFFFFFFFu, x, 2);
}
/// A group's 64 rows of 128 bf16 in shared memory, two parts of 64 columns `apart`: where this thread's row of half `r` of its
/// sums keeps columns 8 t + lane % 4 * 2 and the next.
DEVICE u32 pair_place(u32 rows, int apart, int t, int r) {
    const int row = threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4 + 8 * r;
    return rows + t / 8 * apart + row * 128 + ((t % 8 ^ (row & 7)) << 4) + threadIdx.x % 4 * 4;
}
/// A group's sums, with the linear branch times `factor` and plus `shift` (or null), to their places.
template <bool BRANCH> DEVICE void put_rows(const float (&o)[16][4], const float (&factor)[2], const float *shift, u32 rows, int apart) {
#pragma unroll
    for (int t = 0; t < 16; t++) {
        float2 more = make_float2(0, 0);
        if (BRANCH && shift) more = *(const float2 *)(shift + 8 * t + threadIdx.x % 4 * 2);
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float low = o[t][2 * r], high = o[t][2 * r + 1];
            if (BRANCH) low = fmaf(low, factor[r], more.x), high = fmaf(high, factor[r], more.y);
            store_shared(pair_place(rows, apart, t, r), pack_bf16(low, high));
        }
    }
}
/// Rows that are in their places go out; until shared memory has been read.
DEVICE void store_rows(const TensorMap &map, u32 rows, int apart, int head, int token) {
    store_box(map, rows, 0, head, token);
    store_box(map, rows + apart, 64, head, token);
    wait_stores();
}
/// The linear branch of one query of this thread: phi (softmax over its 128 channels, of which `read(t)` gives 8 t + lane % 4 * 2
/// and the next) goes to `take(t, two in bf16)`; returns 1 / (1e-5 + phi . key_sum).
template <typename READ, typename TAKE> DEVICE float linear_operands(const float *key_sum, READ read, TAKE take) {
    constexpr float LOG2E = 1.4426950408889634f;
    const int lane = threadIdx.x % 32;
    float phi[16][2], most = -1e30f, all = 0, dot = 0;
#pragma unroll
    for (int t = 0; t < 16; t++) {
        const u32 two = read(t);
        phi[t][0] = __uint_as_float(two << 16);
        phi[t][1] = __uint_as_float(two & 0xFFFF0000u);
        most = fmaxf(most, fmaxf(phi[t][0], phi[t][1]));
    }
    most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 1));
    most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 2)) * LOG2E;
#pragma unroll
    for (int t = 0; t < 16; t++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            phi[t][i] = exp2_fast(fmaf(phi[t][i], LOG2E, -most));
            all += phi[t][i];
        }
    all += __shfl_xor_sync(0xFFFFFFFFu, all, 1);
    all += __shfl_xor_sync(0xFFFFFFFFu, all, 2);
    const float share = 1.0f / all;
#pragma unroll
    for (int t = 0; t < 16; t++) {
        const float2 keys = *(const float2 *)(key_sum + 8 * t + lane % 4 * 2);
        phi[t][0] *= share;
        phi[t][1] *= share;
        dot += phi[t][0] * keys.x + phi[t][1] * keys.y;
        take(t, pack_bf16(phi[t][0], phi[t][1]));
    }
    dot += __shfl_xor_sync(0xFFFFFFFFu, dot, 1);
    dot += __shfl_xor_sync(0xFFFFFFFFu, dot, 2);
    return 1.0f / (1e-5f + dot);
}
/// Two values rounded to e4m3, as bf16, `low` at the lower address.
DEVICE u32 pack_e4m3(float low, float high) {
    u32 y;
    asm("{\n\t.reg .b16 codes, a, b;\n\t.reg .b32 halves;\n\t.reg .f32 x, y;\n\t"
        "cvt.rn.satfinite.e4m3x2.f32 codes, %1, %2;\n\tcvt.rn.f16x2.e4m3x2 halves, codes;\n\t"
        "mov.b32 {a, b}, halves;\n\tcvt.f32.f16 x, a;\n\tcvt.f32.f16 y, b;\n\tcvt.rn.bf16x2.f32 %0, y, x;\n\t}"
        : "=r"(y)
        : "f"(high), "f"(low));
    return y;
}
#endif

/// Where output pixels find their inputs. x `[frames, height, width, in]`, before it `history` and, before that, frames
/// of zeros: `first` = -(zeros), counted in frames of the history and x together.
struct Window {
    const void *history;
    int history_frames, frames, height, width, in;
    int kh, kw; // taps: time outermost, width innermost
    int stride_t, stride_h, stride_w;
    int first, top, left; // input position of tap 0 of output 0
    int out_height, out_width;
};
static_assert(sizeof(Window) == 72, "KernelArguments.swift says so, too");

/// What a matrix product does with `y = x w^T` before it writes: `kind` as named below.
struct Epilogue {
    const float *bias;   // [n] or null
    const void *operand; // gate f32 [n]; factor or residual [m, n] of the output's type
    int kind;
    int rounds_first; // y becomes bf16 before the bias (int8 layers)
};
static_assert(sizeof(Epilogue) == 24, "KernelArguments.swift says so, too");
enum { STORE = 0, SILU = 1, GELU = 2, ACCUMULATE = 3, GATED = 4, MULTIPLY = 5, RESIDUAL = 6 };

template <typename TO> DEVICE TO finished(const TO *out, i64 index, int column, float y, const Epilogue &e) {
    if (e.rounds_first) y = rounded<bf16>(y);
    if (e.bias) y += e.bias[column];
    if (e.kind == SILU || e.kind == GELU) y = activate(y, e.kind);
    if (e.kind == ACCUMULATE) y = to_float(out[index]) + y;
    if (e.kind == GATED) y = to_float(out[index]) + ((const float *)e.operand)[column] * y;
    if (e.kind == MULTIPLY) y = y * to_float(((const TO *)e.operand)[index]);
    if (e.kind == RESIDUAL) y = to_float(((const TO *)e.operand)[index]) + y;
    return from_float<TO>(y);
}

/// `finish_placed` for bf16 whose columns come in aligned eights: 16 bytes a thread.
template <typename PLACE>
DEVICE void finish_eights(const float *tile, int rows, int eights, int stride, bf16 *out, PLACE place, int column0,
                          int n, const Epilogue &e) {
#pragma unroll 1
    for (int i = threadIdx.x; i < rows * eights; i += blockDim.x) {
        const int r = i / eights, c = i % eights * 8;
        const i64 row = place(r);
        if (row < 0) continue;
        bf16 *to = out + row * n + column0 + c;
        float y[8], other[8];
        *(float4 *)y = *(const float4 *)(tile + r * stride + c);
        *(float4 *)(y + 4) = *(const float4 *)(tile + r * stride + c + 4);
        if (e.rounds_first)
            for (int j = 0; j < 8; j++) y[j] = rounded<bf16>(y[j]);
        if (e.bias) {
            *(float4 *)other = *(const float4 *)(e.bias + column0 + c);
            *(float4 *)(other + 4) = *(const float4 *)(e.bias + column0 + c + 4);
            for (int j = 0; j < 8; j++) y[j] += other[j];
        }
        if (e.kind == SILU || e.kind == GELU)
            for (int j = 0; j < 8; j++) y[j] = activate(y[j], e.kind);
        if (e.kind == GATED) {
            *(float4 *)other = *(const float4 *)((const float *)e.operand + column0 + c);
            *(float4 *)(other + 4) = *(const float4 *)((const float *)e.operand + column0 + c + 4);
            for (int j = 0; j < 8; j++) y[j] *= other[j];
        }
        if (e.kind == MULTIPLY || e.kind == RESIDUAL) {
            unpack8(*(const uint4 *)((const bf16 *)e.operand + row * n + column0 + c), other);
            for (int j = 0; j < 8; j++) y[j] = e.kind == MULTIPLY ? y[j] * other[j] : y[j] + other[j];
        }
        if (e.kind == ACCUMULATE || e.kind == GATED) {
            unpack8(*(const uint4 *)to, other);
            for (int j = 0; j < 8; j++) y[j] += other[j];
        }
        *(uint4 *)to = pack8(y);
    }
}

/// Finishes a tile `[rows, columns]` of sums in shared memory, `stride` floats a row: element (r, c) is out[place(r),
/// column0 + c] of `[., n]`, and nothing where `place` is negative. Neighbouring threads write neighbouring columns. The
/// caller has synchronised.
template <typename TO, typename PLACE>
DEVICE void finish_placed(const float *tile, int rows, int columns, int stride, TO *out, PLACE place, int column0,
                          int n, const Epilogue &e) {
    const int wanted = min(columns, n - column0), pairs = (wanted + 1) / 2;
    if (sizeof(TO) == 2 && n % 8 == 0 && column0 % 8 == 0 && stride % 4 == 0 && (u64)out % 16 == 0 &&
        (u64)e.bias % 16 == 0 && (u64)e.operand % 16 == 0)
        return finish_eights(tile, rows, wanted / 8, stride, (bf16 *)out, place, column0, n, e);
#pragma unroll 1
    for (int i = threadIdx.x; i < rows * pairs; i += blockDim.x) {
        const int r = i / pairs, c = i % pairs * 2;
        const i64 row = place(r);
        if (row < 0) continue;
        const i64 index = row * n + column0 + c;
        const float *from = tile + r * stride + c;
        const TO low = finished(out, index, column0 + c, from[0], e);
        if (c + 1 < wanted) {
            const TO high = finished(out, index + 1, column0 + c + 1, from[1], e);
            struct alignas(2 * sizeof(TO)) Pair {
                TO low, high;
            };
            if ((u64)(out + index) % sizeof(Pair) == 0) {
                *(Pair *)(out + index) = Pair{low, high};
                continue;
            }
            out[index + 1] = high;
        }
        out[index] = low;
    }
}
/// The same with rows that follow each other from `row0`, as far as there are `m`.
template <typename TO>
DEVICE void finish_tile(const float *tile, int rows, int columns, int stride, TO *out, i64 row0, int column0, i64 m,
                        int n, const Epilogue &e) {
    finish_placed(tile, rows, columns, stride, out, [=](int r) { return row0 + r < m ? row0 + r : (i64)-1; }, column0,
                  n, e);
}
