/// The service's own settings, as `etc/dropreel.toml` gives them. All paths are absolute, all times in seconds.
public struct ServiceConfiguration: Hashable, Sendable, Codable {
    public enum WatchMode: String, Hashable, Sendable, Codable, CaseIterable {
        /// inotify where it sees everything, else looking regularly.
        case auto
        case inotify
        case poll
    }

    public enum LogFormat: String, Hashable, Sendable, Codable, CaseIterable {
        case text, json
    }

    public enum LogLevel: String, Hashable, Sendable, Codable, CaseIterable {
        case trace, debug, info, notice, warning, error, critical
    }

    public enum BackendChoice: String, Hashable, Sendable, Codable, CaseIterable {
        /// A GPU where there is one that can be used, else the CPU.
        case auto
        case cpu, cuda
    }

    public enum GPUChoice: Hashable, Sendable, Codable {
        /// `engine.device`.
        case device
        case all
        case numbers([Int])
    }

    public struct Folders: Hashable, Sendable, Codable {
        public var inbox: String
        public var outbox: String
        public var rules: String
        /// Ledger, staging and snapshots; outside the share, on the file system of the outbox.
        public var state: String
    }

    public struct Models: Hashable, Sendable, Codable {
        /// Where checkpoints are looked for, in this order.
        public var directories: [String]
        /// Names of the models taken when no rule names one; nil takes the first that suits.
        public var textToVideo: String?
        public var imageToVideo: String?
    }

    public struct Engine: Hashable, Sendable, Codable {
        public var backend: BackendChoice
        /// Which GPU, of those this process may use.
        public var device: Int
        /// GPUs that make films, each by a worker of its own.
        public var gpus: GPUChoice
        /// Most bytes that a worker takes of its GPU; nil for what is free.
        public var gpuMemory: Int?
        /// Seconds that a GPU may make no progress; nil for any time.
        public var gpuTimeout: Double?
        /// 0: as many as the host has cores.
        public var threads: Int
        /// Worker processes.
        public var workers: Int
        /// The GPU whose stream of noise is reproduced: multiprocessors and threads of each.
        public var noiseMultiprocessors: Int
        public var noiseThreads: Int
    }

    public struct Intake: Hashable, Sendable, Codable {
        public var watch: WatchMode
        public var pairWait: Double
        public var quietPeriod: Double
        public var quietPeriodWithoutLease: Double
        public var incompleteTimeout: Double
        public var scanInterval: Double
        public var pollInterval: Double
    }

    public struct Jobs: Hashable, Sendable, Codable {
        public var attempts: Int
        public var jobTimeout: Double
        public var heartbeatTimeout: Double
        public var stopTimeout: Double
        /// Inputs in `_done` and `_failed` older than this many seconds are deleted; nil keeps them.
        public var retention: Double?
        /// Bytes that `_done` and `_failed` may hold; nil for any number.
        public var retentionSize: Int?
        /// Bytes that must stay free on the disk.
        public var minimumFree: Int
        /// Bytes of pictures of finished jobs that are kept for films dropped back.
        public var snapshots: Int
    }

    public struct Share: Hashable, Sendable, Codable {
        /// STATUS.txt in the folders of inbox and outbox, too.
        public var folderStatus: Bool
    }

    public struct Metrics: Hashable, Sendable, Codable {
        /// On the loopback interface; nil for none.
        public var port: UInt16?
        /// Absolute path; nil for none.
        public var file: String?
    }

    public enum NoticeEvents: String, Hashable, Sendable, Codable, CaseIterable {
        case failed, all
    }

    public struct Notices: Hashable, Sendable, Codable {
        public var webhook: String?
        public var ntfy: String?
        /// Absolute path.
        public var ntfyTokenFile: String?
        public var events: NoticeEvents
        public var window: Double
    }

    public struct Log: Hashable, Sendable, Codable {
        public var format: LogFormat
        public var level: LogLevel
    }

    /// What relative paths are relative to.
    public var root: String
    public var folders: Folders
    public var models: Models
    public var engine: Engine
    public var intake: Intake
    public var jobs: Jobs
    public var share: Share
    public var metrics: Metrics
    public var notices: Notices
    public var log: Log

    enum CodingKeys: String, CodingKey {
        case root, folders, models, engine, intake, jobs, share, metrics, notices, log
    }
}
