// Stands in for libcuda, NVRTC and cuBLASLt: memory is counted, copies are checked against it, kernels do nothing.
// Films made with it are black; what is proven is who allocates how much, and what happens when the GPU refuses.
#define _GNU_SOURCE
#include "FakeCUDA.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t address;

struct piece {
    address start;
    int64_t size;
    struct piece *next;
};

struct pinned {
    void *start;
    int64_t size;
    struct pinned *next;
};

enum { buckets = 4096, out_of_memory = 2, launch_failed = 719, illegal_address = 700, capture_invalid = 901, update_failed = 910 };

static struct fake_cuda state;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct piece *pieces[buckets];
static struct pinned *pinned;
static address next_address = 1ull << 40;
static int current_device;
static bool is_dead;
/// While work is noted: how many pieces so far.
static bool is_capturing;
static int64_t captured_pieces;

static int64_t setting(const char *text, const char *name) {
    const char *at = text ? strstr(text, name) : NULL;
    return at && at[strlen(name)] == '=' ? atoll(at + strlen(name) + 1) : 0;
}

/// Begins anew. What was allocated before stays known, so that it can still be given back.
void fake_cuda_configure(const struct fake_cuda *wanted) {
    pthread_mutex_lock(&lock);
    int64_t used = state.used, count = state.pieces, host = state.pinned;
    state = *wanted;
    state.used = state.most = used;
    state.pieces = count;
    state.pinned = host;
    is_dead = false;
    pthread_mutex_unlock(&lock);
}

void fake_cuda_read(struct fake_cuda *into) {
    pthread_mutex_lock(&lock);
    *into = state;
    pthread_mutex_unlock(&lock);
}

/// For other processes: FAKE_CUDA="devices=2 memory=... fail_launch=20 bad_device=1".
__attribute__((constructor)) static void configure_by_environment(void) {
    const char *text = getenv("FAKE_CUDA");
    if (!text) return;
    state.memory = setting(text, "memory");
    state.devices = setting(text, "devices");
    state.fail_allocation = setting(text, "fail_allocation");
    state.fail_launch = setting(text, "fail_launch");
    state.hang_wait = setting(text, "hang_wait");
    state.fail_capture = setting(text, "fail_capture");
    state.refuses_update = setting(text, "refuses_update");
    state.bad_device = strstr(text, "bad_device=") ? setting(text, "bad_device") : -1;
}

static int64_t capacity(void) { return state.memory ? state.memory : 80ll << 30; }
static bool is_bad(void) { return state.bad_device < 0 || state.bad_device == current_device; }
static int status(void) { return is_dead ? launch_failed : 0; }

static struct piece **find(address start) {
    struct piece **at = &pieces[start / 256 % buckets];
    while (*at && (*at)->start != start) at = &(*at)->next;
    return at;
}

/// Whether all of it lies in one piece; looked for only where it begins inside one.
static void expect(address start, int64_t size) {
    for (int i = 0; i < buckets; i++)
        for (struct piece *p = pieces[i]; p; p = p->next)
            if (start >= p->start && start < p->start + (address)p->size) {
                if (start + size > p->start + p->size) state.mistakes++;
                return;
            }
    state.mistakes++;
}

#define LOCKED(...)                                                                                                    \
    pthread_mutex_lock(&lock);                                                                                         \
    int result = status();                                                                                             \
    if (!result) __VA_ARGS__;                                                                                               \
    pthread_mutex_unlock(&lock);                                                                                       \
    return result;

// Errors, devices

int cuGetErrorName(int code, const char **text) {
    *text = code == out_of_memory ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_LAUNCH_FAILED";
    return 0;
}
int cuGetErrorString(int code, const char **text) {
    *text = code == out_of_memory ? "out of memory" : "unspecified launch failure";
    return 0;
}
int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *version) {
    *version = 13000;
    return 0;
}
int cuDeviceGetCount(int *count) {
    *count = state.devices ? (int)state.devices : 1;
    return 0;
}
int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return 0;
}
int cuDeviceGetName(char *name, int size, int device) {
    snprintf(name, size, "fake GPU %d", device);
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    switch (attribute) {
    case 75: *value = 9; break;                     // compute capability, major
    case 76: *value = 0; break;                     // and minor
    case 16: *value = 132; break;                   // multiprocessors
    case 97: *value = (200 << 10) + 27648; break;   // shared memory of a block
    default: *value = 1;
    }
    return 0;
}
int cuDeviceGetPCIBusId(char *name, int size, int device) {
    snprintf(name, size, "0000:%02x:00.0", device);
    return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    *bytes = capacity();
    return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = (void *)(intptr_t)(device + 1);
    current_device = device;
    return 0;
}
int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
int cuCtxSetCurrent(void *context) {
    current_device = (int)(intptr_t)context - 1;
    return 0;
}

// Memory

int cuDeviceGetDefaultMemPool(void **pool, int device) {
    *pool = (void *)1;
    return 0;
}
int cuMemPoolSetAttribute(void *pool, int attribute, void *value) { return 0; }
int cuMemPoolGetAttribute(void *pool, int attribute, void *value) {
    *(uint64_t *)value = state.used;
    return 0;
}
int cuMemPoolTrimTo(void *pool, size_t bytes) { return 0; }
int cuMemGetInfo_v2(size_t *available, size_t *total) {
    *total = capacity();
    *available = capacity() > state.used ? capacity() - state.used : 0;
    return status();
}

int cuMemAllocAsync(address *into, size_t size, void *stream) {
    LOCKED({
        // This program's noted work allocates nothing.
        if (is_capturing) state.mistakes++;
        state.allocations++;
        // The program trims its pool and tries again: that fails, too.
        bool fails = state.fail_allocation
            && (state.allocations == state.fail_allocation || state.allocations == state.fail_allocation + 1);
        if (state.used + (int64_t)size > capacity() || fails) {
            result = out_of_memory;
        } else {
            struct piece *piece = malloc(sizeof *piece);
            struct piece **head = &pieces[next_address / 256 % buckets];
            *piece = (struct piece){next_address, (int64_t)size, *head};
            *head = piece;
            *into = next_address;
            next_address += (size + 511) / 256 * 256;
            state.used += size;
            state.pieces++;
            if (state.used > state.most) state.most = state.used;
        }
    })
}

int cuMemFreeAsync(address start, void *stream) {
    pthread_mutex_lock(&lock);
    if (is_capturing) state.mistakes++;
    struct piece **at = find(start);
    struct piece *piece = *at;
    if (piece) {
        *at = piece->next;
        state.used -= piece->size;
        state.pieces--;
        free(piece);
    } else {
        state.mistakes++;
    }
    pthread_mutex_unlock(&lock);
    return status();
}

int cuMemHostAlloc(void **into, size_t size, unsigned flags) {
    // Nothing is written to it, so that any size costs nothing.
    void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) return out_of_memory;
    LOCKED({
        struct pinned *one = malloc(sizeof *one);
        *one = (struct pinned){start, (int64_t)size, pinned};
        pinned = one;
        state.pinned += size;
        *into = start;
    })
}

// Not supported: what is registered would have to be real memory.
int cuMemHostRegister_v2(void *start, size_t size, unsigned flags) { return 801; }
int cuMemHostUnregister(void *start) { return 801; }

int cuMemFreeHost(void *start) {
    pthread_mutex_lock(&lock);
    struct pinned **at = &pinned;
    while (*at && (*at)->start != start) at = &(*at)->next;
    struct pinned *one = *at;
    if (one) {
        *at = one->next;
        state.pinned -= one->size;
        munmap(one->start, one->size);
        free(one);
    } else {
        state.mistakes++;
    }
    pthread_mutex_unlock(&lock);
    return status();
}

static bool is_pinned(const void *start) {
    for (struct pinned *one = pinned; one; one = one->next)
        if ((const char *)start >= (char *)one->start && (const char *)start < (char *)one->start + one->size) return true;
    return false;
}

int cuMemcpyHtoDAsync_v2(address to, const void *from, size_t size, void *stream) { LOCKED({ expect(to, size); }) }
int cuMemcpyDtoHAsync_v2(void *to, address from, size_t size, void *stream) {
    LOCKED({
        expect(from, size);
        if (!is_pinned(to)) memset(to, 0, size);
    })
}
int cuMemcpyDtoDAsync_v2(address to, address from, size_t size, void *stream) {
    LOCKED({
        captured_pieces += is_capturing;
        expect(to, size);
        expect(from, size);
    })
}
int cuMemsetD8Async(address to, unsigned char value, size_t size, void *stream) { LOCKED({ expect(to, size); }) }

// Queues and events

int cuStreamCreate(void **stream, unsigned flags) {
    *stream = malloc(1);
    return 0;
}
int cuStreamDestroy_v2(void *stream) {
    free(stream);
    return 0;
}
int cuStreamSynchronize(void *stream) {
    pthread_mutex_lock(&lock);
    if (is_capturing) state.mistakes++;
    bool hangs = ++state.waits == state.hang_wait && is_bad();
    pthread_mutex_unlock(&lock);
    while (hangs) pause();
    return status();
}
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) { return status(); }
int cuEventCreate(void **event, unsigned flags) {
    *event = calloc(1, sizeof(double));
    return 0;
}
int cuEventRecord(void *event, void *stream) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *(double *)event = now.tv_sec * 1e3 + now.tv_nsec * 1e-6;
    return status();
}
int cuEventSynchronize(void *event) { return status(); }
int cuEventElapsedTime(float *milliseconds, void *start, void *end) {
    *milliseconds = (float)(*(double *)end - *(double *)start);
    return status();
}
int cuEventDestroy_v2(void *event) {
    free(event);
    return 0;
}

// Kernels

int cuModuleLoadData(void **module, const void *code) {
    *module = (void *)1;
    return status();
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
    *function = (void *)1;
    return status();
}
int cuFuncGetAttribute(int *value, int attribute, void *function) {
    *value = 0;
    return status();
}
int cuFuncSetAttribute(void *function, int attribute, int value) { return status(); }
int cuLaunchKernel(
    void *function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned ty, unsigned tz, unsigned shared,
    void *stream, void **arguments, void **extra) {
    LOCKED({
        if (is_capturing) {
            captured_pieces++;
        } else if (++state.launches == state.fail_launch && is_bad()) {
            is_dead = true;
            result = illegal_address;
        }
    })
}

// Graphs: a number of pieces

int cuStreamBeginCapture_v2(void *stream, int mode) {
    LOCKED({
        state.captures++;
        is_capturing = true;
        captured_pieces = 0;
    })
}
int cuStreamEndCapture(void *stream, void **graph) {
    LOCKED({
        is_capturing = false;
        *graph = NULL;
        if (state.captures == state.fail_capture) {
            result = capture_invalid;
        } else {
            state.noted += captured_pieces;
            *graph = malloc(sizeof captured_pieces);
            *(int64_t *)*graph = captured_pieces;
        }
    })
}
int cuGraphDestroy(void *graph) {
    free(graph);
    return 0;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
    LOCKED({
        state.graphs++;
        *executable = malloc(sizeof captured_pieces);
        *(int64_t *)*executable = *(int64_t *)graph;
    })
}
int cuGraphExecUpdate_v2(void *executable, void *graph, void *outcome) {
    LOCKED({
        if (state.refuses_update || *(int64_t *)executable != *(int64_t *)graph) result = update_failed;
        else state.updates++;
    })
}
int cuGraphLaunch(void *executable, void *stream) {
    LOCKED({ state.graph_launches++; })
}
int cuGraphExecDestroy(void *executable) {
    free(executable);
    return 0;
}

// NVRTC

int nvrtcVersion(int *major, int *minor) {
    *major = 13;
    *minor = 0;
    return 0;
}
const char *nvrtcGetErrorString(int code) { return "fake"; }
int nvrtcCreateProgram(void **program, const char *s, const char *n, int count, const char *const *h, const char *const *i) {
    *program = malloc(1);
    return 0;
}
int nvrtcCompileProgram(void *program, int count, const char *const *options) { return 0; }
int nvrtcDestroyProgram(void **program) {
    free(*program);
    return 0;
}
int nvrtcGetProgramLogSize(void *program, size_t *size) {
    *size = 0;
    return 0;
}
int nvrtcGetProgramLog(void *program, char *text) { return 0; }
int nvrtcGetCUBINSize(void *program, size_t *size) {
    *size = 5;
    return 0;
}
int nvrtcGetCUBIN(void *program, char *code) {
    memcpy(code, "fake", 5);
    return 0;
}

// cuBLASLt

int cublasLtCreate(void **handle) {
    *handle = (void *)1;
    return 0;
}
int cublasLtMatmulDescCreate(void **description, int compute, int scale) {
    *description = (void *)1;
    return 0;
}
int cublasLtMatmulDescDestroy(void *description) { return 0; }
int cublasLtMatmulDescSetAttribute(void *description, int attribute, const void *value, size_t size) { return 0; }
int cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    *layout = (void *)1;
    return 0;
}
int cublasLtMatrixLayoutDestroy(void *layout) { return 0; }
int cublasLtMatmulPreferenceCreate(void **preference) {
    *preference = (void *)1;
    return 0;
}
int cublasLtMatmulPreferenceSetAttribute(void *preference, int attribute, const void *value, size_t size) { return 0; }
int cublasLtMatmulPreferenceDestroy(void *preference) { return 0; }
int cublasLtMatmulAlgoGetHeuristic(
    void *handle, void *d, void *a, void *b, void *c, void *e, void *preference, int wanted, void *results, int *count) {
    memset(results, 0, 96);
    *count = 1;
    return 0;
}
int cublasLtMatmul(
    void *handle, void *d, const void *alpha, const void *a, void *al, const void *b, void *bl, const void *beta,
    const void *c, void *cl, void *y, void *yl, const void *algorithm, void *workspace, size_t bytes, void *stream) {
    LOCKED({
        if (is_capturing) captured_pieces++;
        else state.launches++;
    })
}
