import Foundation
import Synchronization

@testable import WatchFolder

/// One whole job (a picture and its prompt) of a service that is struck on the way, up to its orderly end.
struct SweepRun {
    /// Where a sweep strikes.
    struct Point: Sendable, CustomStringConvertible {
        var mode: FaultPlan.Mode
        var calls: UInt32 = FaultPlan.Calls.changing.rawValue
        var target: Int
        var alsoKillsService = false
        var isSticky = false
        var error: Int32 = 0
        /// Call of the run after a kill at which that is killed, too.
        var recoveryTarget: Int?

        var description: String {
            "\(mode) at call \(target)\(isSticky ? " and all later" : "")"
                + (error == 0 ? "" : " with \(String(cString: strerror(error)))")
                + (alsoKillsService ? ", with the service" : "")
                + (recoveryTarget.map { ", again at call \($0) of the recovery" } ?? "")
        }
    }

    /// What came of it.
    struct Result: Sendable {
        var violations: [String] = []
        var wasReached = false
        var wasReachedInRecovery = false
        var place = ""
        var hasFailed = false
        /// What the person was told.
        var failure = ""
    }

    private let service = ServiceProcess()
    private let plan: FaultPlan

    init() throws {
        plan = try FaultPlan()
        try service.drop("cat.jpg", "IMG catEND")
        try service.drop("cat.prompt", "seed = 7\n---\na cat")
    }

    private var isFinished: Bool {
        let inputs = service.names("inbox").filter { $0.hasPrefix("cat") }
        return inputs.isEmpty && !service.text("outbox/log.jsonl").isEmpty
    }

    /// - Returns: calls of one undisturbed run until the inputs are returned; with `afterKill`, of the run after a kill
    ///   at that call.
    func countCalls(_ calls: FaultPlan.Calls, afterKill target: Int? = nil) throws -> Int {
        if let target {
            try plan.set(.killBefore, calls: .changing, at: target, alsoKillsService: true)
            try service.start(workers: 1, environment: plan.environment)
            _ = service.waits(within: 300) { !service.isRunning }
        }
        try plan.set(.count, calls: calls)
        try service.start(workers: 1, environment: plan.environment)
        _ = service.waits(within: 300) { isFinished }
        return plan.count
    }

    func strike(_ point: Point) throws -> Result {
        var result = Result()
        let sampler = OutboxSampler(service.root.appendingPathComponent("outbox"))
        try set(point)
        try service.start(workers: 1, environment: plan.environment)
        // The number of calls varies a little from run to run: one of the last may never come.
        var finishedAt: Double?
        _ = service.waits(within: 600) {
            if finishedAt == nil, isFinished { finishedAt = SystemClock().uptime() }
            return plan.hasStruck || !service.isRunning || SystemClock().uptime() > (finishedAt ?? .infinity) + 3
        }
        result.wasReached = plan.hasStruck
        result.place = plan.place
        switch point.mode {
        case .killBefore, .killAfter:
            let isService = point.alsoKillsService || plan.place.hasPrefix("service")
            if isService, plan.hasStruck, !service.waits(within: 300, until: { !service.isRunning }) {
                result.violations.append("still running")
            }
            if isService, plan.hasStruck, let recovery = point.recoveryTarget {
                try plan.set(.killBefore, calls: .changing, at: recovery, alsoKillsService: true)
                try service.start(workers: 1, environment: plan.environment)
                _ = service.waits(within: 300) { !service.isRunning || isFinished }
                result.wasReachedInRecovery = plan.hasStruck
                if plan.hasStruck { _ = service.waits(within: 300) { !service.isRunning } }
            }
        default:
            if point.isSticky {
                // Long enough for the job to come to its end, were it not for the fault.
                _ = service.waits(within: 0.4) { !service.isRunning }
                plan.heal()
            }
        }
        try finish(&result)
        result.violations += sampler.stop()
        if plan.repeatedSyncs > 0 { result.violations.append("a sync was repeated on the same data") }
        if !result.violations.isEmpty, let text = try? String(contentsOf: service.messages, encoding: .utf8) {
            result.violations.append(String(text.suffix(1500)))
        }
        return result
    }

    private func set(_ point: Point) throws {
        try plan.set(
            point.mode, calls: FaultPlan.Calls(rawValue: point.calls), at: point.target,
            alsoKillsService: point.alsoKillsService, isSticky: point.isSticky, error: point.error)
    }

    /// Started again as often as it ends, as systemd does, until the job is over; then the end in order.
    private func finish(_ result: inout Result) throws {
        let isOver = try service.waits(within: 600) {
            if !service.isRunning { try service.start(workers: 1) }
            return isFinished
        }
        guard isOver else {
            result.violations.append("not finished: \(service.names("inbox")) \(service.text("outbox/STATUS.txt"))")
            return
        }
        // A fault may hit the last calls after the inputs are back; a service that starts anew mends what is left.
        _ = service.waits { service.isUp || !service.isRunning }
        if service.terminate() != 0 || !service.names("state/staging").isEmpty {
            try service.start(workers: 1)
            let isUp = service.waits { service.isUp }
            let status = service.terminate()
            if status != 0 || !isUp { result.violations.append("ends with \(status)") }
        }
        let errors = service.names("inbox/_failed").filter { $0.hasSuffix(".ERROR.txt") }
        result.hasFailed = !errors.isEmpty
        result.failure = errors.first.map { service.text("inbox/_failed/" + $0) } ?? ""
        result.violations +=
            FolderInvariants(
                root: service.root, drops: [.init(stem: "cat", files: ["cat.jpg", "cat.prompt"], outcome: .either)]
            ).violations()
    }

    /// Strikes at all points, some at once.
    /// - Returns: results in the order of the points.
    static func sweep(_ points: [Point]) -> [Result] {
        let next = Atomic<Int>(0)
        let results = Mutex([Result](repeating: Result(), count: points.count))
        DispatchQueue.concurrentPerform(iterations: lanes) { _ in
            while true {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < points.count else { return }
                var result = Result()
                do {
                    result = try SweepRun().strike(points[index])
                } catch {
                    result.violations = ["\(error)"]
                }
                results.withLock { $0[index] = result }
            }
        }
        return results.withLock { $0 }
    }

    private static let lanes = 2

    /// Whether every point is wanted (`make test-faults`), or some of each kind.
    static let isLong = ProcessInfo.processInfo.environment["DROPREEL_FAULTS_LONG"] != nil

    /// Of so many points in a row one is taken in the long form.
    static let stride = Int(ProcessInfo.processInfo.environment["DROPREEL_FAULTS_STRIDE"] ?? "") ?? 1
}
