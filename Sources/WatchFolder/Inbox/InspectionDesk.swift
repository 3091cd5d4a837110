import Foundation

/// Tries pictures and sounds beside the service's loop: one that takes long, on purpose perhaps, holds up neither the
/// status nor the noticing of other files.
///
/// A verdict is kept until it is asked for; those nobody came back for are dropped after a while.
final class InspectionDesk: @unchecked Sendable {
    // Invariant: everything below is touched only while `condition` is locked.
    private let condition = NSCondition()
    private var waiting: [Item] = []
    private var running: Set<Item> = []
    private var verdicts: [(item: Item, verdict: InputVerdict)] = []

    private struct Item: Hashable {
        var snapshot: URL
        var medium: InputMedium
    }

    private let inspector: any InputInspecting

    /// Files tried at the same time.
    static let threads = 2
    private static let keptVerdicts = 1_000

    init(inspector: any InputInspecting) { self.inspector = inspector }

    /// Asks for the verdict on a picture or sound, and waits a little for it.
    ///
    /// - Parameters:
    ///   - snapshot: a copy named by its content, that is not removed before the verdict.
    ///   - seconds: how long to wait.
    /// - Returns: nil while it is still being tried; ask again.
    func verdict(on snapshot: URL, as medium: InputMedium, within seconds: Double) -> InputVerdict? {
        let item = Item(snapshot: snapshot, medium: medium)
        condition.lock()
        defer { condition.unlock() }
        if !isKnown(item) {
            waiting.append(item)
            if running.count < Self.threads { startThread() }
        }
        let end = Date(timeIntervalSinceNow: seconds)
        while true {
            if let index = verdicts.firstIndex(where: { $0.item == item }) {
                return verdicts.remove(at: index).verdict
            }
            guard condition.wait(until: end) else { return nil }
        }
    }

    private func isKnown(_ item: Item) -> Bool {
        running.contains(item) || waiting.contains(item) || verdicts.contains { $0.item == item }
    }

    /// Ends when nothing waits.
    private func startThread() {
        guard !waiting.isEmpty else { return }
        let first = waiting.removeFirst()
        running.insert(first)
        let thread = Thread { [self] in
            var next: Item? = first
            while let item = next {
                let verdict = inspector.inspect(item.snapshot, as: item.medium)
                next = condition.withLock { finish(item, verdict) }
            }
        }
        thread.name = "inspection"
        thread.start()
    }

    private func finish(_ item: Item, _ verdict: InputVerdict) -> Item? {
        running.remove(item)
        if verdicts.count >= Self.keptVerdicts { verdicts.removeFirst() }
        verdicts.append((item, verdict))
        condition.broadcast()
        guard !waiting.isEmpty else { return nil }
        let next = waiting.removeFirst()
        running.insert(next)
        return next
    }
}
