#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// MARK: Limits

/// Bytes of address space in use, 0 when unknown.
static uint64_t mapped_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL) return 0;
    unsigned long pages = 0;
    int found = fscanf(file, "%lu", &pages);
    fclose(file);
    return found == 1 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static int limit(int resource, uint64_t soft, uint64_t hard) {
    struct rlimit now;
    if (getrlimit(resource, &now) != 0) return 0;
    struct rlimit wanted = {soft < now.rlim_max ? soft : now.rlim_max, hard < now.rlim_max ? hard : now.rlim_max};
    return setrlimit(resource, &wanted) == 0;
}

static int enter_limits(const struct dropreel_sandbox_limits *limits, uint64_t mapped) {
    int all = mapped > 0 && limit(RLIMIT_AS, mapped + limits->memory, mapped + limits->memory);
    // SIGXCPU at the soft limit, SIGKILL a second later.
    all &= limit(RLIMIT_CPU, limits->seconds, limits->seconds + 1);
    all &= limit(RLIMIT_FSIZE, 0, 0);
    all &= limit(RLIMIT_CORE, 0, 0);
    all &= limit(RLIMIT_NPROC, 0, 0);
    all &= limit(RLIMIT_MEMLOCK, 0, 0);
    all &= limit(RLIMIT_MSGQUEUE, 0, 0);
    // Only numbers below the limit can be given out: 0, 1 and 2 are taken.
    all &= limit(RLIMIT_NOFILE, 3, 3);
    return all;
}

// MARK: Landlock
// Source: the kernel's Documentation/userspace-api/landlock.rst. The numbers are written out because the headers of
// older distributions lack them.

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif

struct landlock_handled {
    uint64_t files;
    uint64_t network;
    uint64_t scoped;
};

static int enter_landlock(void) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u);
    if (version < 1) return 0;
    // Rights by version: 13 at first, then refer (2), truncate (3) and ioctl on devices (5).
    int rights = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
    struct landlock_handled handled = {.files = (UINT64_C(1) << rights) - 1};
    size_t size = offsetof(struct landlock_handled, network);
    int measures = DROPREEL_SANDBOX_LANDLOCK_FILES;
    if (version >= 4) {
        handled.network = 3;  // bind and connect over TCP
        size = offsetof(struct landlock_handled, scoped);
        measures |= DROPREEL_SANDBOX_LANDLOCK_NETWORK;
    }
    if (version >= 6) {
        handled.scoped = 3;  // abstract sockets and signals
        size = sizeof handled;
        measures |= DROPREEL_SANDBOX_LANDLOCK_SCOPE;
    }
    int rules = (int)syscall(SYS_landlock_create_ruleset, &handled, size, 0u);
    if (rules < 0) return 0;
    // Handled, and no rule that allows anything.
    int failed = syscall(SYS_landlock_restrict_self, rules, 0u) != 0;
    close(rules);
    return failed ? 0 : measures;
}

// MARK: seccomp

#if defined(__x86_64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef THIS_ARCHITECTURE

#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
/// The low half of an argument; both architectures are little-endian.
#define ARGUMENT(index) FIELD(args[index])
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, action)
#define DENY (SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA))
/// Answers at once when the number is this call's.
#define ON(call, action) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), ANSWER(action)
#define ALLOW(call) ON(call, SECCOMP_RET_ALLOW)
/// Only an attacker makes these: the process ends.
#define KILL(call) ON(call, SECCOMP_RET_KILL_PROCESS)
/// Memory may be had, but not as code.
#define ALLOW_WITHOUT_EXECUTION(call)                                                                              \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 4), ARGUMENT(2),                                            \
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1), ANSWER(DENY), ANSWER(SECCOMP_RET_ALLOW)
/// Only upon this process, as abort() does.
#define ALLOW_UPON(call, process)                                                                                  \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 4), ARGUMENT(0),                                            \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, process, 1, 0), ANSWER(DENY), ANSWER(SECCOMP_RET_ALLOW)

static int enter_seccomp(void) {
    struct sock_filter filter[] = {
        FIELD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCHITECTURE, 1, 0),
        ANSWER(SECCOMP_RET_KILL_PROCESS),
        FIELD(nr),
#ifdef __x86_64__
        // The numbers of the x32 interface.
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
        ANSWER(SECCOMP_RET_KILL_PROCESS),
#endif
        ALLOW(read),
        ALLOW(pread64),
        ALLOW(readv),
        ALLOW(write),
        ALLOW(writev),
        ALLOW(fstat),
        ALLOW(lseek),
        ALLOW(close),
        ALLOW_WITHOUT_EXECUTION(mmap),
        ALLOW_WITHOUT_EXECUTION(mprotect),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(madvise),
        ALLOW(brk),
        ALLOW(futex),
        ALLOW(sched_yield),
        ALLOW(membarrier),
        ALLOW(getrandom),
        ALLOW(clock_gettime),
        ALLOW(gettimeofday),
        ALLOW(getpid),
        ALLOW(gettid),
        ALLOW(rt_sigaction),
        ALLOW(rt_sigprocmask),
        ALLOW(rt_sigreturn),
        ALLOW(sigaltstack),
        ALLOW(restart_syscall),
        ALLOW(exit),
        ALLOW(exit_group),
        ALLOW_UPON(tgkill, (uint32_t)getpid()),
        KILL(execve),
        KILL(execveat),
        KILL(ptrace),
        KILL(process_vm_readv),
        KILL(process_vm_writev),
        KILL(bpf),
        // Everything else, files and sockets among it, is refused: a library that only asks can go on.
        ANSWER(DENY),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    // TSYNC: a thread that a library started at load is bound as well.
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0) return 1;
    return 0;
}

#else

static int enter_seccomp(void) {
    return 0;
}

#endif

int dropreel_sandbox_enter(const struct dropreel_sandbox_limits *limits) {
    int measures = 0;
    uint64_t mapped = mapped_bytes();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0) {
        measures |= DROPREEL_SANDBOX_NO_PRIVILEGES;
    }
    // In this order: each of the later ones would forbid the ones before.
    measures |= enter_landlock();
    if (enter_limits(limits, mapped)) measures |= DROPREEL_SANDBOX_LIMITS;
    if (enter_seccomp()) measures |= DROPREEL_SANDBOX_SECCOMP;
    return measures;
}
