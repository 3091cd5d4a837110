// The Linux calls that Swift cannot make itself: variadic, without a libc wrapper, or in need of a macro.
// Unless said otherwise a function returns 0 (or a descriptor) and, on failure, -1 with errno set.
#ifndef DROPREEL_CSYSTEM_H
#define DROPREEL_CSYSTEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma mark Files

/// O_PATH, which the C library's headers hide from Swift.
extern const int dropreel_o_path;

/// Opens `path` (relative, NUL-terminated) below the directory `root`; no component may be a link or leave the tree.
/// O_CLOEXEC and O_NOFOLLOW are added. Uses openat2 where the kernel has it, else opens
/// component by component. Fails with ELOOP on a link, EXDEV or EINVAL on `..`, ENAMETOOLONG.
int dropreel_open_beneath(int root, const char *path, int flags, mode_t mode);

/// The same, always component by component; the fallback, callable for tests.
int dropreel_open_beneath_stepwise(int root, const char *path, int flags, mode_t mode);

/// renameat2 with RENAME_NOREPLACE. Falls back to linkat + unlinkat on file systems without it (regular files only).
int dropreel_rename_exclusive_at(int from_root, const char *from, int to_root, const char *to);

/// The same for paths of the process.
int dropreel_rename_exclusive(const char *from, const char *to);

enum dropreel_writer {
    DROPREEL_WRITER_NONE = 0,
    DROPREEL_WRITER_PRESENT = 1,
    /// The lease is not permitted (neither owner nor CAP_LEASE) or the file system knows none.
    DROPREEL_WRITER_UNKNOWN = 2,
};

/// Whether anybody has the file of `fd` (opened read-only) open for writing: asks for a read lease and gives it back
/// at once. The break signal is set to one that is ignored by default. Never fails.
enum dropreel_writer dropreel_writer_of(int fd);

/// Offset of the first hole below `size`, -1 when there is none, -2 when the file system cannot tell.
int64_t dropreel_first_hole(int fd, int64_t size);

/// FICLONE: makes `to` share the blocks of `from`.
int dropreel_clone(int from, int to);

/// Reads the names in a directory through `fd` from where it stands into `buffer` (linux_dirent64 records).
/// Returns bytes filled, 0 at the end, -1 on failure.
ssize_t dropreel_getdents(int fd, void *buffer, size_t capacity);

/// The record at `offset`: its name and type (DT_*); returns the offset of the next record.
size_t dropreel_dirent_at(const void *buffer, size_t offset, const char **name, size_t *length, uint8_t *type);

/// How a file system has to be watched.
enum dropreel_file_system {
    DROPREEL_FS_LOCAL = 0,
    /// Changes made by other hosts raise no inotify events here (NFS, CIFS, 9p, Ceph, ...).
    DROPREEL_FS_NETWORK = 1,
    /// Depends on what is behind it; changes may come from elsewhere.
    DROPREEL_FS_FUSE = 2,
};

/// Kind of the file system of `fd`; `name` (at least 16 bytes) receives a short name such as "ext4" or "nfs".
int dropreel_file_system_of(int fd, enum dropreel_file_system *kind, char *name);

#pragma mark Processes

/// Asks for `signal` when the thread that started this process ends (the thread, not its process: start children from
/// a thread that outlives them).
int dropreel_die_with_parent(int signal);

/// Marks every descriptor from `first` on as closed by exec.
int dropreel_close_on_exec_from(int first);

/// Starts a program with exactly three descriptors (standard input, output, error; -1 means /dev/null), default
/// signals and an empty signal mask. `arguments` and `environment` end with NULL. Returns the process id.
pid_t dropreel_spawn(
    const char *path, char *const arguments[], char *const environment[], int in, int out, int error);

/// pipe2 with O_CLOEXEC: the reading and the writing end.
int dropreel_pipe(int ends[2]);

/// The exit status (0-255), or -signal; waits. -1000 with errno set when there is no such child.
int dropreel_wait(pid_t process);

/// The exit status (0-255), or -signal; waits. -1000 with errno set when there is no such child. `microseconds` receives
/// the processor time that it used.
int dropreel_wait_measured(pid_t process, int64_t *microseconds);

#pragma mark Sandbox

/// What stands between a process and the rest of the system; bits of what `dropreel_sandbox_enter` returns.
enum dropreel_sandbox_measure {
    /// Every limit of `dropreel_sandbox_limits` is in force.
    DROPREEL_SANDBOX_LIMITS = 1,
    /// No program that is started could gain rights, and no debugger of the same user can attach.
    DROPREEL_SANDBOX_NO_PRIVILEGES = 2,
    /// Landlock: no file can be opened, made, renamed or removed.
    DROPREEL_SANDBOX_LANDLOCK_FILES = 4,
    /// Landlock: no TCP port can be bound or connected (Linux 6.7).
    DROPREEL_SANDBOX_LANDLOCK_NETWORK = 8,
    /// Landlock: no signal and no abstract socket reaches another process (Linux 6.12).
    DROPREEL_SANDBOX_LANDLOCK_SCOPE = 16,
    /// seccomp: only the calls that computing, and the descriptors already open, need.
    DROPREEL_SANDBOX_SECCOMP = 32,
    DROPREEL_SANDBOX_ALL = 63,
};

struct dropreel_sandbox_limits {
    /// Bytes of address space above what is mapped when the sandbox is entered.
    uint64_t memory;
    /// Seconds of processor time of the whole process.
    uint64_t seconds;
};

/// Takes from this process, for good, every right but computing on its open descriptors. Meant for a process of one
/// thread that is about to read hostile bytes. Returns the measures that are in force; one that the kernel or a
/// container refuses is left out.
int dropreel_sandbox_enter(const struct dropreel_sandbox_limits *limits);

#pragma mark SHA-256

/// A running SHA-256 (FIPS 180-4).
struct dropreel_sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
};

void dropreel_sha256_start(struct dropreel_sha256 *hash);
void dropreel_sha256_add(struct dropreel_sha256 *hash, const void *bytes, size_t count);
void dropreel_sha256_finish(struct dropreel_sha256 *hash, uint8_t digest[32]);
/// One block after another without the processor's own instructions; for tests.
void dropreel_sha256_blocks_portable(uint32_t state[8], const uint8_t *bytes, size_t blocks);

#ifdef __cplusplus
}
#endif

#endif
