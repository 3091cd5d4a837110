import Foundation

/// What one pass over the inbox did.
public struct RunSummary: Codable, Sendable, Hashable {
    public var done: Int
    public var failed: Int
    /// Files that wait for something that did not come (a prompt, the rest of a copy, a sound rule).
    public var waiting: [ServiceStatus.Waiting]
    /// Films, below the outbox, in the order of publishing.
    public var films: [String]
    public var errors: [ServiceError]
}

extension Service {
    /// Ends in order: no new jobs, running ones may finish until the time is over, the rest goes back to the queue.
    func stop(within seconds: Double, onTick: () -> Void = {}) throws {
        isDraining = true
        pool.drain()
        let end = clock.uptime() + seconds
        while clock.uptime() < end {
            tick()
            onTick()
            if try ledger.jobs(in: [.running, .rendered, .publishing]).isEmpty { break }
            var descriptors = ([wake.input] + pool.announcements).map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            _ = poll(&descriptors, nfds_t(descriptors.count), 50)
        }
        try pool.stop()
        watching.stop()
        // Whatever was handed in at the last moment.
        guarded("publishing") { try publishRendered(all: true) }
        guarded("log") { try logFailures() }
        guarded("returning inputs") { try returnInputs() }
        guarded("copies") { try Self.removeHalfMadeCopies(layout) }
        guarded("status") { try writeStatus(isRunning: false) }
    }

    /// Processes what lies in the inbox until nothing can be done without somebody doing something, then stops.
    ///
    /// - Parameter onProgress: called about once a second with the state of things.
    public func runOnce(
        stopTimeout: Double, onProgress: (ServiceStatus) -> Void = { _ in }, shouldStop: @Sendable () -> Bool
    ) throws -> RunSummary {
        let started = clock.now()
        var nextReport = 0.0
        while !shouldStop() {
            tick()
            if clock.uptime() >= nextReport {
                nextReport = clock.uptime() + 1
                if let status = try? status() { onProgress(status) }
            }
            if try isIdle() { break }
            pauseBriefly()
        }
        let waiting = view.waiting(waitReasons, at: clock.uptime())
        try stop(within: stopTimeout)
        let finished = try ledger.recentlyFinished(limit: 100_000).reversed().filter {
            ($0.finishedAt ?? started) >= started
        }
        return RunSummary(
            done: finished.filter { $0.state == .done }.count, failed: finished.filter { $0.state == .failed }.count,
            waiting: waiting,
            films: finished.compactMap { job in
                job.publication.map { $0.folder.isEmpty ? $0.film : "\($0.folder)/\($0.film)" }
            },
            errors: finished.compactMap(\.error))
    }

    private func pauseBriefly() {
        var descriptors = ([wake.input] + pool.announcements).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        _ = poll(&descriptors, nfds_t(descriptors.count), 50)
    }

    /// Nothing settles, waits for its partner's time to pass, runs or has to be returned.
    private func isIdle() throws -> Bool {
        let now = clock.uptime()
        for (path, state) in view.settling.states {
            switch state {
            case .settling, .beingWritten: return false
            case .ready:
                guard waitReasons[path] != nil else { return false }
                if let since = view.readySince[path], now - since < options.pairWait { return false }
            case .incomplete, .rejected: continue
            }
        }
        guard checks.isSettled else { return false }
        guard try ledger.jobs(in: [.queued, .running, .rendered, .publishing]).isEmpty else { return false }
        return try ledger.openDrops().isEmpty
    }
}
