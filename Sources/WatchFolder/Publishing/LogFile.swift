import Foundation

/// `outbox/log.jsonl`: one line per finished or failed job, appended and synced.
struct LogFile {
    var path: String
    var files: DurableFiles
    /// Outside the share, on the same file system: where the file is written anew when the old one cannot be trusted.
    var staging: String
    /// What earlier calls know of the file.
    var tail = LogTail()

    /// Only this much of the end is searched for a line that an interrupted run may have written already, in bytes.
    private static let tailBytes: off_t = 4 << 20

    func append(_ record: JSONValue, id: JobID) throws {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o664)
        guard descriptor >= 0 else { throw ServiceError.system("open", "log.jsonl", errno: errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw ServiceError(
                .storage, "log.jsonl in the outbox is no ordinary file.", hint: "Move it away; a new one is made.")
        }
        if status.st_size == 0 {
            fchmod(descriptor, 0o664)
            DurableFiles.adoptGroup(of: DurableFiles.folder(path), file: path)
        }
        let end: off_t
        if tail.isOf(status) {
            end = status.st_size
        } else {
            end = try wholeLines(descriptor, size: status.st_size)
            tail.take(try read(descriptor, from: max(0, end - Self.tailBytes), to: end))
        }
        if tail.ids.contains(id.text) { return }
        tail.forgetPlace()
        var line = try JSONEncoder.ledger.encode(record)
        line.append(UInt8(ascii: "\n"))
        if files.isSuspect(descriptor) {
            // Its pages may be lost and count as clean: everything goes into another file.
            let whole = try read(descriptor, from: 0, to: end) + line
            try files.replace(path, with: whole, staging: staging, synced: true)
            return try files.syncDirectory(DurableFiles.folder(path))
        }
        guard lseek(descriptor, end, SEEK_SET) == end else {
            throw ServiceError.system("lseek", "log.jsonl", errno: errno)
        }
        do {
            try files.write(line, to: descriptor, name: "log.jsonl")
            try files.sync(descriptor, name: "log.jsonl")
        } catch {
            ftruncate(descriptor, end)
            throw error
        }
        tail.add(id.text, status, size: end + off_t(line.count))
    }

    /// Cuts off a line that a crash left half written.
    private func wholeLines(_ descriptor: Int32, size: off_t) throws -> off_t {
        guard size > 0 else { return 0 }
        let bytes = try read(descriptor, from: max(0, size - Self.tailBytes), to: size)
        if bytes.last == UInt8(ascii: "\n") { return size }
        let start = bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        let end = max(0, size - Self.tailBytes) + off_t(start)
        guard ftruncate(descriptor, end) == 0 else { throw ServiceError.system("ftruncate", "log.jsonl", errno: errno) }
        return end
    }

    private func read(_ descriptor: Int32, from start: off_t, to end: off_t) throws -> Data {
        var bytes = Data(count: Int(end - start))
        var filled = 0
        while filled < bytes.count {
            let count = bytes.withUnsafeMutableBytes { buffer in
                pread(descriptor, buffer.baseAddress! + filled, buffer.count - filled, start + off_t(filled))
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw ServiceError.system("read", "log.jsonl", errno: errno)
            }
            if count == 0 { break }
            filled += count
        }
        return bytes.prefix(filled)
    }
}

/// The jobs that the end of the log tells of, and how the file was left: while it is so, it need not be read again.
/// For one thread.
final class LogTail {
    private var device: dev_t = 0
    private var inode: ino_t = 0
    private var size: off_t = -1
    /// As texts.
    private(set) var ids: Set<String> = []

    func isOf(_ status: stat) -> Bool {
        status.st_dev == device && status.st_ino == inode && status.st_size == size
    }

    /// The file is not to be trusted to be as it was left.
    func forgetPlace() { size = -1 }

    /// - Parameter bytes: the end of the file, in whole lines but perhaps for the first.
    func take(_ bytes: Data) {
        ids = []
        let mark = Data("\"id\":\"".utf8)
        var rest = bytes[...]
        while let found = rest.range(of: mark) {
            rest = rest[found.upperBound...]
            guard let end = rest.firstIndex(of: UInt8(ascii: "\"")) else { return }
            ids.insert(String(decoding: rest[..<end], as: UTF8.self))
        }
    }

    func add(_ id: String, _ status: stat, size: off_t) {
        ids.insert(id)
        // Then the end of the file is read again, and only that is known.
        let isTooMuch = ids.count > Self.maximumIDs
        (device, inode, self.size) = (status.st_dev, status.st_ino, isTooMuch ? -1 : size)
    }

    private static let maximumIDs = 100_000
}
