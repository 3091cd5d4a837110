import Foundation

/// Where the service takes the time from; tests bring their own.
public protocol ServiceClock: Sendable {
    /// Wall-clock time, for names, logs and the order of jobs.
    func now() -> Date
    /// Seconds from an arbitrary start that never run backwards, for waits and time limits.
    func uptime() -> Double
}

/// The clock of the host.
public struct SystemClock: ServiceClock {
    public init() {}

    public func now() -> Date { Date() }

    public func uptime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
