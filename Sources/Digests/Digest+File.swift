import Foundation

extension Digest {
    /// Reading failed; the system's number says why.
    public struct ReadFailure: Error, Sendable, Hashable {
        public let errno: Int32

        public init(errno: Int32) { self.errno = errno }
    }

    /// The digest of what can still be read from an open file, in order, up to its end.
    public static func ofRest(descriptor: Int32) throws(ReadFailure) -> String {
        var digest = Digest()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        while true {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw ReadFailure(errno: errno)
            }
            if count == 0 { return digest.hexadecimal }
            digest.add(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }
}
