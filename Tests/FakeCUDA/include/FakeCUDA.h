#ifndef DROPREEL_FAKE_CUDA_H
#define DROPREEL_FAKE_CUDA_H

#include <stdint.h>

/// What the fake driver does and has seen. All zero: one GPU of 80 GiB on which everything works.
struct fake_cuda {
    /// Bytes of each GPU; 0 for 80 GiB.
    int64_t memory;
    /// GPUs; 0 for one.
    int64_t devices;
    /// Which allocation fails for want of memory, counted from 1; 0 for none.
    int64_t fail_allocation;
    /// Which launch the GPU dies of; 0 for none.
    int64_t fail_launch;
    /// Which wait for the GPU never ends; 0 for none.
    int64_t hang_wait;
    /// The GPU that dies or hangs, of several; -1 for any.
    int64_t bad_device;

    /// Which noting of work fails at its end; 0 for none.
    int64_t fail_capture;
    /// 1 for a driver that finds no two pieces of noted work alike.
    int64_t refuses_update;

    // Seen so far.
    int64_t allocations;
    int64_t launches;
    int64_t waits;
    /// Bytes and pieces of device memory now, and most bytes at once.
    int64_t used;
    int64_t pieces;
    int64_t most;
    /// Bytes of pinned host memory now.
    int64_t pinned;
    /// Calls with memory that was not there: frees of what was freed, copies beyond an end.
    int64_t mistakes;
    /// Times that work was noted, pieces of it, and how often such work was queued, made and renewed.
    int64_t captures;
    int64_t noted;
    int64_t graph_launches;
    int64_t graphs;
    int64_t updates;
};

#endif
