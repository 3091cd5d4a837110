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
        do { return try ofRest(descriptor: descriptor) } catch {
            throw ServiceError.system("read", "file", errno: error.errno)
        }
    }
}
