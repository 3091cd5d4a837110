import Glibc

let noSpace: Int32 = ENOSPC

/// The system's words for an error number (thread-safe).
func systemText(_ number: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 160)
    guard strerror_r(number, &buffer, buffer.count) == 0 else { return "error \(number)" }
    return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
}

/// An open file descriptor, closed with the value.
struct OpenFile: ~Copyable {
    let descriptor: Int32
    let name: String

    /// - Throws: `MediaError` with code `.io`.
    init(_ path: String, flags: Int32, mode: mode_t = 0o666) throws {
        name = path.split(separator: "/").last.map(String.init) ?? path
        descriptor = open(path, flags | O_CLOEXEC, mode)
        if descriptor < 0 { throw MediaError.io("opening \(name)", errno: errno) }
    }

    init(duplicating other: Int32) throws {
        name = "the file"
        descriptor = fcntl(other, F_DUPFD_CLOEXEC, 0)
        if descriptor < 0 { throw MediaError.io("opening a file", errno: errno) }
    }

    deinit { close(descriptor) }

    func byteCount() throws -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw MediaError.io("reading \(name)", errno: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw MediaError(.unsupported, "\(name) is not a regular file", hint: "name a file")
        }
        return Int(status.st_size)
    }

    /// Reads up to `count` bytes at `offset`; fewer only at the end of the file.
    func read(at offset: Int, count: Int) throws -> [UInt8] {
        try Self.read(descriptor, name: name, at: offset, count: count)
    }

    static func read(_ descriptor: Int32, name: String, at offset: Int, count: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let got = pread(descriptor, buffer.baseAddress! + filled, count - filled, off_t(offset + filled))
                if got < 0 {
                    if errno == EINTR { continue }
                    throw MediaError.io("reading \(name)", errno: errno)
                }
                if got == 0 { break }
                filled += got
            }
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var done = 0
        while done < bytes.count {
            let wrote = Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
            if wrote < 0 {
                if errno == EINTR { continue }
                throw MediaError.io("writing \(name)", errno: errno)
            }
            done += wrote
        }
    }
}
