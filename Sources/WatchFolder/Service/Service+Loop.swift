import Foundation
import Intake
import Rules

extension Service {
    /// Works until `shouldStop` answers true (asked at least once a second), then drains: running jobs may finish
    /// until `stopTimeout` is over, what is left goes back to the queue at no cost.
    ///
    /// Blocks the calling thread, which must stay alive as long as workers run.
    /// - Parameter onTick: called after each round of the loop; for the watchdog of systemd.
    public func run(
        stopTimeout: Double, onTick: () -> Void = {}, shouldStop: @Sendable () -> Bool
    ) throws {
        while !shouldStop() {
            tick()
            onTick()
            if shouldStop() { break }
            rest()
        }
        try stop(within: stopTimeout, onTick: onTick)
    }

    /// One round. Errors end here: they are logged and, where they say that the disk is full, pause the service.
    func tick() {
        wake.clear()
        guarded("space") { try checkSpace() }
        guarded("rules") { try reloadRules() }
        guarded("scan") { try look() }
        guarded("renames") { try settleMissing() }
        if pause == nil, !isDraining {
            guarded("settling") {
                let start = clock.uptime()
                let due = view.settling.due(at: start)
                try view.settle(
                    due, into: snapshotRoot, layout: layout, desk: inspections, at: start, share: share(since: start))
            }
            guarded("check") { try answerChecks() }
            guarded("acceptance") { try acceptGathered() }
        }
        let isIdle = idleRevision != nil && (try? ledger.revision()) == idleRevision
        guarded("workers") { try pool.supervise(hasClaims: !isIdle) }
        if !isIdle { endJobs() }
        guarded("status") { try writeStatus() }
        guarded("housekeeping") { try keepHouse() }
    }

    /// What the ledger asks for. Until it changes there is no need to read it again, once nothing is left.
    private func endJobs() {
        if pause == nil { guarded("publishing") { try publishRendered() } }
        if pause == nil { guarded("log") { try logFailures() } }
        if pause == nil { guarded("returning inputs") { try returnInputs() } }
        idleRevision = nil
        guarded("ledger") {
            let revision = try ledger.revision()
            if try !ledger.concernsService() { idleRevision = revision }
        }
    }

    func guarded(_ what: String, _ body: () throws -> Void) {
        do {
            try body()
        } catch {
            let known = Self.serviceError(error)
            if known.code == .noSpace {
                beginPause(known.message)
            } else {
                logger.error("\(what) failed", metadata: ["error": "\(known)"])
            }
        }
    }

    static func serviceError(_ error: any Error) -> ServiceError {
        guard let intake = error as? IntakeError else { return .wrapping(error) }
        if intake.code == .noSpace { return .system("write", intake.message, errno: ENOSPC) }
        return ServiceError(.storage, intake.message, hint: intake.hint, cause: "errno \(intake.errno)")
    }

    /// The time of one kind of work in one round: the status stays fresh and deletions are noticed while thousands of
    /// files wait.
    struct Share {
        fileprivate static let seconds = 0.3
        fileprivate let clock: any ServiceClock
        fileprivate let end: Double

        var isOver: Bool { clock.uptime() >= end }
    }

    /// Begins now, after the look at what there is to do: that takes long where there is much, must not leave nothing
    /// for the work itself, and not take more than half of the time.
    /// - Parameter start: when the look began, in uptime.
    func share(since start: Double) -> Share {
        let now = clock.uptime()
        return Share(clock: clock, end: now + max(Share.seconds, now - start))
    }

    // MARK: Waiting

    private func rest() {
        var descriptors = ([wake.input] + pool.announcements).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        _ = poll(&descriptors, nfds_t(descriptors.count), Int32(max(0, secondsToRest() * 1000).rounded(.up)))
    }

    private func secondsToRest() -> Double {
        let now = clock.uptime()
        var next = min(nextStatus, nextRules, nextFullScan)
        if let due = checks.due(at: now, quiet: options.quietPeriod).next { next = min(next, due) }
        if let settled = view.settling.nextDeadline { next = min(next, settled) }
        if pause == nil, hasMoreToAccept || hasMoreToPublish { next = now }
        if !view.missing.isEmpty { next = min(next, now + Self.renameGrace / 2) }
        for (path, since) in view.readySince where waitReasons[path] != nil {
            let due = since + options.pairWait
            if due > now { next = min(next, due) }
        }
        return min(max(next - now, 0.005), 1)
    }

    // MARK: Looking

    /// How long a known input may be absent before it counts as taken away, in seconds: a rename shows up within.
    static let renameGrace = 0.4

    private func look() throws {
        let news = watching.takeNews()
        let now = clock.uptime()
        if news.needsFullScan || now >= nextFullScan {
            let interval = watching.pollingReason == nil ? options.scanInterval : options.pollInterval
            try follow(view.scan(.root, recursive: true, at: now))
            dirty.removeAll()
            lookForChecks(in: view.folders)
            // A large inbox on a slow file system must not be read without pause.
            nextFullScan = clock.uptime() + max(interval, 10 * (clock.uptime() - now))
            return
        }
        let changed = dirty.union(news.folders).union(news.newFolders)
        for folder in changed where CheckDesk.isCheckFolder(folder) { checks.look(at: folder, in: view.root, at: now) }
        for folder in news.newFolders where isInputFolder(folder) {
            try follow(view.scan(folder, recursive: true, at: now))
            lookForChecks(in: view.folders.filter { $0.isWithin(folder) })
        }
        for folder in dirty.union(news.folders).subtracting(news.newFolders) where isInputFolder(folder) {
            try follow(view.scan(folder, recursive: false, at: now))
        }
        dirty.removeAll()
    }

    private func isInputFolder(_ path: RelativePath) -> Bool { path.components.allSatisfy(DropName.isInputFolder) }

    private func follow(_ changes: [InboxView.Change]) throws {
        for case .renamed(let from, let file) in changes {
            guard let entry = view.known[from] else { continue }
            try rename(entry, from: from, to: file)
        }
    }

    private func rename(_ entry: KnownInputs.Entry, from: RelativePath, to file: ObservedFile) throws {
        let isLead = !view.known.paths(of: entry.drop).contains { path in
            path != from && entry.role != .image && view.known[path]?.role == .image
        }
        let name = DropName(file.path.name)
        try ledger.relocate(
            drop: entry.drop, role: entry.role, path: file.path.string, identity: file.identity,
            stem: isLead && entry.isWaiting ? name.stem : nil)
        var input = InputRecord(
            role: entry.role, path: file.path.string, name: file.path.name, sha256: entry.sha256,
            identity: file.identity)
        input.disposition = entry.isWaiting ? .waiting : .kept
        view.known.remove(from)
        view.missing[from] = nil
        view.known.insert(input, drop: entry.drop, isWaiting: entry.isWaiting)
        logger.info("input renamed", metadata: ["from": "\(from)", "to": "\(file.path)"])
    }

    /// Inputs that stay away were taken away.
    private func settleMissing() throws {
        let now = clock.uptime()
        let due = view.missing.filter { now - $0.value >= Self.renameGrace }.map(\.key)
        for folder in Set(due.map(\.parent)) { try follow(view.scan(folder, recursive: false, at: now)) }
        // Inputs whose return was cut off half-way, by a full disk perhaps: the service itself moved them.
        let returning = due.isEmpty ? [] : Set(try ledger.finishedDrops().map(\.drop.id))
        for path in due where view.missing[path] != nil {
            view.missing[path] = nil
            guard let entry = view.known[path] else { continue }
            view.known.remove(path)
            if returning.contains(entry.drop) { continue }
            if entry.isWaiting {
                try cancel(entry.drop, missing: [entry.role])
            } else {
                try ledger.forgetKept(path: path.string)
            }
        }
    }

    private func cancel(_ drop: JobID, missing roles: Set<InputRecord.Role>) throws {
        try ledger.cancel(drop: drop, missing: roles, at: clock.now())
        for path in view.known.paths(of: drop) {
            view.known.markKept(path)
            orphans.insert(path)
        }
        logger.info("input taken away: jobs cancelled", metadata: ["drop": "\(drop)"])
        pool.wake()
        nextStatus = 0
    }
}
