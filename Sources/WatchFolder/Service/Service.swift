import Foundation
import Intake
import Logging
import Rules

/// The watch folder: one loop on one thread that scans, settles, pairs, accepts, publishes, returns inputs and tells
/// the status. Rendering happens elsewhere (`WorkerSupply`); the ledger is the meeting point.
public final class Service {
    let layout: ServiceLayout
    var options: ServiceOptions
    let ledger: any Ledger
    let models: ModelCatalogue
    let inspections: InspectionDesk
    let filmReader: (any FilmMetadataReading)?
    let clock: any ServiceClock
    let logger: Logger
    let files: DurableFiles
    /// What folders hold, of those that results and inputs are put into.
    let folderNames = FolderNames()
    let logTail = LogTail()
    let programVersion: String
    let utcOffset: Int
    let wake: WakePipe
    let lock: ServiceLock
    let snapshotRoot: SafeRoot

    var view: InboxView
    var ruleBook: RuleBook
    var pool: WorkerPool
    var watching: Watching
    var checks = CheckDesk()
    var board: FolderBoard
    /// Told what happens, on the service's thread; must not block.
    public var onEvent: ((ServiceEvent) -> Void)?
    /// Gets each status that is written; must not block.
    public var onStatus: ((ServiceStatus) -> Void)?
    /// Shown in STATUS.txt, as that the configuration is broken.
    public var notice: String?
    var waitReasons: [RelativePath: String] = [:]
    /// Known inputs whose partner was taken away.
    var orphans: Set<RelativePath> = []
    var dirty: Set<RelativePath> = []
    var nextFullScan = 0.0
    var nextStatus = 0.0
    /// The status as it was written last, and when, in uptime.
    var written: (status: ServiceStatus, at: Double)?
    var nextFolderStatus = 0.0
    var nextRules = 0.0
    var nextSpaceCheck = 0.0
    var nextHousekeeping = 0.0
    /// The ledger's revision at which it held nothing for the loop to do; nil while it does.
    var idleRevision: LedgerRevision?
    /// The ledger's side of the status, as it was at a revision.
    var ledgerSide: (revision: LedgerRevision, side: ServiceStatus.LedgerSide)?
    var isDraining = false
    /// Gathered files were left for the next round.
    var hasMoreToAccept = false
    /// Results were left for the next round.
    var hasMoreToPublish = false
    /// Why nothing is taken in or published now, if so.
    var pause: String?

    /// Takes the lock, opens the ledger (setting a broken one aside), and finishes what an earlier run left undone.
    ///
    /// - Parameters:
    ///   - models: what rules are checked against.
    ///   - inspector: decodes pictures and sounds on trial.
    ///   - filmReader: reads the `dropreel` key of an MP4; nil refuses MP4s dropped back.
    ///   - programVersion: for the logs.
    ///   - utcOffset: seconds east of Greenwich of the clock that names and STATUS.txt show.
    ///   - calls: the state-changing system calls of publishing; tests put failures in their place.
    /// - Throws: `ServiceError` of code `configuration` when a folder cannot be used or another service runs.
    public init(
        layout: ServiceLayout, options: ServiceOptions, models: ModelCatalogue, inspector: any InputInspecting,
        filmReader: (any FilmMetadataReading)? = nil, workers: WorkerSupply, programVersion: String, utcOffset: Int = 0,
        clock: any ServiceClock = SystemClock(), calls: SystemCalls = .kernel,
        logger: Logger = Logger(label: "dropreel.service")
    ) throws {
        // A worker that is gone must not take the service along.
        signal(SIGPIPE, SIG_IGN)
        try layout.prepare()
        lock = try ServiceLock(file: layout.lockFile)
        self.layout = layout
        self.options = options
        self.models = models
        inspections = InspectionDesk(inspector: inspector)
        self.filmReader = filmReader
        self.clock = clock
        self.logger = logger
        self.programVersion = programVersion
        self.utcOffset = utcOffset
        files = DurableFiles(calls: calls)
        wake = try WakePipe()
        do {
            snapshotRoot = try SafeRoot(path: layout.snapshots.path)
            let inbox = try SafeRoot(path: layout.inbox.path)
            let opened = try LedgerOpening.open(layout: layout, files: files, clock: clock, logger: logger)
            ledger = opened
            view = InboxView(
                root: inbox, known: KnownInputs(),
                settling: Settling(
                    options: .init(
                        quietPeriod: options.quietPeriod,
                        quietPeriodWithoutLease: options.quietPeriodWithoutLease,
                        incompleteTimeout: options.incompleteTimeout)))
            watching = try Watching(root: inbox, options: options, wake: wake, logger: logger)
        } catch let error as IntakeError {
            throw ServiceError(.configuration, error.message, hint: error.hint)
        }
        ruleBook = try RuleBook(folder: layout.rules, staging: layout.stagingRoot, models: models, files: files)
        try Self.recover(ledger: ledger, layout: layout, clock: clock, policy: options.policy)
        view.known = try KnownInputs(ledger: ledger)
        board = FolderBoard(finished: try ledger.recentlyFinished(limit: 500).map(ServiceStatus.finished))
        let pipe = wake
        let (ledger, clock, policy) = (self.ledger, clock, options.policy)
        pool = WorkerPool(
            supply: workers, ledger: ledger, clock: clock, options: options, logger: logger,
            makeLoop: { name, engine, signals in
                WorkerLoop(
                    name: name, ledger: ledger, layout: layout, engine: engine, signals: signals, clock: clock,
                    policy: policy, programVersion: programVersion)
            },
            onAnnounce: { pipe.wake() })
    }

    var publisher: Publisher {
        Publisher(
            layout: layout, ledger: ledger, clock: clock, files: files, names: folderNames, logTail: logTail,
            programVersion: programVersion, utcOffset: utcOffset)
    }

    /// Makes the loop look at once. Safe from any thread, and from a signal handler.
    public var waker: @Sendable () -> Void {
        let pipe = wake
        return { pipe.wake() }
    }
}

/// A pipe that ends the loop's wait.
public final class WakePipe: Sendable {
    let input: Int32
    private let output: Int32

    init() throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw ServiceError.system("pipe", "service", errno: errno) }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        (input, output) = (ends[0], ends[1])
    }

    deinit {
        close(input)
        close(output)
    }

    func wake() {
        var byte: UInt8 = 1
        _ = write(output, &byte, 1)
    }

    func clear() {
        var bytes = [UInt8](repeating: 0, count: 256)
        while read(input, &bytes, bytes.count) > 0 {}
    }
}

/// One service per state directory.
final class ServiceLock {
    private let descriptor: Int32

    init(file: URL) throws {
        descriptor = open(file.path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw ServiceError.system("open", "service.lock", errno: errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw ServiceError(
                .configuration, "Another service works on this state directory.",
                hint: "Stop it first, or give this one a state directory of its own.")
        }
    }

    deinit { close(descriptor) }
}
