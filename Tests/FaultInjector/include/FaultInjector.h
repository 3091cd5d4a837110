// Strikes at the n-th call that changes the disk: kills the process before or after it, or makes it fail.
//
// Preloaded into the service of the tests and its workers (LD_PRELOAD); the file that DROPREEL_FAULTS names is this
// structure, shared by all of them and the test that watches. Without that variable nothing happens.
#ifndef DROPREEL_FAULT_INJECTOR_H
#define DROPREEL_FAULT_INJECTOR_H

#include <stdint.h>

enum dropreel_fault_mode {
    DROPREEL_FAULT_COUNT = 0,
    DROPREEL_FAULT_KILL_BEFORE = 1,
    DROPREEL_FAULT_KILL_AFTER = 2,
    /// The call is not made and fails with `error`; a close is made, and fails.
    DROPREEL_FAULT_FAIL = 3,
    /// A write takes half of what it was given.
    DROPREEL_FAULT_SHORT = 4,
};

/// Classes of calls; only those in `classes` are counted.
enum dropreel_fault_class {
    DROPREEL_CALL_CREATE = 1 << 0,
    DROPREEL_CALL_WRITE = 1 << 1,
    DROPREEL_CALL_RENAME = 1 << 2,
    DROPREEL_CALL_LINK = 1 << 3,
    DROPREEL_CALL_UNLINK = 1 << 4,
    DROPREEL_CALL_MKDIR = 1 << 5,
    DROPREEL_CALL_TRUNCATE = 1 << 6,
    DROPREEL_CALL_SYNC = 1 << 7,
    DROPREEL_CALL_ATTRIBUTES = 1 << 8,
    DROPREEL_CALL_ALLOCATE = 1 << 9,
    /// Closing a file that was open for writing.
    DROPREEL_CALL_CLOSE = 1 << 10,
    /// Opening without creating.
    DROPREEL_CALL_OPEN = 1 << 11,
};

struct dropreel_faults {
    /// Calls counted so far, in all processes.
    _Atomic uint64_t count;
    /// The call to strike at, from 1 on; 0 never.
    uint64_t target;
    uint32_t mode;
    /// Of a kill: 0 the calling process, 1 the service as well.
    uint32_t scope;
    /// Whether every call from `target` on fails.
    uint32_t sticky;
    int32_t error;
    uint32_t classes;
    /// Process of the service: the first that came.
    _Atomic int32_t service;
    _Atomic uint32_t struck;
    /// Syncs of a regular file after one of it had failed. The database's own files do not count.
    _Atomic uint32_t repeated_syncs;
    /// The first call struck: process, function, file.
    char where[208];
};

#endif
