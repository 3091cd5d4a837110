#define _GNU_SOURCE
#include "FaultInjector.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(struct dropreel_faults) == 256, "the test knows the layout");

static struct dropreel_faults *faults;

static long raw(long number, long a, long b, long c, long d, long e, long f) {
    static long (*next)(long, ...);
    if (!next) next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    return next(number, a, b, c, d, e, f);
}

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("DROPREEL_FAULTS");
    if (!path) return;
    int fd = (int)raw(SYS_openat, AT_FDCWD, (long)path, O_RDWR | O_CLOEXEC, 0, 0, 0);
    if (fd < 0) return;
    void *map = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    if (map == MAP_FAILED) return;
    int32_t nobody = 0;
    atomic_compare_exchange_strong(&((struct dropreel_faults *)map)->service, &nobody, (int32_t)getpid());
    faults = map;
}

// MARK: Syncs that failed

static pthread_mutex_t suspect_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    dev_t device;
    ino_t inode;
} suspects[1024];
static int suspect_count;

static int is_watched(int fd, struct stat *status) {
    if (fstat(fd, status) != 0 || !S_ISREG(status->st_mode)) return 0;
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "ledger.sqlite") == NULL;
}

static void say_name(int fd) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path);
    if (length > 0) dprintf(2, "synced again: %.*s\n", (int)length, path);
}

static void note_sync(int fd) {
    struct stat status;
    if (suspect_count == 0 || !is_watched(fd, &status)) return;
    pthread_mutex_lock(&suspect_lock);
    for (int index = 0; index < suspect_count; index++) {
        if (suspects[index].device == status.st_dev && suspects[index].inode == status.st_ino) {
            atomic_fetch_add(&faults->repeated_syncs, 1);
            say_name(fd);
        }
    }
    pthread_mutex_unlock(&suspect_lock);
}

static void note_failed_sync(int fd) {
    struct stat status;
    if (!is_watched(fd, &status)) return;
    // Held open, so that no other file gets its number.
    if (fcntl(fd, F_DUPFD_CLOEXEC, 512) < 0) return;
    pthread_mutex_lock(&suspect_lock);
    if (suspect_count < (int)(sizeof suspects / sizeof suspects[0])) {
        suspects[suspect_count].device = status.st_dev;
        suspects[suspect_count++].inode = status.st_ino;
    }
    pthread_mutex_unlock(&suspect_lock);
}

// MARK: Striking

/// What becomes of one call.
enum verdict { PASS, PASS_THEN_KILL, FAIL, HALVE };

static void die(void) {
    if (faults->scope == 1 && faults->service > 0) kill(faults->service, SIGKILL);
    for (;;) raw(SYS_kill, getpid(), SIGKILL, 0, 0, 0, 0);
}

static void tell(const char *function, const char *path, int fd) {
    if (atomic_fetch_add(&faults->struck, 1) != 0) return;
    char link[64], target[160] = "";
    if (!path) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, target, sizeof target - 1);
        if (length > 0) target[length] = 0;
        path = target;
    }
    snprintf(
        faults->where, sizeof faults->where, "%s %s %s", getpid() == faults->service ? "service" : "worker", function,
        path);
}

static enum verdict judge(uint32_t class, const char *function, const char *path, int fd) {
    if (!faults || !(faults->classes & class)) return PASS;
    uint64_t number = atomic_fetch_add(&faults->count, 1) + 1;
    if (faults->mode == DROPREEL_FAULT_COUNT || faults->target == 0) return PASS;
    if (faults->sticky ? number < faults->target : number != faults->target) return PASS;
    if (faults->mode == DROPREEL_FAULT_SHORT && class != DROPREEL_CALL_WRITE) return PASS;
    int saved = errno;
    tell(function, path, fd);
    errno = saved;
    switch (faults->mode) {
    case DROPREEL_FAULT_KILL_BEFORE: die(); return PASS;
    case DROPREEL_FAULT_KILL_AFTER: return PASS_THEN_KILL;
    case DROPREEL_FAULT_SHORT: return HALVE;
    default: errno = faults->error; return FAIL;
    }
}

static int is_regular(int fd) {
    struct stat status;
    int saved = errno;
    int result = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    errno = saved;
    return result;
}

#define NEXT(result, name, ...)                                                                                        \
    static result (*next)(__VA_ARGS__);                                                                                \
    if (!next) next = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define STRUCK(class, function, path, fd, call)                                                                        \
    enum verdict verdict = judge(class, function, path, fd);                                                           \
    if (verdict == FAIL) return -1;                                                                                    \
    __typeof__(call) result = call;                                                                                    \
    if (verdict == PASS_THEN_KILL) die();                                                                              \
    return result

// MARK: Opening

#define CREATES(flags) (((flags) & (O_CREAT | O_TRUNC)) != 0 || ((flags) & O_TMPFILE) == O_TMPFILE)
#define OPEN_CLASS(flags) (CREATES(flags) ? DROPREEL_CALL_CREATE : DROPREEL_CALL_OPEN)
#define MODE_OF(flags)                                                                                                 \
    mode_t mode = 0;                                                                                                   \
    if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) {                                                   \
        va_list list;                                                                                                  \
        va_start(list, flags);                                                                                         \
        mode = va_arg(list, mode_t);                                                                                   \
        va_end(list);                                                                                                  \
    }

int open(const char *path, int flags, ...) {
    MODE_OF(flags)
    NEXT(int, "open", const char *, int, ...);
    STRUCK(OPEN_CLASS(flags), "open", path, -1, next(path, flags, mode));
}

int open64(const char *path, int flags, ...) {
    MODE_OF(flags)
    NEXT(int, "open64", const char *, int, ...);
    STRUCK(OPEN_CLASS(flags), "open", path, -1, next(path, flags, mode));
}

int openat(int folder, const char *path, int flags, ...) {
    MODE_OF(flags)
    NEXT(int, "openat", int, const char *, int, ...);
    STRUCK(OPEN_CLASS(flags), "openat", path, -1, next(folder, path, flags, mode));
}

int openat64(int folder, const char *path, int flags, ...) {
    MODE_OF(flags)
    NEXT(int, "openat64", int, const char *, int, ...);
    STRUCK(OPEN_CLASS(flags), "openat", path, -1, next(folder, path, flags, mode));
}

int creat(const char *path, mode_t mode) {
    NEXT(int, "creat", const char *, mode_t);
    STRUCK(DROPREEL_CALL_CREATE, "creat", path, -1, next(path, mode));
}

int mkstemp(char *template) {
    NEXT(int, "mkstemp", char *);
    STRUCK(DROPREEL_CALL_CREATE, "mkstemp", template, -1, next(template));
}

int close(int fd) {
    NEXT(int, "close", int);
    if (!faults || !(faults->classes & DROPREEL_CALL_CLOSE)) return next(fd);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || !is_regular(fd)) return next(fd);
    enum verdict verdict = judge(DROPREEL_CALL_CLOSE, "close", NULL, fd);
    int code = errno;
    int result = next(fd);
    if (verdict == PASS_THEN_KILL) die();
    if (verdict != FAIL) return result;
    errno = code;
    return -1;
}

// MARK: Writing

#define WRITING(function, whole, half)                                                                                 \
    if (!faults || !is_regular(fd)) return whole;                                                                      \
    enum verdict verdict = judge(DROPREEL_CALL_WRITE, function, NULL, fd);                                             \
    if (verdict == FAIL) return -1;                                                                                    \
    if (verdict == HALVE) return half;                                                                                 \
    ssize_t result = whole;                                                                                            \
    if (verdict == PASS_THEN_KILL) die();                                                                              \
    return result

static size_t half_of(size_t count) { return count > 1 ? count / 2 : count; }

ssize_t write(int fd, const void *bytes, size_t count) {
    NEXT(ssize_t, "write", int, const void *, size_t);
    WRITING("write", next(fd, bytes, count), next(fd, bytes, half_of(count)));
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    NEXT(ssize_t, "pwrite", int, const void *, size_t, off_t);
    WRITING("pwrite", next(fd, bytes, count, offset), next(fd, bytes, half_of(count), offset));
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    NEXT(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    WRITING("pwrite", next(fd, bytes, count, offset), next(fd, bytes, half_of(count), offset));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    NEXT(ssize_t, "writev", int, const struct iovec *, int);
    WRITING("writev", next(fd, parts, count), next(fd, parts, 1));
}

// MARK: Names

int rename(const char *from, const char *to) {
    NEXT(int, "rename", const char *, const char *);
    STRUCK(DROPREEL_CALL_RENAME, "rename", to, -1, next(from, to));
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    NEXT(int, "renameat", int, const char *, int, const char *);
    STRUCK(DROPREEL_CALL_RENAME, "renameat", to, -1, next(from_folder, from, to_folder, to));
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    NEXT(int, "renameat2", int, const char *, int, const char *, unsigned);
    STRUCK(DROPREEL_CALL_RENAME, "renameat2", to, -1, next(from_folder, from, to_folder, to, flags));
}

int link(const char *from, const char *to) {
    NEXT(int, "link", const char *, const char *);
    STRUCK(DROPREEL_CALL_LINK, "link", to, -1, next(from, to));
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    NEXT(int, "linkat", int, const char *, int, const char *, int);
    STRUCK(DROPREEL_CALL_LINK, "linkat", to, -1, next(from_folder, from, to_folder, to, flags));
}

int symlink(const char *content, const char *path) {
    NEXT(int, "symlink", const char *, const char *);
    STRUCK(DROPREEL_CALL_LINK, "symlink", path, -1, next(content, path));
}

int unlink(const char *path) {
    NEXT(int, "unlink", const char *);
    STRUCK(DROPREEL_CALL_UNLINK, "unlink", path, -1, next(path));
}

int unlinkat(int folder, const char *path, int flags) {
    NEXT(int, "unlinkat", int, const char *, int);
    STRUCK(DROPREEL_CALL_UNLINK, "unlinkat", path, -1, next(folder, path, flags));
}

int remove(const char *path) {
    NEXT(int, "remove", const char *);
    STRUCK(DROPREEL_CALL_UNLINK, "remove", path, -1, next(path));
}

int rmdir(const char *path) {
    NEXT(int, "rmdir", const char *);
    STRUCK(DROPREEL_CALL_UNLINK, "rmdir", path, -1, next(path));
}

int mkdir(const char *path, mode_t mode) {
    NEXT(int, "mkdir", const char *, mode_t);
    STRUCK(DROPREEL_CALL_MKDIR, "mkdir", path, -1, next(path, mode));
}

int mkdirat(int folder, const char *path, mode_t mode) {
    NEXT(int, "mkdirat", int, const char *, mode_t);
    STRUCK(DROPREEL_CALL_MKDIR, "mkdirat", path, -1, next(folder, path, mode));
}

// MARK: Sizes, attributes, syncs

int ftruncate(int fd, off_t size) {
    NEXT(int, "ftruncate", int, off_t);
    STRUCK(DROPREEL_CALL_TRUNCATE, "ftruncate", NULL, fd, next(fd, size));
}

int ftruncate64(int fd, off64_t size) {
    NEXT(int, "ftruncate64", int, off64_t);
    STRUCK(DROPREEL_CALL_TRUNCATE, "ftruncate", NULL, fd, next(fd, size));
}

int truncate(const char *path, off_t size) {
    NEXT(int, "truncate", const char *, off_t);
    STRUCK(DROPREEL_CALL_TRUNCATE, "truncate", path, -1, next(path, size));
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
    NEXT(int, "fallocate", int, int, off_t, off_t);
    STRUCK(DROPREEL_CALL_ALLOCATE, "fallocate", NULL, fd, next(fd, mode, offset, size));
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size) {
    NEXT(int, "fallocate64", int, int, off64_t, off64_t);
    STRUCK(DROPREEL_CALL_ALLOCATE, "fallocate", NULL, fd, next(fd, mode, offset, size));
}

#define SYNCING(function, call)                                                                                        \
    if (!faults) return call;                                                                                          \
    note_sync(fd);                                                                                                     \
    enum verdict verdict = judge(DROPREEL_CALL_SYNC, function, NULL, fd);                                              \
    if (verdict == FAIL) {                                                                                             \
        int code = errno;                                                                                              \
        note_failed_sync(fd);                                                                                          \
        errno = code;                                                                                                  \
        return -1;                                                                                                     \
    }                                                                                                                  \
    int result = call;                                                                                                 \
    if (verdict == PASS_THEN_KILL) die();                                                                              \
    return result

int fsync(int fd) {
    NEXT(int, "fsync", int);
    SYNCING("fsync", next(fd));
}

int fdatasync(int fd) {
    NEXT(int, "fdatasync", int);
    SYNCING("fdatasync", next(fd));
}

int chmod(const char *path, mode_t mode) {
    NEXT(int, "chmod", const char *, mode_t);
    STRUCK(DROPREEL_CALL_ATTRIBUTES, "chmod", path, -1, next(path, mode));
}

int fchmod(int fd, mode_t mode) {
    NEXT(int, "fchmod", int, mode_t);
    STRUCK(DROPREEL_CALL_ATTRIBUTES, "fchmod", NULL, fd, next(fd, mode));
}

int fchmodat(int folder, const char *path, mode_t mode, int flags) {
    NEXT(int, "fchmodat", int, const char *, mode_t, int);
    STRUCK(DROPREEL_CALL_ATTRIBUTES, "fchmodat", path, -1, next(folder, path, mode, flags));
}

int chown(const char *path, uid_t user, gid_t group) {
    NEXT(int, "chown", const char *, uid_t, gid_t);
    STRUCK(DROPREEL_CALL_ATTRIBUTES, "chown", path, -1, next(path, user, group));
}

int fchown(int fd, uid_t user, gid_t group) {
    NEXT(int, "fchown", int, uid_t, gid_t);
    STRUCK(DROPREEL_CALL_ATTRIBUTES, "fchown", NULL, fd, next(fd, user, group));
}

int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
    NEXT(int, "utimensat", int, const char *, const struct timespec *, int);
    STRUCK(DROPREEL_CALL_ATTRIBUTES, "utimensat", path, -1, next(folder, path, times, flags));
}

int futimens(int fd, const struct timespec times[2]) {
    NEXT(int, "futimens", int, const struct timespec *);
    STRUCK(DROPREEL_CALL_ATTRIBUTES, "futimens", NULL, fd, next(fd, times));
}

/// The calls that have no function of their own in every C library.
long syscall(long number, ...) {
    va_list list;
    va_start(list, number);
    long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long), d = va_arg(list, long),
         e = va_arg(list, long), f = va_arg(list, long);
    va_end(list);
    if (!faults) return raw(number, a, b, c, d, e, f);
    if (number == SYS_renameat2) {
        STRUCK(DROPREEL_CALL_RENAME, "renameat2", (const char *)d, -1, raw(number, a, b, c, d, e, f));
    }
    if (number == SYS_openat2) {
        int flags = (int)((const struct open_how *)c)->flags;
        STRUCK(OPEN_CLASS(flags), "openat2", (const char *)b, -1, raw(number, a, b, c, d, e, f));
    }
    return raw(number, a, b, c, d, e, f);
}
