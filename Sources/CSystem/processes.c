#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int dropreel_die_with_parent(int signal) {
    return prctl(PR_SET_PDEATHSIG, signal);
}

int dropreel_close_on_exec_from(int first) {
    return close_range((unsigned)first, ~0U, CLOSE_RANGE_CLOEXEC);
}

static int pass(posix_spawn_file_actions_t *actions, int from, int to) {
    if (from < 0) {
        return posix_spawn_file_actions_addopen(actions, to, "/dev/null", to == 0 ? O_RDONLY : O_WRONLY, 0);
    }
    return posix_spawn_file_actions_adddup2(actions, from, to);
}

pid_t dropreel_spawn(
    const char *path, char *const arguments[], char *const environment[], int in, int out, int error) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int failure = posix_spawn_file_actions_init(&actions);
    if (failure != 0) {
        errno = failure;
        return -1;
    }
    failure = posix_spawnattr_init(&attributes);
    if (failure != 0) {
        posix_spawn_file_actions_destroy(&actions);
        errno = failure;
        return -1;
    }
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    pid_t process = -1;
    // Descriptors 0 to 2 of this process may be the very ones to pass on, so they are not closed first; adddup2 onto
    // itself clears close-on-exec, and everything above 2 is closed.
    if ((failure = pass(&actions, in, 0)) == 0 && (failure = pass(&actions, out, 1)) == 0
        && (failure = pass(&actions, error, 2)) == 0
        && (failure = posix_spawn_file_actions_addclosefrom_np(&actions, 3)) == 0
        && (failure = posix_spawnattr_setsigdefault(&attributes, &all)) == 0
        && (failure = posix_spawnattr_setsigmask(&attributes, &none)) == 0
        && (failure = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK)) == 0) {
        failure = posix_spawn(&process, path, &actions, &attributes, arguments, environment);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (failure != 0) {
        errno = failure;
        return -1;
    }
    return process;
}

int dropreel_pipe(int ends[2]) {
    return pipe2(ends, O_CLOEXEC);
}

int dropreel_wait(pid_t process) {
    int status = 0;
    pid_t found;
    do {
        found = waitpid(process, &status, 0);
    } while (found < 0 && errno == EINTR);
    if (found < 0) return -1000;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int dropreel_wait_measured(pid_t process, int64_t *microseconds) {
    int status = 0;
    struct rusage usage;
    pid_t found;
    do {
        found = wait4(process, &status, 0, &usage);
    } while (found < 0 && errno == EINTR);
    if (found < 0) return -1000;
    *microseconds = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * (int64_t)1000000 + usage.ru_utime.tv_usec
        + usage.ru_stime.tv_usec;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}
