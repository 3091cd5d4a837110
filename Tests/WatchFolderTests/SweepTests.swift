import Foundation
import Testing

@testable import WatchFolder

/// Faults at every call of one whole job: behaviours 14, 15 and 16. A few of each kind here, all of them by
/// `make test-faults`.
@Suite(.serialized)
struct SweepTests {
    private typealias Point = SweepRun.Point

    /// Checks what a sweep brought, and says how much that was.
    /// - Parameter count: calls of an undisturbed run. The last tenth may not come in another one.
    private func judge(
        _ what: String, _ points: [Point], _ results: [SweepRun.Result], of count: Int, mayFail: Bool
    ) {
        for (point, result) in zip(points, results) where !result.violations.isEmpty {
            Issue.record("\(point) (\(result.place)): \(result.violations.joined(separator: "\n"))")
        }
        let reached = results.count(where: \.wasReached)
        let failed = results.count(where: \.hasFailed)
        let broken = results.count { !$0.violations.isEmpty }
        for (point, result) in zip(points, results) where result.hasFailed {
            print("  \(point) (\(result.place)): \(result.failure)")
        }
        print(
            "\(what): \(points.count) points, \(reached) struck, \(failed) jobs ended as errors, \(broken) violations")
        if !mayFail {
            for (point, result) in zip(points, results) where result.hasFailed {
                Issue.record("\(point) (\(result.place)): ended as an error: \(result.failure)")
            }
        }
        for index in points.indices where points[index].mode != .short && points[index].target <= count * 9 / 10 {
            #expect(results[index].wasReached, "\(points[index]) was not reached")
        }
    }

    /// All of them, or about so many.
    private func some(_ range: ClosedRange<Int>, about few: Int) -> [Int] {
        let step = SweepRun.isLong ? SweepRun.stride : max(1, range.count / few)
        return Array(stride(from: range.lowerBound, through: range.upperBound, by: step))
    }

    @Test("behaviour 14: kill -9 before and after every call that changes the disk, in the service and in its worker")
    func kills() throws {
        let count = try (0..<3).map { _ in try SweepRun().countCalls(.changing) }.max() ?? 0
        #expect(count > 100)
        var points: [Point] = []
        for target in some(1...count, about: 10) {
            points.append(Point(mode: .killBefore, target: target))
            points.append(Point(mode: .killAfter, target: target))
            points.append(Point(mode: .killBefore, target: target, alsoKillsService: true))
        }
        let results = SweepRun.sweep(points)
        judge("kill sweep over \(count) calls", points, results, of: count, mayFail: false)
        #expect(results.contains { $0.place.hasPrefix("worker") } || !SweepRun.isLong)
    }

    @Test("behaviour 14: kill -9 again before every call of the recovery")
    func killsInRecovery() throws {
        let count = try SweepRun().countCalls(.changing)
        var points: [Point] = []
        for part in SweepRun.isLong ? Array(1...12) : [5, 9] {
            let first = count * part / 13 + 1
            let recovery = try SweepRun().countCalls(.changing, afterKill: first)
            for target in some(1...max(1, recovery), about: 4) {
                points.append(
                    Point(mode: .killBefore, target: first, alsoKillsService: true, recoveryTarget: target))
            }
        }
        let results = SweepRun.sweep(points)
        judge("kill sweep in recovery", points, results, of: count, mayFail: false)
        print("kill sweep in recovery: \(results.count(where: \.wasReachedInRecovery)) killed twice")
    }

    /// What can be wrong with a disk or a process, and the calls that can say so.
    struct Kind: Sendable, CustomTestStringConvertible {
        var name: String
        var mode = FaultPlan.Mode.fail
        var calls: FaultPlan.Calls
        var error: Int32 = 0
        /// Whether a job may end as an error when it happens: not where it passes by itself.
        var mayFail = true
        var testDescription: String { name }

        private static let growing: FaultPlan.Calls = [
            .create, .write, .rename, .link, .makeFolder, .truncate, .sync, .allocate,
        ]
        static let all = [
            Kind(name: "ENOSPC", calls: growing, error: ENOSPC, mayFail: false),
            Kind(name: "EDQUOT", calls: growing, error: EDQUOT, mayFail: false),
            Kind(name: "EIO", calls: [.changing, .close, .open], error: EIO),
            Kind(name: "EINTR", calls: [.create, .open, .write, .truncate, .allocate, .close], error: EINTR),
            Kind(name: "EMFILE", calls: [.create, .open], error: EMFILE),
            Kind(name: "short write", mode: .short, calls: .write, mayFail: false),
            Kind(name: "failed close", calls: .close, error: EIO),
            Kind(name: "failed fsync", calls: .sync, error: EIO),
        ]
    }

    /// All kinds, or the one that `DROPREEL_FAULTS_KIND` names.
    private static let kinds = Kind.all.filter { kind in
        ProcessInfo.processInfo.environment["DROPREEL_FAULTS_KIND"].map { $0 == kind.name } ?? true
    }

    @Test("behaviours 15 and 16: a failing call, once or for a while, loses nothing", arguments: kinds)
    func faults(kind: Kind) throws {
        let count = try SweepRun().countCalls(kind.calls)
        #expect(count > 5)
        var points: [Point] = []
        for target in some(1...count, about: 3) {
            for isSticky in [false, true] {
                points.append(
                    Point(
                        mode: kind.mode, calls: kind.calls.rawValue, target: target, isSticky: isSticky,
                        error: kind.error))
            }
        }
        judge(
            "fault sweep, \(kind.name), over \(count) calls", points, SweepRun.sweep(points), of: count,
            mayFail: kind.mayFail)
    }
}
