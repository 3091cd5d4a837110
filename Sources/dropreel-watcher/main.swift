import CInotifyTools
import CSystem
import Glibc

// dropreel-watcher ROOT
//
// Watches a tree through libinotifytools and writes one line per event to standard output (see `Report`). It ends when
// standard input is closed, on SIGTERM, or with its parent. A process of its own, because the library is one global
// instance that aborts on large descriptors, and because it is under the GPL.

_ = dropreel_die_with_parent(SIGKILL)

guard CommandLine.arguments.count == 2 else {
    Report.text(.unavailable, "usage: dropreel-watcher ROOT")
    exit(64)
}
guard chdir(CommandLine.arguments[1]) == 0 else {
    Report.text(.unavailable, "the folder cannot be entered: " + String(cString: strerror(errno)))
    exit(66)
}
guard inotifytools_initialize() != 0 else {
    Report.text(.unavailable, "inotify cannot be used: " + String(cString: strerror(inotifytools_error())))
    exit(69)
}

var watch = TreeWatch()
guard watch.begin() else {
    Report.text(.unavailable, "the folder cannot be watched: " + String(cString: strerror(inotifytools_error())))
    exit(69)
}

/// Whether the parent closed its end of standard input.
func parentIsGone() -> Bool {
    var input = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
    guard poll(&input, 1, 0) > 0 else { return false }
    if input.revents & Int16(POLLHUP | POLLERR | POLLNVAL) != 0 { return true }
    var byte: UInt8 = 0
    return read(0, &byte, 1) == 0
}

var sinceLook = 0
while true {
    // The library counts in whole seconds.
    if let event = inotifytools_next_event(1) {
        watch.handle(event)
        sinceLook += 1
        guard sinceLook >= 256 else { continue }
    } else if inotifytools_error() != 0, inotifytools_error() != EINTR {
        Report.text(.unavailable, "reading events failed: " + String(cString: strerror(inotifytools_error())))
        exit(74)
    }
    sinceLook = 0
    if parentIsGone() { exit(0) }
}
