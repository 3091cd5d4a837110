import CUDADriver
import Foundation

extension CUDABackend {
    /// Queues a copy from host memory, which may change as soon as this returns.
    func send(_ bytes: UnsafeRawBufferPointer, to address: DeviceAddress) throws {
        if bytes.count >= CUDAUploads.leastBytes, fastPaths.contains(.uploads), let uploads = uploads.get() {
            return try uploads.copy(bytes, to: address)
        }
        try stream.copyToDevice(bytes, address)
    }
}

/// The way of large copies, made when the first of them comes; none where the system gives no pinned memory.
final class LazyUploads: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `made` is guarded by `lock`.
    private let lock = NSLock()
    private let stream: CUDAStream
    private var made: CUDAUploads??

    init(_ stream: CUDAStream) { self.stream = stream }

    func get() -> CUDAUploads? {
        lock.withLock {
            if let made { return made }
            let new = try? CUDAUploads(stream: stream)
            made = .some(new)
            return new
        }
    }
}
