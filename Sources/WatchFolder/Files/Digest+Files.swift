import Digests
import Foundation

extension Digest {
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
            if count == 0 { return digest.hexadecimal }
            digest.add(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }
}
