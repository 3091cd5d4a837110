import CSystem
import Foundation
import Synchronization

/// The calls that change the disk on the way to a published result; tests put failures in their place.
public struct SystemCalls: Sendable {
    /// As write(2).
    public var write: @Sendable (Int32, UnsafeRawPointer, Int) -> Int
    /// As fsync(2).
    public var fsync: @Sendable (Int32) -> Int32
    /// As renameat2(2) with RENAME_NOREPLACE, on absolute paths.
    public var renameExclusive: @Sendable (String, String) -> Int32
    /// As rename(2).
    public var rename: @Sendable (String, String) -> Int32

    /// The kernel's.
    public static let kernel = SystemCalls(
        write: { Foundation.write($0, $1, $2) },
        fsync: { Foundation.fsync($0) },
        renameExclusive: { dropreel_rename_exclusive($0, $1) },
        rename: { Foundation.rename($0, $1) })
}

/// Files written so that they are either whole and on the disk, or reported as failed.
struct DurableFiles: Sendable {
    var calls: SystemCalls = .kernel
    private let suspects = SuspectFiles()

    init(calls: SystemCalls = .kernel) { self.calls = calls }

    /// Writes every byte, whatever the pieces the kernel takes.
    func write(_ bytes: Data, to descriptor: Int32, name: String) throws {
        try bytes.withUnsafeBytes { (buffer: UnsafeRawBufferPointer) in
            var offset = 0
            while offset < buffer.count {
                let written = calls.write(descriptor, buffer.baseAddress! + offset, buffer.count - offset)
                if written < 0 {
                    if errno == EINTR { continue }
                    throw ServiceError.system("write", name, errno: errno)
                }
                guard written > 0 else { throw ServiceError.system("write", name, errno: EIO) }
                offset += written
            }
        }
    }

    /// Creates a new file with the bytes, on the disk when this returns. A failed one is removed.
    func create(_ path: String, _ bytes: Data, mode: mode_t = 0o664, synced: Bool = true) throws {
        unlink(path)
        let descriptor = try open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        do {
            try write(bytes, to: descriptor, name: Self.name(path))
            if fchmod(descriptor, mode) != 0 { throw ServiceError.system("fchmod", Self.name(path), errno: errno) }
            if synced { try sync(descriptor, name: Self.name(path)) }
        } catch {
            close(descriptor)
            unlink(path)
            throw error
        }
        guard close(descriptor) == 0 || errno == EINTR else {
            let error = ServiceError.system("close", Self.name(path), errno: errno)
            unlink(path)
            throw error
        }
    }

    /// Replaces a file as one change, by a temporary one in `staging` on the same file system.
    func replace(_ path: String, with bytes: Data, staging: String, synced: Bool) throws {
        let temporary = staging + "/." + Self.name(path) + ".new"
        try create(temporary, bytes, synced: synced)
        Self.adoptGroup(of: Self.folder(path), file: temporary)
        guard calls.rename(temporary, path) == 0 else {
            let error = ServiceError.system("rename", Self.name(path), errno: errno)
            unlink(temporary)
            throw error
        }
    }

    /// Once for each open of the data: a failed fsync is never repeated, because the kernel may have dropped the pages.
    func sync(_ descriptor: Int32, name: String) throws {
        guard calls.fsync(descriptor) == 0 else {
            let code = errno
            suspects.add(descriptor)
            throw ServiceError.system("fsync", name, errno: code)
        }
    }

    /// Whether a sync of this file failed before: it may not be trusted, nor synced again, and has to be written anew.
    func isSuspect(_ descriptor: Int32) -> Bool { suspects.contains(descriptor) }

    /// - Throws: without another sync, where one of this very data failed before.
    func syncFile(_ path: String) throws {
        let descriptor = try open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        defer { close(descriptor) }
        guard !suspects.containsUnchanged(descriptor) else {
            throw ServiceError(
                .storage, "\(Self.name(path)) could not be put on the disk before.",
                hint: "It is made again; check the disk if this repeats.")
        }
        try sync(descriptor, name: Self.name(path))
    }

    func openDirectory(_ path: String) throws -> Int32 { try open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }

    func syncDirectory(_ path: String) throws {
        let descriptor = try openDirectory(path)
        defer { close(descriptor) }
        try sync(descriptor, name: "folder " + Self.name(path))
    }

    private func open(_ path: String, _ flags: Int32, _ mode: mode_t = 0) throws -> Int32 {
        while true {
            let descriptor = Foundation.open(path, flags, mode)
            if descriptor >= 0 { return descriptor }
            if errno != EINTR { throw ServiceError.system("open", Self.name(path), errno: errno) }
        }
    }

    /// Everybody of the share's group may use a file that came from outside the share. Needs no success: on a share
    /// with one owner there is nothing to adopt.
    static func adoptGroup(of folder: String, file: String) {
        var status = stat()
        guard stat(folder, &status) == 0 else { return }
        _ = chown(file, uid_t.max, status.st_gid)
    }

    static func name(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    static func folder(_ path: String) -> String {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        return parts.count <= 1 ? "/" : parts.joined(separator: "/")
    }
}

/// Regular files of which a sync failed, by device and inode, with the time of their content. An inode number that is
/// used again costs one copy.
private final class SuspectFiles: Sendable {
    private struct Place: Hashable {
        var device: dev_t
        var inode: ino_t
    }

    private struct Content: Equatable {
        var size: off_t
        var seconds: Int
        var nanoseconds: Int
    }

    private let places = Mutex<[Place: Content]>([:])

    func add(_ descriptor: Int32) {
        guard let (place, content) = Self.look(descriptor) else { return }
        places.withLock { $0[place] = content }
    }

    func contains(_ descriptor: Int32) -> Bool {
        guard let (place, _) = Self.look(descriptor) else { return false }
        return places.withLock { $0[place] != nil }
    }

    /// Whether it holds what it held when its sync failed: not another file that got the number, nor new data.
    func containsUnchanged(_ descriptor: Int32) -> Bool {
        guard let (place, content) = Self.look(descriptor) else { return false }
        return places.withLock { $0[place] == content }
    }

    private static func look(_ descriptor: Int32) -> (Place, Content)? {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return (
            Place(device: status.st_dev, inode: status.st_ino),
            Content(
                size: status.st_size, seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
        )
    }
}
