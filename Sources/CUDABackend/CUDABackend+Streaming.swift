import CUDADriver
import Foundation
import Tensors

/// Parameters in pinned host memory.
private final class CUDAImage: ParameterImage {
    let memory: CUDAHostMemory

    init(_ memory: CUDAHostMemory) { self.memory = memory }

    var byteCount: Int { memory.bytes.count }
}

private final class CUDALoad: PendingLoad {
    let end: CUDAEvent?
    /// Must outlive the copy.
    let image: CUDAImage

    init(_ end: CUDAEvent?, _ image: CUDAImage) { (self.end, self.image) = (end, image) }
}

extension CUDABackend: StreamingBackend {
    public func save(_ tensors: [Tensor]) throws -> any ParameterImage {
        try check()
        let layout = ParameterLayout(tensors)
        let memory: CUDAHostMemory
        do { memory = try CUDAHostMemory(stream: stream, byteCount: layout.byteCount) } catch {
            throw failure(error, requested: layout.byteCount)
        }
        for (tensor, offset) in zip(tensors, layout.offsets) {
            let part = UnsafeMutableRawBufferPointer(rebasing: memory.bytes[offset..<offset + tensor.byteCount])
            must { try stream.beginCopyToHost(tensor.address, part) }
        }
        if !memory.isPinned { synchronize() }
        try check()
        return CUDAImage(memory)
    }

    public func beginLoading(_ image: any ParameterImage, into slot: Tensor) throws -> any PendingLoad {
        guard let image = image as? CUDAImage else { preconditionFailure("an image of another backend") }
        precondition(slot.byteCount >= image.byteCount, "\(image.byteCount) bytes into \(slot.byteCount)")
        let end: CUDAEvent? = must(else: nil) {
            try copyLane().copy(UnsafeRawBufferPointer(image.memory.bytes), to: slot.address)
        }
        return CUDALoad(end, image)
    }

    public func finishLoading(_ load: any PendingLoad) throws {
        guard let load = load as? CUDALoad else { preconditionFailure("a copy of another backend") }
        guard let end = load.end else { return }
        must {
            let before = try stream.moment()
            try end.hold()
            waits.add(before, try stream.moment())
        }
    }

    public func takeWaitingTime() -> Double {
        waits.take().reduce(0) { sum, wait in
            sum + must(else: 0) { try wait.from.milliseconds(to: wait.to) / 1000 }
        }
    }
}

/// Moments before and after the work waited for a copy.
final class TransferWaits: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `waits` is guarded by `lock`.
    private let lock = NSLock()
    private var waits: [(from: CUDAEvent, to: CUDAEvent)] = []
    /// Nobody may ever ask.
    private static let limit = 4096

    func add(_ from: CUDAEvent, _ to: CUDAEvent) {
        lock.withLock { if waits.count < Self.limit { waits.append((from, to)) } }
    }

    func take() -> [(from: CUDAEvent, to: CUDAEvent)] {
        lock.withLock {
            defer { waits = [] }
            return waits
        }
    }
}

/// A moment in the GPU's work.
private final class CUDAMark: DeviceMark {
    let event: CUDAEvent

    init(_ event: CUDAEvent) { self.event = event }
}

extension CUDABackend {
    public func mark() -> (any DeviceMark)? {
        must(else: nil) { CUDAMark(try stream.moment()) }
    }

    public func seconds(from start: any DeviceMark, to end: any DeviceMark) -> Double? {
        guard let start = start as? CUDAMark, let end = end as? CUDAMark else { return nil }
        return must(else: nil) { try start.event.milliseconds(to: end.event) / 1000 }
    }
}
