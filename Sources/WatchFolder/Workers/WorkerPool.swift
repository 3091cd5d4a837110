import Foundation
import Logging

/// Starts workers, restarts those that die, and ends the attempts of the dead and the hung.
final class WorkerPool {
    private struct Slot {
        var process: WorkerProcess?
        var startedAt = 0.0
        var restartAt = 0.0
        var deaths = 0
        /// Times its device was lost without much work in between, and what is said of the last.
        var losses = 0
        var notice: String?
        let command: WorkerCommand
    }

    private var slots: [Slot]
    private var threads: [LocalSignals] = []
    private let ledger: any Ledger
    private let clock: any ServiceClock
    var options: ServiceOptions
    private let logger: Logger
    private var generation = 0
    private var isDraining = false

    init(
        supply: WorkerSupply, ledger: any Ledger, clock: any ServiceClock, options: ServiceOptions, logger: Logger,
        makeLoop: (String, any VideoGenerating, LocalSignals) -> WorkerLoop, onAnnounce: @escaping @Sendable () -> Void
    ) {
        self.ledger = ledger
        self.clock = clock
        self.options = options
        self.logger = logger
        switch supply {
        case .processes(let command, let count):
            slots = Array(repeating: Slot(command: command), count: count)
        case .fleet(let commands):
            slots = commands.map { Slot(command: $0) }
        case .threads(let engines):
            slots = []
            for (index, engine) in engines.enumerated() {
                let signals = LocalSignals(onAnnounce: onAnnounce)
                threads.append(signals)
                Self.start(makeLoop("thread-\(getpid())-\(index)", engine(), signals), logger: logger)
            }
        case .none:
            slots = []
        }
    }

    private static func start(_ loop: WorkerLoop, logger: Logger) {
        let box = LoopBox(loop: loop)
        let thread = Thread {
            do { try box.loop.run() } catch { logger.error("worker ended", metadata: ["error": "\(error)"]) }
        }
        thread.name = loop.name
        thread.stackSize = 64 << 20
        thread.start()
    }

    /// Invariant: after the hand-over only the worker's thread touches the loop.
    private struct LoopBox: @unchecked Sendable { let loop: WorkerLoop }

    /// Descriptors that become readable when a worker has something to tell.
    var announcements: [Int32] { slots.compactMap { $0.process?.announcements } }

    /// What people should know of lost GPUs.
    var notices: [String] { slots.compactMap(\.notice) }

    /// There may be work.
    func wake() {
        for slot in slots { slot.process?.wake() }
        for thread in threads { thread.wake() }
    }

    /// Reaps the dead, ends what they held, stops the hung, starts what is missing.
    /// - Parameter hasClaims: false where the ledger is known to hold none.
    func supervise(hasClaims: Bool) throws {
        for index in slots.indices {
            guard let process = slots[index].process, process.reap() else { continue }
            try bury(process, slot: index)
        }
        if hasClaims { try stopHung() }
        for index in slots.indices where slots[index].process != nil && clock.uptime() - slots[index].startedAt > 60 {
            (slots[index].notice, slots[index].losses) = (nil, 0)
        }
        guard !isDraining else { return }
        for index in slots.indices where slots[index].process == nil && clock.uptime() >= slots[index].restartAt {
            generation += 1
            let name = "worker-\(getpid())-\(index)-\(generation)"
            do {
                slots[index].process = try WorkerProcess(name: name, command: slots[index].command)
                slots[index].startedAt = clock.uptime()
            } catch {
                slots[index].restartAt = clock.uptime() + max(5, options.workerRestartDelay)
                logger.error("worker cannot be started", metadata: ["error": "\(error)"])
            }
        }
    }

    private func bury(_ process: WorkerProcess, slot index: Int) throws {
        let error = ServiceError(
            .workerCrashed, "The worker died while it made this film (\(process.ending)).",
            hint: "Try a lower resolution or another picture.")
        var diedAtWork = false
        for claim in try ledger.claims() where claim.worker == process.name {
            diedAtWork = true
            let state = try ledger.end(claim, as: .lost(error), at: clock.now(), policy: options.policy)
            var metadata: Logger.Metadata = [
                "job": "\(claim.job.id)", "how": "\(process.ending)", "now": "\(state)",
            ]
            if let device = slots[index].command.device { metadata["device"] = "\(device)" }
            logger.warning("worker died", metadata: metadata)
        }
        slots[index].process = nil
        if process.lostItsDevice, slots[index].command.device != nil { return lose(index, worker: process.name) }
        let lived = clock.uptime() - slots[index].startedAt
        // One that ended by itself between jobs gives memory back and is wanted again at once.
        let isOrderly = process.exitStatus == 0 && !diedAtWork
        slots[index].deaths = isOrderly || lived > 60 ? 0 : min(slots[index].deaths + 1, 7)
        let delay = slots[index].deaths == 0 ? 0 : options.workerRestartDelay * Double(1 << (slots[index].deaths - 1))
        slots[index].restartAt = clock.uptime() + min(delay, 60)
    }

    /// Tells of a lost GPU and has its worker wait: where others work, they have its job before it asks again.
    private func lose(_ index: Int, worker: String) {
        let device = slots[index].command.device ?? "the device"
        slots[index].losses = min(slots[index].losses + 1, 5)
        let others = slots.indices.contains { $0 != index && slots[$0].process != nil }
        let first = others ? options.deviceRestartDelay : options.workerRestartDelay
        let delay = min(first * Double(1 << (slots[index].losses - 1)), others ? 600 : 60)
        slots[index].restartAt = clock.uptime() + delay
        let told = (try? ledger.lastResult(ofWorker: worker)).flatMap { $0 } ?? "It could not be used."
        let code = ServiceError.Code.deviceLost.rawValue + ": "
        let reason = told.hasPrefix(code) ? String(told.dropFirst(code.count)) : told
        let notice = "\(device) was lost. \(reason) Its worker starts again in \(Int(delay.rounded(.up))) s."
        slots[index].notice = notice
        logger.error("\(notice)", metadata: ["worker": "\(worker)"])
    }

    private func stopHung() throws {
        let now = clock.now()
        for claim in try ledger.claims() {
            let isSilent = claim.job.heartbeatAt.map { now.timeIntervalSince($0) > options.heartbeatTimeout } ?? true
            let isLate = claim.job.startedAt.map { now.timeIntervalSince($0) > options.jobTimeout } ?? false
            guard isSilent || isLate else { continue }
            let error = ServiceError(
                .workerHung,
                isLate
                    ? "The film was not finished within \(Int(options.jobTimeout)) s."
                    : "The worker gave no sign of life for \(Int(options.heartbeatTimeout)) s.",
                hint: "Try fewer frames or a lower resolution.")
            let hung = slots.firstIndex { $0.process?.name == claim.worker }
            if let index = hung {
                slots[index].process?.terminate()
                _ = slots[index].process?.reap(waiting: true)
                slots[index].process = nil
            }
            try ledger.end(claim, as: .lost(error), at: now, policy: options.policy)
            logger.warning("worker hung", metadata: ["job": "\(claim.job.id)"])
            if let hung, slots[hung].command.device != nil, isSilent { lose(hung, worker: claim.worker) }
        }
    }

    /// No further jobs; those at hand may be finished.
    func drain() {
        isDraining = true
        for slot in slots { slot.process?.drain() }
        for thread in threads { thread.drain() }
    }

    /// Ends the processes now; what they held goes back to the queue at no cost.
    func stop() throws {
        drain()
        for index in slots.indices {
            slots[index].process?.terminate()
            _ = slots[index].process?.reap(waiting: true)
            slots[index].process = nil
        }
        let now = clock.now()
        for claim in try ledger.claims() {
            try ledger.end(claim, as: .released(notBefore: now), at: now, policy: options.policy)
        }
    }
}
