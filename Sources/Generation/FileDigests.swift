import Digests
import Foundation

/// SHA-256 of files, kept for as long as the file is the same: device, inode, size and the times of its last change.
///
/// Digests are computed on a thread of their own, so that reading a large checkpoint does not hold up the first job; with
/// a folder they are kept on disk, too, and the next process has them at once.
public final class FileDigests: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `known` and `pending` are touched under `condition` alone.
    private let condition = NSCondition()
    private var known: [FileStamp: String]
    private var pending: Set<FileStamp> = []
    private let store: DigestStore?

    /// - Parameter folder: where digests outlast the process; nil for nowhere.
    public init(folder: URL? = nil) {
        store = folder.map { DigestStore(folder: $0) }
        known = store?.read() ?? [:]
    }

    /// Starts computing what is not known yet.
    public func prepare(_ files: [URL]) {
        let stamps = files.compactMap { try? FileStamp($0) }
        condition.lock()
        let missing = stamps.filter { known[$0] == nil && !pending.contains($0) }
        pending.formUnion(missing)
        condition.unlock()
        guard !missing.isEmpty else { return }
        let thread = Thread { [self] in
            for stamp in missing {
                _ = try? learn(stamp)
                condition.lock()
                pending.remove(stamp)
                condition.broadcast()
                condition.unlock()
            }
        }
        thread.name = "digests"
        thread.start()
    }

    /// The digest of a file, computed if need be; waits for it.
    public func digest(_ file: URL) throws -> String {
        let stamp = try FileStamp(file)
        condition.lock()
        while pending.contains(stamp) { condition.wait() }
        let found = known[stamp]
        condition.unlock()
        return try found ?? learn(stamp)
    }

    /// Reads the file, and remembers.
    private func learn(_ stamp: FileStamp) throws -> String {
        let digest = try Self.digest(of: stamp)
        condition.lock()
        known[stamp] = digest
        condition.unlock()
        store?.keep(stamp, digest)
        return digest
    }

    /// - Throws: if the file cannot be read, or changes meanwhile.
    private static func digest(of stamp: FileStamp) throws -> String {
        func unreadable() -> CocoaError {
            CocoaError(.fileReadUnknown, userInfo: [NSFilePathErrorKey: stamp.path])
        }
        let descriptor = open(stamp.path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable() }
        defer { close(descriptor) }
        guard let digest = try? Digest.ofRest(descriptor: descriptor),
            try FileStamp(URL(fileURLWithPath: stamp.path)) == stamp
        else { throw unreadable() }
        return digest
    }
}

/// A file as it is now. Whoever changes its bytes changes the time of its last change of state, which nobody can set.
struct FileStamp: Hashable, Codable {
    let path: String
    let device: UInt64
    let inode: UInt64
    let size: Int64
    /// Nanoseconds since 1970.
    let modified: Int64
    let changed: Int64

    init(_ file: URL) throws {
        path = file.resolvingSymlinksInPath().path
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw CocoaError(.fileReadNoSuchFile, userInfo: [NSFilePathErrorKey: path])
        }
        (device, inode, size) = (UInt64(status.st_dev), UInt64(status.st_ino), Int64(status.st_size))
        modified = Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
        changed = Int64(status.st_ctim.tv_sec) * 1_000_000_000 + Int64(status.st_ctim.tv_nsec)
    }
}

/// Digests in a file of a folder. What cannot be read counts as empty: it costs reading the checkpoints once more.
struct DigestStore {
    private struct Entry: Codable {
        var file: FileStamp
        var sha256: String
    }

    let folder: URL
    private var url: URL { folder.appending(path: "digests.json") }

    func read() -> [FileStamp: String] {
        guard let data = try? Data(contentsOf: url), data.count < 16 << 20,
            let entries = try? JSONDecoder().decode([Entry].self, from: data)
        else { return [:] }
        let whole = entries.filter { $0.sha256.utf8.count == 64 && $0.sha256.allSatisfy(\.isHexDigit) }
        return Dictionary(whole.map { ($0.file, $0.sha256) }, uniquingKeysWith: { _, last in last })
    }

    /// Adds one; files that are gone or have changed are forgotten. Two processes that write at once may lose one entry,
    /// never make a wrong one.
    func keep(_ file: FileStamp, _ sha256: String) {
        var all = read().filter { entry in (try? FileStamp(URL(fileURLWithPath: entry.key.path))) == entry.key }
        all[file] = sha256
        let entries = all.map { Entry(file: $0.key, sha256: $0.value) }.sorted { $0.file.path < $1.file.path }
        guard let data = try? JSONEncoder().encode(entries) else { return }
        // A folder that is not there is not made: a film made by hand leaves nothing behind.
        try? data.write(to: url, options: .atomic)
    }
}
