import Foundation

/// Times a body, over and over.
public enum Stopwatch {
    /// Median wall-clock seconds and processor seconds of one repetition, after one that is not counted.
    ///
    /// - Parameter budget: seconds after which no repetition is begun; at least three are made.
    public static func measure(budget: Double = 0.5, _ body: () throws -> Void) rethrows -> (
        seconds: Double, processorSeconds: Double
    ) {
        try body()
        var (walls, processors): ([Double], [Double]) = ([], [])
        var spent = 0.0
        while walls.count < 3 || (spent < budget && walls.count < 101) {
            let (wall, processor) = (now(CLOCK_MONOTONIC), now(CLOCK_PROCESS_CPUTIME_ID))
            try body()
            walls.append(now(CLOCK_MONOTONIC) - wall)
            processors.append(now(CLOCK_PROCESS_CPUTIME_ID) - processor)
            spent += walls.last ?? 0
        }
        return (median(walls), median(processors))
    }

    static func seconds(since start: ContinuousClock.Instant) -> Double { seconds(from: start, to: .now) }

    static func seconds(from start: ContinuousClock.Instant, to end: ContinuousClock.Instant) -> Double {
        let parts = (end - start).components
        return Double(parts.seconds) + Double(parts.attoseconds) * 1e-18
    }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

    private static func now(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
