import Foundation

/// `outbox/log.jsonl`: one line per finished or failed job, appended and synced.
struct LogFile {
    var path: String
    var files: DurableFiles
    /// Outside the share, on the same file system: where the file is written anew when the old one cannot be trusted.
    var staging: String

    /// Only this much of the end is searched for a line that an interrupted run may have written already, in bytes.
    private static let tail: off_t = 4 << 20

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
        let end = try wholeLines(descriptor, size: status.st_size)
        if try holds(id, descriptor, end: end) { return }
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
    }

    /// Cuts off a line that a crash left half written.
    private func wholeLines(_ descriptor: Int32, size: off_t) throws -> off_t {
        guard size > 0 else { return 0 }
        let bytes = try read(descriptor, from: max(0, size - Self.tail), to: size)
        if bytes.last == UInt8(ascii: "\n") { return size }
        let start = bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        let end = max(0, size - Self.tail) + off_t(start)
        guard ftruncate(descriptor, end) == 0 else { throw ServiceError.system("ftruncate", "log.jsonl", errno: errno) }
        return end
    }

    private func holds(_ id: JobID, _ descriptor: Int32, end: off_t) throws -> Bool {
        let bytes = try read(descriptor, from: max(0, end - Self.tail), to: end)
        return bytes.range(of: Data("\"id\":\"\(id.text)\"".utf8)) != nil
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
