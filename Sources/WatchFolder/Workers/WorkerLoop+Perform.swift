import Foundation

extension WorkerLoop {
    /// One attempt, from claim to hand-in. Engine errors end in the ledger, not here.
    /// - Returns: false if the device is lost.
    func perform(_ claim: Claim) throws -> Bool {
        let watch = ClaimWatch(
            claim: claim, ledger: ledger, clock: clock, interval: heartbeatInterval, progressTimeout: progressTimeout,
            onStall: { [ledger, clock, policy, onStall, logger] seconds in
                let error = ServiceError(
                    .deviceLost, "The GPU made no progress for \(Int(seconds)) s.", hint: "The job runs again.")
                _ = try? ledger.end(claim, as: .lost(error), at: clock.now(), policy: policy)
                logger.error("attempt failed", metadata: ["job": "\(claim.job.id)", "error": "\(error)"])
                onStall()
            })
        let staging = layout.staging(claim.job.id, epoch: claim.epoch)
        watch.start()
        let result = Result { try render(claim, staging: staging, watch: watch) }
        watch.stop()
        switch result {
        case .success(let outcome):
            let isWanted = try patiently { try ledger.complete(claim, outcome: outcome, at: clock.now()) }
            if !isWanted { discard(staging) }
        case .failure(let failure):
            let error = reason(of: failure, staging: staging)
            discard(staging)
            if error.code == .noSpace { try? ledger.setPause(error.message) }
            let state = try patiently { try ledger.end(claim, as: .failed(error), at: clock.now(), policy: policy) }
            if state != .cancelled {
                logger.warning("attempt failed", metadata: ["job": "\(claim.job.id)", "error": "\(error)"])
            }
            return error.code != .deviceLost
        }
        return true
    }

    private func render(_ claim: Claim, staging: URL, watch: ClaimWatch) throws -> RenderOutcome {
        discard(staging)
        guard mkdir(staging.path, 0o755) == 0 else { throw ServiceError.system("mkdir", "staging", errno: errno) }
        guard let settings = claim.job.settings, let seed = claim.job.seed else {
            throw ServiceError(.ledger, "The job has no settings.", hint: "Drop the file again.")
        }
        let order = RenderOrder(
            jobID: claim.job.id, epoch: claim.epoch, mode: settings.mode, promptGiven: claim.job.promptGiven,
            promptUsed: claim.job.promptUsed, imageSnapshot: claim.job.imageSHA256.map(layout.snapshot),
            audioSnapshot: claim.job.audioSHA256.map(layout.snapshot), settings: settings, seed: seed,
            metadata: try JobLog.order(of: claim.job, inputs: [], programVersion: programVersion))
        return try engine.generate(
            order, into: StagingDirectory(url: staging), progress: { watch.progress = $0 },
            isCancelled: { watch.isOver })
    }

    private func reason(of failure: any Error, staging: URL) -> ServiceError {
        if !(failure is ServiceError || failure is CancellationError), access(staging.path, F_OK) != 0, errno == ENOENT
        {
            // Whatever the engine says of it, its work was taken from under it.
            return ServiceError(
                .storage, "The folder in which the film was being made is gone.", hint: "The job runs again.",
                cause: String(reflecting: failure))
        }
        guard failure is CancellationError else { return .wrapping(failure) }
        return ServiceError(
            .interrupted, "The engine stopped before the film was finished.", hint: "The job runs again.")
    }

    /// Repeats a ledger write while the disk is full: the result is there and only waits for its line.
    private func patiently<Value>(_ body: () throws -> Value) throws -> Value {
        while true {
            do {
                return try body()
            } catch let error as ServiceError where error.code == .noSpace && !signals.isDraining {
                signals.wait(seconds: idleInterval)
            }
        }
    }

    private func discard(_ staging: URL) {
        guard access(staging.path, F_OK) == 0 else { return }
        try? FileManager.default.removeItem(at: staging)
    }
}

/// Keeps one claim alive from a thread of its own, carries progress out and the wish to stop in.
final class ClaimWatch: @unchecked Sendable {
    // Invariant: `latest`, `standing`, `heardAt` and `ended` are touched only with `condition` locked.
    private let condition = NSCondition()
    private var latest: RenderProgress?
    private var standing = ClaimStanding.held
    private var ended = false
    private let claim: Claim
    private let ledger: any Ledger
    private let clock: any ServiceClock
    private let interval: Double
    private let progressTimeout: Double?
    private let onStall: @Sendable (Double) -> Void
    /// When something was heard of the engine last, in uptime.
    private var heardAt: Double

    init(
        claim: Claim, ledger: any Ledger, clock: any ServiceClock, interval: Double, progressTimeout: Double? = nil,
        onStall: @escaping @Sendable (Double) -> Void = { _ in }
    ) {
        self.claim = claim
        self.ledger = ledger
        self.clock = clock
        self.interval = interval
        (self.progressTimeout, self.onStall) = (progressTimeout, onStall)
        heardAt = clock.uptime()
    }

    var progress: RenderProgress? {
        get { condition.withLock { latest } }
        set {
            condition.withLock {
                latest = newValue
                heardAt = clock.uptime()
            }
        }
    }

    /// Nobody wants the result any more.
    var isOver: Bool { condition.withLock { standing != .held } }

    func start() {
        let thread = Thread { [self] in beat() }
        thread.name = "heartbeat"
        thread.start()
    }

    func stop() {
        condition.withLock {
            ended = true
            condition.broadcast()
        }
    }

    private func beat() {
        while true {
            condition.lock()
            let next = Date().addingTimeInterval(interval)
            while !ended, condition.wait(until: next) {}
            let (isEnded, progress, silence) = (ended, latest, clock.uptime() - heardAt)
            condition.unlock()
            if isEnded { return }
            if let most = progressTimeout, silence > most { return onStall(most) }
            // A full disk or a long lock must not kill the render: the next beat tries again.
            guard let answer = try? ledger.beat(claim, progress: progress, at: clock.now()) else { continue }
            condition.withLock { standing = answer }
            if answer == .lost { return }
        }
    }
}
