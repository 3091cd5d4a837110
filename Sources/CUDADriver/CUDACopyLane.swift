import Foundation

/// A second queue of one GPU, for copies from host memory beside the work of the first.
public final class CUDACopyLane: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: handles never change; the driver is safe for threads.
    private let stream: CUDAStream
    private let handle: OpaquePointer

    /// - Throws: `CUDAError` "driver".
    public init(stream: CUDAStream) throws {
        self.stream = stream
        var handle: OpaquePointer?
        try stream.enter()
        try stream.driver.check(stream.driver.streamCreate(&handle, 1), "making a stream for copies")
        guard let handle else { throw CUDAError(.driver, "no stream for copies", hint: "restart the worker") }
        self.handle = handle
    }

    deinit {
        guard (try? stream.enter()) != nil else { return }
        _ = stream.driver.streamSynchronize(handle)
        _ = stream.driver.streamDestroy(handle)
    }

    /// Queues a copy that begins after everything queued on the GPU's first queue so far.
    /// - Parameter source: must stay as it is until the event has come.
    /// - Returns: the event of its end.
    public func copy(_ source: UnsafeRawBufferPointer, to address: DeviceAddress) throws -> CUDAEvent {
        let driver = stream.driver
        try stream.enter()
        let begin = try CUDAEvent(stream)
        try driver.check(driver.eventRecord(begin.handle, stream.stream), "recording an event")
        try driver.check(driver.streamWaitEvent(handle, begin.handle, 0), "waiting for an event")
        if let base = source.baseAddress, source.count > 0 {
            try driver.check(driver.copyToDevice(address, base, source.count, handle), "copying to the GPU")
        }
        let end = try CUDAEvent(stream)
        try driver.check(driver.eventRecord(end.handle, handle), "recording an event")
        return end
    }
}

/// A moment in a queue's work.
public final class CUDAEvent: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: the handle never changes; the driver is safe for threads.
    private let stream: CUDAStream
    let handle: OpaquePointer

    /// - Parameter isTimed: whether `milliseconds` may be asked for.
    init(_ stream: CUDAStream, isTimed: Bool = false) throws {
        self.stream = stream
        var handle: OpaquePointer?
        try stream.driver.check(stream.driver.eventCreate(&handle, isTimed ? 0 : 2), "making an event")
        guard let handle else { throw CUDAError(.driver, "no event", hint: "restart the worker") }
        self.handle = handle
    }

    deinit { _ = stream.driver.eventDestroy(handle) }

    /// Milliseconds from this moment to a later one; waits for that.
    public func milliseconds(to end: CUDAEvent) throws -> Double {
        try stream.enter()
        try stream.driver.check(stream.driver.eventSynchronize(end.handle), "waiting for an event")
        var milliseconds: Float = 0
        try stream.driver.check(stream.driver.eventElapsed(&milliseconds, handle, end.handle), "reading an event")
        return Double(milliseconds)
    }

    /// Waits for this moment.
    public func wait() throws {
        try stream.enter()
        try stream.driver.check(stream.driver.eventSynchronize(handle), "waiting for an event")
    }

    /// Work queued on the GPU's first queue from now on begins after this moment.
    public func hold() throws {
        try stream.enter()
        try stream.driver.check(stream.driver.streamWaitEvent(stream.stream, handle, 0), "waiting for an event")
    }
}

extension CUDAStream {
    /// The moment when everything queued so far is done.
    public func moment() throws -> CUDAEvent {
        try enter()
        let event = try CUDAEvent(self, isTimed: true)
        try driver.check(driver.eventRecord(event.handle, stream), "recording an event")
        return event
    }

    /// Queues a copy into host memory; complete only after `synchronize`, or for work that is ordered after this queue's.
    public func beginCopyToHost(_ address: DeviceAddress, _ bytes: UnsafeMutableRawBufferPointer) throws {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        try enterForHost("copying from the GPU")
        try driver.check(driver.copyToHost(base, address, bytes.count, stream), "copying from the GPU")
    }
}
