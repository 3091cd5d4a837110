import Dispatch
import Foundation

/// Large copies from common host memory, such as mapped files, by way of pinned pieces that several threads fill: what one
/// thread of the driver copies at a time would keep the bus waiting.
public final class CUDAUploads: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: handles and memory never change; the pieces belong to the holder of `lock`, and
    // each of them to one of its threads.
    private let stream: CUDAStream
    private let memory: CUDAHostMemory
    /// The end of the last copy from each piece.
    private let ends: [CUDAEvent]
    private let lock = NSLock()

    /// Bytes of a piece.
    static let pieceBytes = 4 << 20
    /// Copies of fewer bytes go the driver's own way.
    public static let leastBytes = 2 * pieceBytes
    private static let mostPieces = 8

    /// - Throws: `CUDAError`, also where the system gives no pinned memory.
    public init(stream: CUDAStream) throws {
        self.stream = stream
        let count = max(2, min(Self.mostPieces, ProcessInfo.processInfo.activeProcessorCount))
        memory = try CUDAHostMemory(stream: stream, byteCount: count * Self.pieceBytes)
        guard memory.isPinned else {
            throw CUDAError(.outOfMemory, "no pinned memory", hint: "the limit of locked memory may be low")
        }
        ends = try (0..<count).map { _ in try CUDAEvent(stream) }
    }

    /// Queues a copy; `bytes` may change as soon as this returns.
    /// - Throws: `CUDAError` "driver".
    public func copy(_ bytes: UnsafeRawBufferPointer, to address: DeviceAddress) throws {
        guard let base = bytes.baseAddress else { return }
        lock.lock()
        defer { lock.unlock() }
        let (size, count) = (bytes.count, ends.count)
        nonisolated(unsafe) let source = base
        let failure = FirstError()
        DispatchQueue.concurrentPerform(iterations: count) { lane in
            do {
                for start in stride(from: lane * Self.pieceBytes, to: size, by: count * Self.pieceBytes) {
                    try copy(source + start, min(Self.pieceBytes, size - start), to: address + UInt64(start), lane)
                }
            } catch {
                failure.note(error)
            }
        }
        if let error = failure.error { throw error }
    }

    private func copy(
        _ source: UnsafeRawPointer, _ count: Int, to address: DeviceAddress, _ lane: Int
    ) throws {
        guard let base = memory.bytes.baseAddress else { return }
        let (driver, piece) = (stream.driver, base + lane * Self.pieceBytes)
        try stream.enter()
        try driver.check(driver.eventSynchronize(ends[lane].handle), "waiting for an event")
        piece.copyMemory(from: source, byteCount: count)
        try driver.check(driver.copyToDevice(address, piece, count, stream.stream), "copying to the GPU")
        try driver.check(driver.eventRecord(ends[lane].handle, stream.stream), "recording an event")
    }
}

/// The first error of several threads.
private final class FirstError: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `found` is guarded by `lock`.
    private let lock = NSLock()
    private var found: (any Error)?

    var error: (any Error)? { lock.withLock { found } }

    func note(_ error: any Error) { lock.withLock { if found == nil { found = error } } }
}
