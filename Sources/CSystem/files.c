#define _GNU_SOURCE
#include "CSystem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

const int dropreel_o_path = O_PATH;

static int is_dot_name(const char *name, size_t length) {
    return (length == 1 && name[0] == '.') || (length == 2 && name[0] == '.' && name[1] == '.');
}

int dropreel_open_beneath_stepwise(int root, const char *path, int flags, mode_t mode) {
    char name[256];
    int directory = -1;
    const char *rest = path;
    for (;;) {
        size_t length = strcspn(rest, "/");
        if (length == 0 || length >= sizeof name || is_dot_name(rest, length)) {
            int single_dot = length == 1 && rest == path && rest[1] == 0;
            if (!single_dot) {
                if (directory >= 0) close(directory);
                errno = length >= sizeof name ? ENAMETOOLONG : EINVAL;
                return -1;
            }
        }
        memcpy(name, rest, length);
        name[length] = 0;
        int last = rest[length] == 0;
        int base = directory >= 0 ? directory : root;
        int how = last ? flags | O_CLOEXEC | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
        int next = openat(base, name, how, mode);
        int failure = errno;
        if (directory >= 0) close(directory);
        if (next < 0) {
            // A link in the middle: O_DIRECTORY reports it as ENOTDIR.
            errno = failure;
            return -1;
        }
        if (last) return next;
        directory = next;
        rest += length + 1;
    }
}

int dropreel_open_beneath(int root, const char *path, int flags, mode_t mode) {
    static atomic_int missing = 0;
    if (!atomic_load_explicit(&missing, memory_order_relaxed)) {
        if (strlen(path) >= 4096) {
            errno = ENAMETOOLONG;
            return -1;
        }
        struct open_how how = {
            .flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
            .mode = (flags & (O_CREAT | O_TMPFILE)) ? mode : 0,
            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
        };
        // EAGAIN: a rename elsewhere made the kernel unsure of `..`; asking again is what it asks for.
        for (int attempt = 0; attempt < 64; attempt++) {
            long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
            if (fd >= 0) return (int)fd;
            if (errno != EAGAIN && errno != EINTR) break;
        }
        // ENOSYS: an old kernel; EPERM: a container's filter that does not know the call.
        if (errno != ENOSYS && errno != EPERM) return -1;
        if (errno == ENOSYS) atomic_store_explicit(&missing, 1, memory_order_relaxed);
    }
    return dropreel_open_beneath_stepwise(root, path, flags, mode);
}

int dropreel_rename_exclusive_at(int from_root, const char *from, int to_root, const char *to) {
    if (syscall(SYS_renameat2, from_root, from, to_root, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != ENOSYS && errno != EINVAL) return -1;
    if (linkat(from_root, from, to_root, to, 0) != 0) return -1;
    return unlinkat(from_root, from, 0);
}

int dropreel_rename_exclusive(const char *from, const char *to) {
    return dropreel_rename_exclusive_at(AT_FDCWD, from, AT_FDCWD, to);
}

enum dropreel_writer dropreel_writer_of(int fd) {
    // The default break signal, SIGIO, would end the process if a writer came between the two calls.
    if (fcntl(fd, F_SETSIG, SIGURG) != 0) return DROPREEL_WRITER_UNKNOWN;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
        fcntl(fd, F_SETLEASE, F_UNLCK);
        return DROPREEL_WRITER_NONE;
    }
    return errno == EAGAIN ? DROPREEL_WRITER_PRESENT : DROPREEL_WRITER_UNKNOWN;
}

int64_t dropreel_first_hole(int fd, int64_t size) {
    if (size <= 0) return -1;
    off_t hole = lseek(fd, 0, SEEK_HOLE);
    if (hole < 0) return errno == ENXIO ? -1 : -2;
    return hole < size ? (int64_t)hole : -1;
}

int dropreel_clone(int from, int to) {
    return ioctl(to, FICLONE, from);
}

ssize_t dropreel_getdents(int fd, void *buffer, size_t capacity) {
    return syscall(SYS_getdents64, fd, buffer, capacity);
}

size_t dropreel_dirent_at(const void *buffer, size_t offset, const char **name, size_t *length, uint8_t *type) {
    const struct dirent64 *entry = (const struct dirent64 *)((const char *)buffer + offset);
    *name = entry->d_name;
    *length = strlen(entry->d_name);
    *type = entry->d_type;
    return offset + entry->d_reclen;
}

int dropreel_file_system_of(int fd, enum dropreel_file_system *kind, char *name) {
    static const struct {
        uint32_t magic;
        enum dropreel_file_system kind;
        const char *name;
    } known[] = {
        {0xEF53, DROPREEL_FS_LOCAL, "ext4"},
        {0x58465342, DROPREEL_FS_LOCAL, "xfs"},
        {0x9123683E, DROPREEL_FS_LOCAL, "btrfs"},
        {0x2FC12FC1, DROPREEL_FS_LOCAL, "zfs"},
        {0x01021994, DROPREEL_FS_LOCAL, "tmpfs"},
        {0x794C7630, DROPREEL_FS_LOCAL, "overlay"},
        {0xF2F52010, DROPREEL_FS_LOCAL, "f2fs"},
        {0x4D44, DROPREEL_FS_LOCAL, "vfat"},
        {0x2011BAB0, DROPREEL_FS_LOCAL, "exfat"},
        {0x7366746E, DROPREEL_FS_LOCAL, "ntfs3"},
        {0xCA451A4E, DROPREEL_FS_LOCAL, "bcachefs"},
        {0x6969, DROPREEL_FS_NETWORK, "nfs"},
        {0xFF534D42, DROPREEL_FS_NETWORK, "cifs"},
        {0xFE534D42, DROPREEL_FS_NETWORK, "smb2"},
        {0x517B, DROPREEL_FS_NETWORK, "smb"},
        {0x01021997, DROPREEL_FS_NETWORK, "9p"},
        {0x00C36400, DROPREEL_FS_NETWORK, "ceph"},
        {0x5346414F, DROPREEL_FS_NETWORK, "afs"},
        {0x6B414653, DROPREEL_FS_NETWORK, "kafs"},
        {0x73757245, DROPREEL_FS_NETWORK, "coda"},
        {0x0BD00BD0, DROPREEL_FS_NETWORK, "lustre"},
        {0x01161970, DROPREEL_FS_NETWORK, "gfs2"},
        {0x7461636F, DROPREEL_FS_NETWORK, "ocfs2"},
        {0x47504653, DROPREEL_FS_NETWORK, "gpfs"},
        {0x19830326, DROPREEL_FS_NETWORK, "fhgfs"},
        {0x786F4256, DROPREEL_FS_NETWORK, "vboxsf"},
        {0x65735546, DROPREEL_FS_FUSE, "fuse"},
    };
    struct statfs status;
    int result;
    do {
        result = fstatfs(fd, &status);
    } while (result != 0 && errno == EINTR);
    if (result != 0) return -1;
    uint32_t magic = (uint32_t)status.f_type;
    for (size_t index = 0; index < sizeof known / sizeof known[0]; index++) {
        if (known[index].magic != magic) continue;
        *kind = known[index].kind;
        snprintf(name, 16, "%s", known[index].name);
        return 0;
    }
    *kind = DROPREEL_FS_LOCAL;
    snprintf(name, 16, "0x%x", magic);
    return 0;
}
