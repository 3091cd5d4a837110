import CInotifyTools
import CSystem
import Glibc

/// The watched folders, and what their events mean.
///
/// Keeps its own map from watch to path, because the library's map neither follows renames nor forgets folders that
/// were deleted. Paths are relative to the working directory, "" for the root; bytes, not text.
struct TreeWatch {
    typealias Path = [UInt8]

    private var pathOfWatch: [Int32: Path] = [:]
    private var watchOfPath: [Path: Int32] = [:]
    /// How often the kernel dropped the watch of a path by itself. The library still holds those under the path's
    /// spelling, so each further watch of the path is given a new one ("a", "a/.", "a/./.").
    private var generation: [Path: Int] = [:]
    /// Watches that this process gave up; their last event is expected.
    private var released: Set<Int32> = []

    /// Beyond this many watches that only the library remembers, the process starts itself afresh.
    private static let recycleLimit = 50_000
    private var forgotten = 0

    private static let mask: Int32 = {
        let content = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF
        return content | IN_MOVE_SELF | IN_DONT_FOLLOW | Int32(bitPattern: UInt32(IN_ONLYDIR))
            | Int32(bitPattern: UInt32(IN_EXCL_UNLINK))
    }()

    /// Watches everything there is and says so; false when not even the root can be watched.
    mutating func begin() -> Bool {
        guard add([]) else { return false }
        addChildren(of: [])
        Report.text(.ready, "\(pathOfWatch.count)")
        return true
    }

    mutating func handle(_ event: UnsafeMutablePointer<inotify_event>) {
        let mask = Int32(bitPattern: event.pointee.mask)
        if mask & IN_Q_OVERFLOW != 0 {
            Report.line(.overflow)
            startAfresh()
        }
        let watch = event.pointee.wd
        if mask & IN_IGNORED != 0 {
            forget(watch)
            return
        }
        guard let folder = pathOfWatch[watch] else { return }
        if mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT) != 0 {
            if folder.isEmpty {
                Report.text(.unavailable, "the folder itself was deleted, moved or unmounted")
                exit(75)
            }
            return
        }
        let name = Self.name(event)
        guard !name.isEmpty else { return }
        let path = Self.join(folder, name)
        if mask & Int32(bitPattern: UInt32(IN_ISDIR)) != 0 {
            handleFolder(path, name, mask)
        } else {
            let isGone = mask & (IN_DELETE | IN_MOVED_FROM) != 0
            Report.line(isGone ? .removed : .changed, path)
        }
    }

    private mutating func handleFolder(_ path: Path, _ name: Path, _ mask: Int32) {
        guard Self.isEntered(name) else { return }
        if mask & (IN_CREATE | IN_MOVED_TO) != 0 {
            // Watch first, tell then: whatever the reader's scan does not find raises an event.
            if watchOfPath[path] != nil { release(path) }
            if add(path) { addChildren(of: path) }
            Report.line(.folderAppeared, path)
        } else if mask & (IN_DELETE | IN_MOVED_FROM) != 0 {
            release(path)
            Report.line(.folderRemoved, path)
        }
        if forgotten > Self.recycleLimit { startAfresh() }
    }

    /// Puts a watch on one folder. A folder that is gone again is no error; others are told.
    private mutating func add(_ path: Path) -> Bool {
        var spelling = path.isEmpty ? Path(".".utf8) : path
        for _ in 0..<(generation[path] ?? 0) { spelling += [0x2F, 0x2E] }
        let text = spelling.map { CChar(bitPattern: $0) } + [0]
        guard inotifytools_watch_file(text, Self.mask) != 0 else {
            let number = inotifytools_error()
            if number != ENOENT, number != ENOTDIR, number != ELOOP, !path.isEmpty {
                let reason = number == ENOSPC ? "the limit of watches is reached" : String(cString: strerror(number))
                Report.line(.partial, Array("\(reason): ".utf8) + path)
            }
            return false
        }
        // The library ends the names of folders with a slash.
        let key = text.dropLast() + [0x2F, 0]
        let watch = inotifytools_wd_from_filename(Array(key))
        guard watch >= 0 else { return false }
        if let before = pathOfWatch[watch], before != path { watchOfPath[before] = nil }
        pathOfWatch[watch] = path
        watchOfPath[path] = watch
        return true
    }

    /// Watches all folders below one that is watched already.
    private mutating func addChildren(of start: Path) {
        var waiting = [start]
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
        defer { buffer.deallocate() }
        while let folder = waiting.popLast() {
            for name in Self.subfolders(of: folder, buffer) where Self.isEntered(name) {
                let path = Self.join(folder, name)
                if add(path) { waiting.append(path) }
            }
        }
    }

    private static func subfolders(of folder: Path, _ buffer: UnsafeMutableRawBufferPointer) -> [Path] {
        let text = (folder.isEmpty ? Path(".".utf8) : folder).map { CChar(bitPattern: $0) } + [0]
        let descriptor = dropreel_open_beneath(AT_FDCWD, text, O_RDONLY | O_DIRECTORY, 0)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var names: [Path] = []
        while true {
            let filled = dropreel_getdents(descriptor, buffer.baseAddress, buffer.count)
            guard filled > 0 else { return names }
            var offset = 0
            while offset < filled {
                var name: UnsafePointer<CChar>?
                var length = 0
                var type: UInt8 = 0
                offset = dropreel_dirent_at(buffer.baseAddress, offset, &name, &length, &type)
                guard let name, type == DT_DIR || type == DT_UNKNOWN else { continue }
                names.append((0..<length).map { UInt8(bitPattern: name[$0]) })
            }
        }
    }

    /// Gives up the watches of a folder that was renamed or deleted and of all below it.
    private mutating func release(_ path: Path) {
        let prefix = path + [0x2F]
        for (other, watch) in watchOfPath where other == path || other.starts(with: prefix) {
            watchOfPath[other] = nil
            pathOfWatch[watch] = nil
            released.insert(watch)
            if inotifytools_remove_watch_by_wd(watch) == 0 { retire(other) }
        }
    }

    /// The kernel has dropped a watch.
    private mutating func forget(_ watch: Int32) {
        if released.remove(watch) != nil { return }
        guard let path = pathOfWatch.removeValue(forKey: watch) else { return }
        if watchOfPath[path] == watch { watchOfPath[path] = nil }
        retire(path)
    }

    private mutating func retire(_ path: Path) {
        generation[path, default: 0] += 1
        forgotten += 1
        // A spelling must stay below the longest path.
        if generation[path]! > 256 { startAfresh() }
    }

    /// Becomes a new process with the same pipes: nothing that was missed or kept too long survives it.
    private func startAfresh() -> Never {
        _ = dropreel_close_on_exec_from(3)
        let arguments = CommandLine.arguments.map { strdup($0) } + [nil]
        execv("/proc/self/exe", arguments)
        exit(75)
    }

    /// Folders whose names begin with `_` or `.` hold no inputs; `_check` holds questions.
    private static func isEntered(_ name: Path) -> Bool {
        (name.first != 0x5F && name.first != 0x2E) || name == Array("_check".utf8)
    }

    private static func join(_ folder: Path, _ name: Path) -> Path {
        folder.isEmpty ? name : folder + [0x2F] + name
    }

    private static func name(_ event: UnsafeMutablePointer<inotify_event>) -> Path {
        let bytes = UnsafeRawPointer(event) + MemoryLayout<inotify_event>.size
        let name = UnsafeRawBufferPointer(start: bytes, count: Int(event.pointee.len))
        return Path(name.prefix { $0 != 0 })
    }
}
