import CUDADriver
import Foundation
import Tensors

extension CUDABackend {
    public func beginDownload(_ tensor: Tensor) -> (any ComingBytes)? {
        precondition(tensor.dtype == .u8, "expected u8, found \(tensor.dtype)")
        return must(else: nil) {
            let memory = try landing.take(tensor.byteCount, stream)
            let bytes = UnsafeMutableRawBufferPointer(rebasing: memory.bytes[..<tensor.byteCount])
            try stream.beginCopyToHost(tensor.address, bytes)
            return CUDAComingBytes(bytes, memory, end: try stream.moment(), self)
        }
    }
}

/// A copy to the host that was queued.
final class CUDAComingBytes: ComingBytes {
    private let bytes: UnsafeMutableRawBufferPointer
    private let memory: CUDAHostMemory
    private let end: CUDAEvent
    private let backend: CUDABackend

    init(_ bytes: UnsafeMutableRawBufferPointer, _ memory: CUDAHostMemory, end: CUDAEvent, _ backend: CUDABackend) {
        (self.bytes, self.memory, self.end, self.backend) = (bytes, memory, end, backend)
    }

    deinit {
        // The memory is another's only once nothing is written there any more.
        if (try? end.wait()) != nil { backend.landing.giveBack(memory) }
    }

    func wait() -> [UInt8] {
        backend.must { try end.wait() }
        return [UInt8](bytes)
    }
}

/// Host memory for what comes from the GPU, kept from one copy to the next.
final class LandingMemory: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `spare` is guarded by `lock`.
    private let lock = NSLock()
    private var spare: [CUDAHostMemory] = []
    /// One copy is under way while another is read.
    private static let most = 2

    /// Memory of `byteCount` or more that nobody else has.
    func take(_ byteCount: Int, _ stream: CUDAStream) throws -> CUDAHostMemory {
        let known: CUDAHostMemory? = lock.withLock {
            spare.firstIndex { $0.bytes.count >= byteCount }.map { spare.remove(at: $0) }
        }
        return try known ?? CUDAHostMemory(stream: stream, byteCount: byteCount)
    }

    func giveBack(_ memory: CUDAHostMemory) {
        lock.withLock {
            spare.append(memory)
            if spare.count > Self.most { spare.removeFirst() }
        }
    }
}
