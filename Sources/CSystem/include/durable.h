#ifndef DROPREEL_DURABLE_H
#define DROPREEL_DURABLE_H

/// renameat2(2) with RENAME_NOREPLACE on two paths. 0, or -1 with errno (EEXIST where the target exists).
int dropreel_rename_exclusive(const char *from, const char *to);

/// Asks the kernel to send `signal` to this process when its parent ends. 0, or -1 with errno.
int dropreel_die_with_parent(int signal);

/// Marks every open descriptor from `first` up close-on-exec. 0, or -1 with errno.
int dropreel_close_on_exec_from(unsigned first);

#endif
