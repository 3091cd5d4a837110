import CSystem
import Glibc

extension SafeRoot {
    /// Moves a file or folder to a free name, within this tree or into another on the same file system. Nothing is
    /// ever replaced (`exists`).
    public func move(
        _ from: RelativePath, to: RelativePath, in target: SafeRoot? = nil
    ) throws(IntakeError) {
        try withParent(of: from) { (source, name) throws(IntakeError) in
            try (target ?? self).withParent(of: to) { (folder, newName) throws(IntakeError) in
                guard dropreel_rename_exclusive_at(source, name, folder, newName) == 0 else {
                    let number = errno
                    throw number == EXDEV
                        ? IntakeError(
                            .io, "\(from): the target lies on another file system",
                            hint: "Keep inbox, outbox and state on one file system.", errno: number)
                        : IntakeError.system(number, doing: "move", name: from.string)
                }
            }
        }
    }

    /// Removes a file; one that is gone already is fine.
    public func remove(_ path: RelativePath) throws(IntakeError) {
        do {
            try withParent(of: path) { (folder, name) throws(IntakeError) in
                guard unlinkat(folder, name, 0) == 0 else {
                    throw IntakeError.system(errno, doing: "delete", name: path.string)
                }
            }
        } catch {
            if error.code != .absent { throw error }
        }
    }

    /// Makes a folder and those above it; ones that are there already are fine. New ones get `mode` as it is,
    /// whatever the process's mask says.
    public func createDirectory(_ path: RelativePath, mode: mode_t = 0o2775) throws(IntakeError) {
        var folder = RelativePath.root
        for component in path.components {
            folder = folder.appending(component)
            try withParent(of: folder) { (parent, name) throws(IntakeError) in
                // A sandbox may refuse the set-group-id bit; the share's own is inherited then.
                if mkdirat(parent, name, mode & 0o777) == 0 {
                    _ = fchmodat(parent, name, mode, 0)
                } else if errno != EEXIST {
                    throw IntakeError.system(errno, doing: "make the folder", name: folder.string)
                }
            }
        }
        close(try openDirectory(path))
    }

    /// Writes a new file in full, on the disk when this returns. `exists` when the name is taken; a failed one is
    /// removed.
    public func create(_ path: RelativePath, bytes: [UInt8], mode: mode_t = 0o664) throws(IntakeError) {
        try withParent(of: path) { (folder, name) throws(IntakeError) in
            let opened = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
            guard opened >= 0 else { throw IntakeError.system(errno, doing: "create", name: path.string) }
            let number = Self.fill(opened, bytes, mode: mode)
            let closing = close(opened) == 0 || errno == EINTR ? 0 : errno
            if number != 0 || closing != 0 {
                unlinkat(folder, name, 0)
                throw IntakeError.system(number != 0 ? number : closing, doing: "write", name: path.string)
            }
            guard fsync(folder) == 0 else { throw IntakeError.system(errno, doing: "write", name: path.string) }
        }
    }

    /// 0, or the error number of what failed.
    private static func fill(_ descriptor: Int32, _ bytes: [UInt8], mode: mode_t) -> Int32 {
        let written = bytes.withUnsafeBytes { RawIO.writeAll(descriptor, $0) }
        if written != 0 { return written }
        if fchmod(descriptor, mode) != 0 { return errno }
        return fsync(descriptor) == 0 ? 0 : errno
    }
}

/// The loops around the calls that may do less than they were asked to.
enum RawIO {
    /// Writes everything. 0, or the error number.
    static func writeAll(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int32 {
        var offset = 0
        while offset < bytes.count {
            let count = write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
            if count < 0 {
                if errno == EINTR { continue }
                return errno
            }
            if count == 0 { return EIO }
            offset += count
        }
        return 0
    }
}
