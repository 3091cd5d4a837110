import Foundation

/// A whole file mapped read-only; nothing is read until it is touched.
///
/// A file that another process shortens while it is mapped raises SIGBUS on access: replace checkpoints by renaming a
/// new file over them, never by writing into them.
final class FileMapping: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: the memory is never written after initialisation and lives exactly as long
    // as this object.
    let path: String
    let bytes: UnsafeRawBufferPointer
    private let isMapped: Bool

    /// A copy of `content` that stands for a file: for tests and fuzzing, where every byte past the end is a trap.
    init(path: String, copying content: [UInt8]) {
        self.path = path
        isMapped = false
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: content.count, alignment: 16)
        memory.copyBytes(from: content)
        bytes = UnsafeRawBufferPointer(memory)
    }

    init(path: String) throws(CheckpointError) {
        self.path = path
        isMapped = true
        let descriptor = Foundation.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure(path, "cannot be opened") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure(path, "cannot be examined") }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw CheckpointError(
                code: .unreadable, message: "\(path): not a regular file",
                hint: "name a checkpoint file or its folder")
        }
        let count = Int(status.st_size)
        guard count > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let memory = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), memory != MAP_FAILED
        else {
            throw Self.failure(path, "cannot be mapped")
        }
        bytes = UnsafeRawBufferPointer(start: memory, count: count)
    }

    deinit {
        guard isMapped else { return bytes.deallocate() }
        if let start = bytes.baseAddress {
            munmap(UnsafeMutableRawPointer(mutating: start), bytes.count)
        }
    }

    static func failure(_ path: String, _ what: String) -> CheckpointError {
        let reason = String(cString: strerror(errno))
        return CheckpointError(
            code: .unreadable, message: "\(path): \(what): \(reason)",
            hint: "check the path and its permissions")
    }

    /// - Precondition: `offset + MemoryLayout<T>.size <= bytes.count`.
    func load<T: FixedWidthInteger>(_ offset: Int, as type: T.Type) -> T {
        T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: type))
    }
}
