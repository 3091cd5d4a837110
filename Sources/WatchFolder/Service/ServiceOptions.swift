import Foundation

/// How the service behaves in time and number; the executable fills it from `etc/dropreel.toml`. Times in seconds.
public struct ServiceOptions: Sendable, Hashable {
    /// How long a file must stay unchanged before it is looked at.
    public var quietPeriod = 2.0
    /// The same where it cannot be told whether somebody still writes (no permission for leases).
    public var quietPeriodWithoutLease = 10.0
    /// How long a picture waits for its prompt before the folder's own prompt is taken.
    public var pairWait = 20.0
    /// How long a picture that ends in the middle may stay so before it is returned as an error.
    public var incompleteTimeout = 300.0
    /// Between two scans of the whole inbox while the watcher runs.
    public var scanInterval = 300.0
    /// Between two scans of the whole inbox without a watcher.
    public var pollInterval = 2.0
    /// Between two writings of STATUS.txt.
    public var statusInterval = 1.0
    /// Between two looks at the rules folder.
    public var rulesInterval = 1.0
    /// Silence of a worker after which it counts as hung.
    public var heartbeatTimeout = 30.0
    /// Longest time of one attempt.
    public var jobTimeout = 6 * 3600.0
    /// Between two tries while the disk is full.
    public var spaceRetryInterval = 2.0
    /// Free bytes below which intake and publishing pause.
    public var minimumFreeBytes: Int64 = 64 << 20
    /// Bytes of pictures of finished jobs that are kept for films dropped back.
    public var snapshotBytes: Int64 = 4 << 30
    /// Age at which inputs in `_done` and `_failed` are deleted; nil keeps them.
    public var retention: Double?
    /// Bytes that `_done` and `_failed` may hold together; nil for any number.
    public var retentionBytes: Int64?
    /// STATUS.txt in the folders of inbox and outbox, too.
    public var writesFolderStatus = true
    /// Before a worker that died is started again; doubles while it keeps dying.
    public var workerRestartDelay = 1.0
    /// The same for a worker whose GPU was lost while others work; they have the jobs meanwhile.
    public var deviceRestartDelay = 30.0
    public var policy = AttemptPolicy()
    /// Whether inotify wakes the scanner; false polls.
    public var usesWatcher = true
    /// Path of `dropreel-watcher`; needed while `usesWatcher`.
    public var watcherExecutable: String?

    public init() {}
}

/// Who renders.
public enum WorkerSupply: Sendable {
    /// Child processes, started and restarted by the service.
    case processes(WorkerCommand, count: Int)
    /// The same, each started in its own way: one for each GPU.
    case fleet([WorkerCommand])
    /// Threads of this process, one for each engine; for `dropreel run` on small hosts, and for tests.
    case threads([@Sendable () -> any VideoGenerating])
    /// Nobody: only intake, status and publishing.
    case none
}
