import Foundation
import Tensors

/// Turns what is done into a share of the whole and a time to go.
///
/// Every stage has an amount of work; how fast each kind of work goes is measured, in this job and the ones before.
final class ProgressTracker {
    /// Work a second, by stage; kept between jobs.
    struct Speeds {
        var measured: [GenerationStage: Double] = [:]
        /// Before anything is known: one core's arithmetic, and a disk's bytes.
        private static let guess = 4e10
        private static let loadGuess = 5e8

        func speed(_ stage: GenerationStage) -> Double {
            if let known = measured[stage] { return known }
            if stage == .load || stage == .encode { return Self.loadGuess }
            let known = measured.filter { $0.key != .load && $0.key != .encode }.values
            return known.isEmpty ? Self.guess : known.reduce(0, +) / Double(known.count)
        }
    }

    private(set) var speeds: Speeds
    private let work: [GenerationStage: Double]
    private let stepCount: Int
    private let control: (GenerationProgress) -> Bool
    /// Finished share of each stage.
    private var done: [GenerationStage: Double] = [:]
    private(set) var seconds: [GenerationStage: Double] = [:]
    private(set) var order: [GenerationStage] = []
    private var running: (stage: GenerationStage, since: ContinuousClock.Instant, mark: (any DeviceMark)?)?
    /// What ran when, by the device's own events.
    private var spans: [(stage: GenerationStage, start: any DeviceMark, end: any DeviceMark)] = []
    private var moved: [GenerationStage: Double] = [:]
    private let backend: (any Backend)?
    private var steps = 0
    private var highest = 0.0
    private let clock = ContinuousClock()

    /// - Parameters:
    ///   - work: operations of each stage (bytes for `load` and `encode`); a missing stage is not needed.
    ///   - backend: whose events stages are timed by, if it has such.
    ///   - control: told of progress; false ends the job.
    init(
        work: [GenerationStage: Double], speeds: Speeds, stepCount: Int, clockOf backend: (any Backend)? = nil,
        control: @escaping (GenerationProgress) -> Bool
    ) {
        self.backend = backend
        (self.work, self.speeds, self.stepCount, self.control) = (work, speeds, stepCount, control)
    }

    /// Runs `body` as a part of `stage`; its time counts for that stage alone, also inside another.
    /// - Parameter completing: the share of the stage that is done after it.
    func during<T>(_ stage: GenerationStage, completing share: Double, _ body: () throws -> T) throws -> T {
        let outer = pause()
        if !order.contains(stage) { order.append(stage) }
        running = (stage, clock.now, backend?.mark())
        defer {
            _ = pause()
            running = outer.map { ($0, clock.now, backend?.mark()) }
        }
        try report()
        let result = try body()
        try reach(share)
        return result
    }

    /// The running stage has come to `share` of its work.
    func reach(_ share: Double) throws {
        guard let stage = running?.stage else { return }
        done[stage] = max(done[stage] ?? 0, min(share, 1))
        try report()
    }

    func finishStep() { steps += 1 }

    /// Counts seconds for another stage than they were spent in.
    func move(_ amount: Double, from: GenerationStage, to: GenerationStage) {
        if !order.contains(to) { order.append(to) }
        moved[from, default: 0] -= amount
        moved[to, default: 0] += amount
    }

    /// Seconds of each stage: between the device's events where it has such, else by the clock.
    func deviceSeconds() -> [GenerationStage: Double] {
        var told = seconds
        if let backend, !spans.isEmpty {
            var measured: [GenerationStage: Double] = [:]
            for span in spans {
                measured[span.stage, default: 0] += backend.seconds(from: span.start, to: span.end) ?? 0
            }
            told.merge(measured) { $1 }
        }
        return told.merging(moved) { max(0, $0 + $1) }
    }

    /// All stages' measured speeds, for the next job.
    func finish() {
        for (stage, amount) in work {
            if let time = seconds[stage], time > 0.001, amount > 0, (done[stage] ?? 0) >= 1 {
                speeds.measured[stage] = amount / time
            }
        }
        highest = 1
    }

    /// - Throws: `GenerationError` `.cancelled`.
    func check() throws { try report() }

    private func pause() -> GenerationStage? {
        guard let (stage, since, mark) = running else { return nil }
        seconds[stage, default: 0] += Self.seconds(clock.now - since)
        if let mark, let end = backend?.mark() { spans.append((stage, mark, end)) }
        running = nil
        return stage
    }

    private func report() throws {
        let (fraction, left) = position()
        highest = max(highest, min(fraction, 0.999))
        let progress = GenerationProgress(
            stage: running?.stage ?? .load, step: steps, stepCount: stepCount, fraction: highest, secondsLeft: left)
        guard control(progress) else { throw GenerationError.cancelled }
    }

    /// Share done, and seconds to go if a measurement supports them.
    private func position() -> (Double, Double?) {
        var (spent, left) = (0.0, 0.0)
        var isMeasured = false
        for (stage, amount) in work {
            var elapsed = seconds[stage] ?? 0
            if let running, running.stage == stage { elapsed += Self.seconds(clock.now - running.since) }
            let share = done[stage] ?? 0
            // A stage under way tells its own speed once a little of it is done.
            if share > 0.01, elapsed > 0.05 {
                isMeasured = true
                spent += elapsed
                left += elapsed / share * (1 - share)
            } else {
                isMeasured = isMeasured || (speeds.measured[stage] != nil && stage == .step)
                let whole = amount / speeds.speed(stage)
                spent += whole * share
                left += whole * (1 - share)
            }
        }
        return (spent + left > 0 ? spent / (spent + left) : 0, isMeasured ? left : nil)
    }

    static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
    }
}
