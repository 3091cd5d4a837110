import CSystem
import Foundation

/// SHA-256, as lower-case hexadecimal.
public struct Digest {
    private var state = dropreel_sha256()

    public init() { dropreel_sha256_start(&state) }

    public mutating func add(_ bytes: UnsafeRawBufferPointer) {
        dropreel_sha256_add(&state, bytes.baseAddress, bytes.count)
    }

    /// The digest of everything added; the value is used up.
    public mutating func finish() -> String {
        var bytes = [UInt8](repeating: 0, count: 32)
        dropreel_sha256_finish(&state, &bytes)
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    public static func of(_ bytes: some ContiguousBytes) -> String {
        var digest = Digest()
        bytes.withUnsafeBytes { digest.add($0) }
        return digest.finish()
    }

    /// - Throws: `ServiceError` of code `storage` when the file cannot be read.
    public static func ofFile(_ path: String) throws -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { throw ServiceError.system("open", DurableFiles.name(path), errno: errno) }
        defer { close(descriptor) }
        return try ofFile(descriptor: descriptor)
    }

    static func ofFile(descriptor: Int32) throws -> String {
        var digest = Digest()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw ServiceError.system("read", "file", errno: errno)
            }
            if count == 0 { return digest.finish() }
            digest.add(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }
}
