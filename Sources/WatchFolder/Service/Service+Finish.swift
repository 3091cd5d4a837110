import Foundation
import Intake
import Rules

extension Service {
    /// Makes finished renders visible, oldest first. A render that cannot be trusted costs its job one attempt.
    /// - Parameter all: whether it may take as long as it takes.
    func publishRendered(all: Bool = false) throws {
        let start = clock.uptime()
        hasMoreToPublish = false
        let waiting = try ledger.jobs(in: [.rendered, .publishing], limit: all ? -1 : Self.publishedAtOnce)
        guard !waiting.isEmpty else { return }
        let share = share(since: start)
        for (index, job) in waiting.enumerated() {
            if !all, share.isOver {
                hasMoreToPublish = true
                return
            }
            if index + 1 == Self.publishedAtOnce { hasMoreToPublish = true }
            guard let drop = try ledger.drop(job.drop), drop.state == .open else { continue }
            do {
                try publisher.publish(job, of: drop)
                if onEvent != nil, let output = try ledger.job(job.id)?.publication?.path {
                    tell(job, publishedAs: output)
                }
                logger.info("published", metadata: ["job": "\(job.id)", "stem": "\(job.stem)"])
            } catch let unfinished as Publisher.Unfinished {
                let known = Self.serviceError(unfinished.cause)
                if known.code == .noSpace { throw known }
                logger.error("published, but not yet booked", metadata: ["job": "\(job.id)", "error": "\(known)"])
            } catch {
                let known = Self.serviceError(error)
                if known.code == .noSpace { throw known }
                try reject(job, known)
            }
            nextStatus = 0
        }
    }

    /// Results looked at in one round.
    private static let publishedAtOnce = 50

    private func reject(_ job: JobRecord, _ error: ServiceError) throws {
        // Cancelled between the look and the record: nothing is published, nothing is wrong.
        guard let current = try ledger.job(job.id), !current.state.isFinal else {
            discardStaging(job)
            return
        }
        if let publication = current.publication {
            try publisher.withdraw(publication, of: current)
        } else {
            // Before the books, which may fail as well: data whose sync failed must not be there to be synced again.
            discardStaging(job)
        }
        var reason = error
        if !reason.code.isRetryable { reason.code = .storage }
        let state = try ledger.reject(job.id, error: reason, at: clock.now(), policy: options.policy)
        logger.error("publishing failed", metadata: ["job": "\(job.id)", "error": "\(error)", "now": "\(state)"])
        discardStaging(job)
        pool.wake()
    }

    private func discardStaging(_ job: JobRecord) {
        let epoch = job.publication?.epoch ?? job.epoch
        try? FileManager.default.removeItem(at: layout.staging(job.id, epoch: epoch))
    }

    /// One line for each job that failed.
    func logFailures() throws {
        for job in try ledger.unloggedJobs() {
            let record = try JobLog.record(
                of: job, inputs: try ledger.drop(job.drop)?.inputs ?? [], publication: nil, publishSeconds: nil,
                at: job.finishedAt ?? clock.now(), programVersion: programVersion)
            try publisher.appendLog(record, id: job.id)
            try ledger.markLogged(job.id)
            tell(job)
            logger.warning(
                "job failed",
                metadata: ["job": "\(job.id)", "stem": "\(job.stem)", "error": "\(job.error?.description ?? "")"])
            nextStatus = 0
        }
    }

    /// Takes the inputs of finished drops out of the folders.
    func returnInputs() throws {
        let finished = try ledger.finishedDrops()
        guard !finished.isEmpty else { return }
        let returning = InputReturn(
            root: view.root, ledger: ledger, layout: layout, files: files, names: folderNames)
        for (drop, jobs) in finished {
            // The log comes first: a failed job whose line is missing is not finished yet.
            guard jobs.allSatisfy({ $0.state != .failed || $0.isLogged }) else { continue }
            for (path, disposition) in try returning.settle(drop, jobs: jobs) {
                guard view.known[path]?.drop == drop.id else { continue }
                if disposition == .kept { view.known.markKept(path) } else { view.known.remove(path) }
                view.missing[path] = nil
                // A file that took the place meanwhile is seen by the next scan.
                if disposition == .gone { dirty.insert(path.parent) }
            }
        }
    }

    // MARK: Status

    func status(isRunning: Bool = true) throws -> ServiceStatus {
        var reasons = waitReasons
        for path in orphans {
            reasons[path] = "its partner was taken away; drop the partner again, or save this file anew to run it alone"
        }
        return ServiceStatus(
            try readLedgerSide(), at: clock.now(), waiting: view.waiting(reasons, at: clock.uptime()),
            notices: [watching.pollingReason, notice].compactMap { $0 } + pool.notices, pause: pause,
            isRunning: isRunning)
    }

    private func readLedgerSide() throws -> ServiceStatus.LedgerSide {
        let revision = try ledger.revision()
        if let known = ledgerSide, known.revision == revision, !known.side.changesWithTime { return known.side }
        let side = try ServiceStatus.LedgerSide(ledger, at: clock.now())
        ledgerSide = (revision, side)
        return side
    }

    func writeStatus(isRunning: Bool = true) throws {
        guard clock.uptime() >= nextStatus || !isRunning else { return }
        nextStatus = clock.uptime() + options.statusInterval
        let status = try status(isRunning: isRunning)
        onStatus?(status)
        try writeFolderStatus(status)
        guard !isRunning || isWorthWriting(status) else { return }
        let text = StatusText.render(status, utcOffset: utcOffset)
        let outbox = layout.outbox.path
        let folder = try files.openDirectory(outbox)
        defer { close(folder) }
        try folderNames.adding(["STATUS.txt"], to: folder) {
            try files.replace(
                outbox + "/STATUS.txt", with: Data(text.utf8), staging: layout.stagingRoot.path, synced: false)
        }
        try files.replace(
            layout.statusFile.path, with: try JSONEncoder.readable.encode(status), staging: layout.stagingRoot.path,
            synced: false)
        written = (status, clock.uptime())
    }

    /// Where nothing moves, only the time is new, and every client with the folder open would be woken for it; nobody
    /// reads a status older than 2 s all the same.
    private func isWorthWriting(_ status: ServiceStatus) -> Bool {
        guard status.running.isEmpty, let written, clock.uptime() - written.at < Self.idleStatusInterval
        else { return true }
        var last = written.status
        last.writtenAt = status.writtenAt
        return last != status
    }

    /// Between two writings of a status that tells nothing new, in seconds.
    private static let idleStatusInterval = 1.5

    // MARK: Space

    func beginPause(_ reason: String) {
        guard pause == nil else { return }
        pause = "\(reason) Nothing is lost; the work goes on when there is space again."
        nextSpaceCheck = clock.uptime() + options.spaceRetryInterval
        nextStatus = 0
        logger.error("paused", metadata: ["reason": "\(reason)"])
        onEvent?(.paused(reason))
        try? ledger.setPause(pause)
    }

    /// Pauses before the last bytes are gone, and goes on when there is room.
    func checkSpace() throws {
        let now = clock.uptime()
        guard now >= nextSpaceCheck else { return }
        nextSpaceCheck = now + (pause == nil ? 5 : options.spaceRetryInterval)
        let free = try freeBytes()
        if pause == nil {
            // A worker found the disk full.
            if let reason = try ledger.pauseReason() { pause = reason }
            if free < options.minimumFreeBytes { beginPause("The disk is almost full (\(free >> 20) MiB left).") }
        } else if free >= options.minimumFreeBytes {
            try ledger.setPause(nil)
            pause = nil
            logger.info("goes on: there is space again")
            onEvent?(.resumed)
            pool.wake()
        }
    }

    private func freeBytes() throws -> Int64 {
        var least = Int64.max
        for folder in [layout.state.path, layout.outbox.path] {
            var status = statvfs()
            guard statvfs(folder, &status) == 0 else { throw ServiceError.system("statvfs", "state", errno: errno) }
            least = min(least, Int64(clamping: UInt64(status.f_bavail) &* UInt64(status.f_frsize)))
        }
        return least
    }

    // MARK: House

    func keepHouse() throws {
        guard clock.uptime() >= nextHousekeeping else { return }
        nextHousekeeping = clock.uptime() + 600
        try Self.removeHalfMadeCopies(layout)
        try trimSnapshots()
        try trimReturned()
    }

    /// Removes copies of pictures that no job needs, oldest first, above the limit.
    private func trimSnapshots() throws {
        let needed = try ledger.neededSnapshots().union(view.snapshots.digests)
        var copies: [(name: String, size: Int64, modified: Int64)] = []
        for name in try FileManager.default.contentsOfDirectory(atPath: layout.snapshots.path) {
            var status = stat()
            guard lstat(layout.snapshot(name).path, &status) == 0 else { continue }
            copies.append((name, Int64(status.st_size), Int64(status.st_mtim.tv_sec)))
        }
        var total = copies.reduce(0) { $0 + $1.size }
        for copy in copies.sorted(by: { $0.modified < $1.modified }) where total > options.snapshotBytes {
            guard !needed.contains(copy.name) else { continue }
            unlink(layout.snapshot(copy.name).path)
            total -= copy.size
        }
    }
}
