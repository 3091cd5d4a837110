import Foundation

/// How a worker hears from its service, and the service from the worker.
public protocol WorkerSignals: Sendable {
    /// Waits until there may be work, the service wants an end, or the time is over.
    func wait(seconds: Double)
    /// A job came to its end: the service should look.
    func announce()
    /// No further job; the one at hand may be finished.
    var isDraining: Bool { get }
}

/// Signals between two threads of one process.
public final class LocalSignals: WorkerSignals, @unchecked Sendable {
    // Invariant: every stored property is touched only with `condition` locked.
    private let condition = NSCondition()
    private var hasWork = false
    private var draining = false
    private let onAnnounce: @Sendable () -> Void

    public init(onAnnounce: @escaping @Sendable () -> Void = {}) { self.onAnnounce = onAnnounce }

    public func wait(seconds: Double) {
        condition.lock()
        defer { condition.unlock() }
        let end = Date().addingTimeInterval(seconds)
        while !hasWork, !draining, condition.wait(until: end) {}
        hasWork = false
    }

    public func announce() { onAnnounce() }

    public var isDraining: Bool { condition.withLock { draining } }

    func wake() {
        condition.withLock {
            hasWork = true
            condition.broadcast()
        }
    }

    func drain() {
        condition.withLock {
            draining = true
            condition.broadcast()
        }
    }
}

/// Signals of a child process: commands come in on descriptor 0, a byte goes out for each finished job.
///
/// The end of descriptor 0 means that the service is gone.
public final class PipeSignals: WorkerSignals, @unchecked Sendable {
    static let wake = UInt8(ascii: "w")
    static let drain = UInt8(ascii: "d")

    // Invariant: `draining` is touched only with `lock` held; the descriptors never change.
    private let lock = NSLock()
    private var draining = false
    private let input: Int32
    private let output: Int32

    public init(input: Int32, output: Int32) {
        self.input = input
        self.output = output
        _ = fcntl(input, F_SETFL, fcntl(input, F_GETFL) | O_NONBLOCK)
        _ = fcntl(output, F_SETFL, fcntl(output, F_GETFL) | O_NONBLOCK)
    }

    public func wait(seconds: Double) {
        var descriptor = pollfd(fd: input, events: Int16(POLLIN), revents: 0)
        _ = poll(&descriptor, 1, Int32(seconds * 1000))
        read()
    }

    public func announce() {
        var byte = Self.wake
        _ = write(output, &byte, 1)
    }

    public var isDraining: Bool {
        read()
        return lock.withLock { draining }
    }

    private func read() {
        var bytes = [UInt8](repeating: 0, count: 256)
        while true {
            let count = Foundation.read(input, &bytes, bytes.count)
            if count < 0, errno == EINTR { continue }
            if count == 0 || (count > 0 && bytes[..<count].contains(Self.drain)) {
                lock.withLock { draining = true }
            }
            if count < bytes.count { return }
        }
    }
}
