import Foundation

/// Tries pictures beside the service's loop: one that takes long, on purpose perhaps, holds up neither the status nor
/// the noticing of other files.
///
/// A verdict is kept until it is asked for; those nobody came back for are dropped after a while.
final class InspectionDesk: @unchecked Sendable {
    // Invariant: everything below is touched only while `condition` is locked.
    private let condition = NSCondition()
    private var waiting: [URL] = []
    private var running: Set<URL> = []
    private var verdicts: [(snapshot: URL, verdict: ImageVerdict)] = []

    private let inspector: any ImageInspecting

    /// Pictures tried at the same time.
    static let threads = 2
    private static let keptVerdicts = 1_000

    init(inspector: any ImageInspecting) { self.inspector = inspector }

    /// Asks for the verdict on a picture, and waits a little for it.
    ///
    /// - Parameters:
    ///   - snapshot: a copy named by its content, that is not removed before the verdict.
    ///   - seconds: how long to wait.
    /// - Returns: nil while the picture is still being tried; ask again.
    func verdict(on snapshot: URL, within seconds: Double) -> ImageVerdict? {
        condition.lock()
        defer { condition.unlock() }
        if !isKnown(snapshot) {
            waiting.append(snapshot)
            if running.count < Self.threads { startThread() }
        }
        let end = Date(timeIntervalSinceNow: seconds)
        while true {
            if let index = verdicts.firstIndex(where: { $0.snapshot == snapshot }) {
                return verdicts.remove(at: index).verdict
            }
            guard condition.wait(until: end) else { return nil }
        }
    }

    private func isKnown(_ snapshot: URL) -> Bool {
        running.contains(snapshot) || waiting.contains(snapshot)
            || verdicts.contains { $0.snapshot == snapshot }
    }

    /// Ends when nothing waits.
    private func startThread() {
        guard !waiting.isEmpty else { return }
        let first = waiting.removeFirst()
        running.insert(first)
        let thread = Thread { [self] in
            var next: URL? = first
            while let snapshot = next {
                let verdict = inspector.inspect(snapshot)
                next = condition.withLock { finish(snapshot, verdict) }
            }
        }
        thread.name = "picture inspection"
        thread.start()
    }

    private func finish(_ snapshot: URL, _ verdict: ImageVerdict) -> URL? {
        running.remove(snapshot)
        if verdicts.count >= Self.keptVerdicts { verdicts.removeFirst() }
        verdicts.append((snapshot, verdict))
        condition.broadcast()
        guard !waiting.isEmpty else { return nil }
        let next = waiting.removeFirst()
        running.insert(next)
        return next
    }
}
