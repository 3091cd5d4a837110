import Glibc

/// A file opened once, read-only; everything about it goes through this descriptor.
///
/// Owns its descriptor and closes it when it goes away.
public final class OpenFile: Sendable {
    public let descriptor: Int32
    /// What people see in messages.
    public let path: RelativePath
    /// The state of the file when it was opened.
    public let identity: FileIdentity

    init(descriptor: Int32, path: RelativePath, identity: FileIdentity) {
        self.descriptor = descriptor
        self.path = path
        self.identity = identity
    }

    deinit { close(descriptor) }

    /// The state of the file now.
    public func currentIdentity() throws(IntakeError) -> FileIdentity {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw IntakeError.system(errno, doing: "inspect", name: path.string)
        }
        return FileIdentity(status)
    }

    /// Reads from `offset` until `buffer` is full or the file ends.
    /// - Returns: bytes read.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(IntakeError) -> Int {
        var filled = 0
        while filled < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress! + filled, buffer.count - filled, off_t(offset) + off_t(filled))
            if count < 0 {
                if errno == EINTR { continue }
                throw IntakeError.system(errno, doing: "read", name: path.string)
            }
            if count == 0 { break }
            filled += count
        }
        return filled
    }

    /// The whole file.
    /// - Throws: `tooLarge` above `limit` bytes, however large the file says it is.
    public func readAll(limit: Int) throws(IntakeError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: min(max(Int(clamping: identity.size), 4096), limit) + 1)
        var filled = 0
        while true {
            let wanted = bytes.count - filled
            var result: Result<Int, IntakeError> = .success(0)
            bytes.withUnsafeMutableBytes { buffer in
                let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
                do {
                    result = .success(try read(into: rest, at: Int64(filled)))
                } catch let error as IntakeError {
                    result = .failure(error)
                } catch {
                    preconditionFailure("read(into:at:) throws IntakeError alone")
                }
            }
            let count = try result.get()
            filled += count
            if filled > limit {
                throw IntakeError(
                    .tooLarge, "\(path): more than \(limit / 1024) KiB", hint: "Use a smaller file.")
            }
            if count < wanted {
                bytes.removeLast(bytes.count - filled)
                return bytes
            }
            bytes.append(contentsOf: repeatElement(0, count: min(bytes.count, limit + 1 - bytes.count)))
        }
    }
}
