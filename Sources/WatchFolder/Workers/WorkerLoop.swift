import CSystem
import Foundation
import Logging

/// When a worker ends by itself, so that its memory goes back to the system; the service starts another.
public struct WorkerLimits: Sendable, Hashable {
    /// Jobs after which the worker ends; nil for no limit.
    public var maximumJobs: Int?
    /// Resident memory between jobs above which the worker ends, in bytes; nil for no limit.
    public var maximumResidentBytes: Int?

    public init(maximumJobs: Int? = nil, maximumResidentBytes: Int? = nil) {
        self.maximumJobs = maximumJobs
        self.maximumResidentBytes = maximumResidentBytes
    }
}

/// Claims jobs from the ledger, has the engine make them in staging, and hands them in: the inside of
/// `dropreel worker`. Blocks the thread that runs it.
public final class WorkerLoop {
    let name: String
    let ledger: any Ledger
    let layout: ServiceLayout
    let engine: any VideoGenerating
    let signals: any WorkerSignals
    let clock: any ServiceClock
    let policy: AttemptPolicy
    let limits: WorkerLimits
    let programVersion: String
    /// Seconds between two signs of life.
    let heartbeatInterval: Double
    /// Seconds between two looks into the queue without a signal.
    let idleInterval: Double
    /// Seconds without progress after which what computes counts as hung; nil for any time.
    let progressTimeout: Double?
    /// Called from another thread, after the attempt was ended, when that time is over; the process must end then.
    let onStall: @Sendable () -> Void
    let logger: Logger

    /// - Parameter name: names the worker in the ledger; one process may use it only once.
    public init(
        name: String, ledger: any Ledger, layout: ServiceLayout, engine: any VideoGenerating,
        signals: any WorkerSignals, clock: any ServiceClock = SystemClock(), policy: AttemptPolicy = AttemptPolicy(),
        limits: WorkerLimits = WorkerLimits(), programVersion: String, heartbeatInterval: Double = 0.5,
        idleInterval: Double = 1, progressTimeout: Double? = nil, onStall: @escaping @Sendable () -> Void = {},
        logger: Logger = Logger(label: "dropreel.worker")
    ) {
        self.name = name
        self.ledger = ledger
        self.layout = layout
        self.engine = engine
        self.signals = signals
        self.clock = clock
        self.policy = policy
        self.limits = limits
        self.programVersion = programVersion
        self.heartbeatInterval = heartbeatInterval
        self.idleInterval = idleInterval
        (self.progressTimeout, self.onStall) = (progressTimeout, onStall)
        self.logger = logger
    }

    /// Makes the calling process a worker of its parent: it dies with the service, keeps nothing of the terminal, and
    /// listens on descriptor 0. Call once, first thing; standard output goes to standard error from then on.
    public static func becomeChild() -> PipeSignals {
        signal(SIGPIPE, SIG_IGN)
        // A group of its own: an interrupt typed at the terminal is for the service, which then drains.
        _ = setpgid(0, 0)
        _ = dropreel_die_with_parent(SIGKILL)
        let input = fcntl(0, F_DUPFD_CLOEXEC, 3)
        let output = fcntl(1, F_DUPFD_CLOEXEC, 3)
        dup2(2, 1)
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        dup2(null, 0)
        return PipeSignals(input: input, output: output)
    }

    /// Exit status of a worker whose GPU was lost.
    public static let deviceLostStatus: Int32 = 69

    /// Why a loop ended.
    public enum End: Sendable {
        /// It was asked to, or a limit was reached.
        case orderly
        /// What computes can do no more in this process.
        case deviceLost
    }

    /// Works until the signals say drain, a limit is reached or the device is lost.
    /// - Throws: `ServiceError` when the ledger cannot be used.
    @discardableResult
    public func run() throws -> End {
        var jobs = 0
        while !signals.isDraining {
            let claim: Claim?
            do {
                claim = try ledger.claim(worker: name, loadedModel: engine.loadedModel, at: clock.now(), policy: policy)
            } catch let error as ServiceError where error.code == .noSpace {
                claim = nil
            }
            guard let claim else {
                signals.wait(seconds: idleInterval)
                continue
            }
            let isUsable = try perform(claim)
            signals.announce()
            guard isUsable else { return .deviceLost }
            jobs += 1
            if let most = limits.maximumJobs, jobs >= most { return .orderly }
            if let most = limits.maximumResidentBytes, Self.residentBytes() > most {
                logger.info("worker ends to give memory back", metadata: ["worker": "\(name)"])
                return .orderly
            }
        }
        return .orderly
    }

    static func residentBytes() -> Int {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
        let fields = text.split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }
}
