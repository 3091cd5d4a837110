import Foundation
import Logging
import Rules
import WatchFolder

/// Gathers events for the length of a window from the first one on, and has them sent as one from a thread of its own,
/// so that a slow server never holds the service up.
final class NoticeBatch: @unchecked Sendable {
    // Invariant: every stored variable is touched only with `condition` locked.
    private let condition = NSCondition()
    private var settings: ServiceConfiguration.Notices
    private var gathered = Notice()
    private var firstAt: Date?
    private var isEnding = false
    private var isOver = false
    private let send: @Sendable (Notice, ServiceConfiguration.Notices) -> Void

    /// - Parameter send: called on the batch's thread, one notice at a time.
    init(
        _ settings: ServiceConfiguration.Notices,
        send: @escaping @Sendable (Notice, ServiceConfiguration.Notices) -> Void = NoticeBatch.deliver
    ) {
        self.settings = settings
        self.send = send
        let thread = Thread { [self] in run() }
        thread.name = "notices"
        thread.start()
    }

    static func deliver(_ notice: Notice, _ settings: ServiceConfiguration.Notices) {
        for failure in NoticeDelivery(settings: settings).send(notice) {
            Logger(label: "dropreel.notices").error("notice not sent", metadata: ["why": "\(failure)"])
        }
    }

    /// New settings hold for what is sent from now on.
    func reconfigure(_ new: ServiceConfiguration.Notices) {
        condition.withLock {
            settings = new
            condition.broadcast()
        }
    }

    func add(_ event: ServiceEvent) {
        condition.withLock {
            guard NoticeDelivery(settings: settings).isOn else { return }
            gathered.add(event, includesDone: settings.events == .all)
            if firstAt == nil, !gathered.isEmpty { firstAt = Date() }
            condition.broadcast()
        }
    }

    /// Sends what was gathered without waiting for the end of the window.
    /// - Returns: false when it took longer than `seconds`.
    @discardableResult
    func finish(within seconds: Double) -> Bool {
        condition.withLock {
            isEnding = true
            condition.broadcast()
            let end = Date().addingTimeInterval(seconds)
            while !isOver, condition.wait(until: end) {}
            return isOver
        }
    }

    private func run() {
        while let (notice, settings) = next() { send(notice, settings) }
        condition.withLock {
            isOver = true
            condition.broadcast()
        }
    }

    /// Waits for the end of a window; nil at the end of all.
    private func next() -> (Notice, ServiceConfiguration.Notices)? {
        condition.withLock {
            while true {
                let due = firstAt.map { $0.addingTimeInterval(settings.window) }
                if let due, isEnding || due <= Date() {
                    defer { (gathered, firstAt) = (Notice(), nil) }
                    return (gathered, settings)
                }
                if isEnding { return nil }
                if let due { _ = condition.wait(until: due) } else { condition.wait() }
            }
        }
    }
}
