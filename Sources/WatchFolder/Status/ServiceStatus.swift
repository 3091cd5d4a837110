import Foundation

/// What `STATUS.txt` and `dropreel status` tell.
public struct ServiceStatus: Codable, Sendable, Hashable {
    /// One job that is not finished.
    public struct Active: Codable, Sendable, Hashable {
        public var id: JobID
        public var folder: String
        public var name: String
        public var state: JobState
        public var model: String
        /// Place in the queue, from 1, for queued jobs.
        public var place: Int?
        public var progress: RenderProgress?
        public var secondsRunning: Double?
        public var secondsLeft: Double?
        /// Why it is tried again, and when.
        public var failures: Int
        public var retryAt: Date?
    }

    /// One file that has not become a job yet, or never will.
    public struct Waiting: Codable, Sendable, Hashable {
        /// Path below the inbox.
        public var path: String
        public var reason: String
    }

    /// One job that came to its end.
    public struct Finished: Codable, Sendable, Hashable {
        public var id: JobID
        public var folder: String
        public var name: String
        /// Name of the film, below its folder of the outbox.
        public var output: String?
        public var finishedAt: Date
        public var error: ServiceError?
    }

    /// Grows when a key changes its meaning.
    public var schema = "dropreel.status/1"
    public var writtenAt: Date
    public var isRunning: Bool
    /// Why nothing goes on, if so (disk full).
    public var pause: String?
    /// Things that concern the whole service (polling on a network file system, worker missing).
    public var notices: [String]
    public var running: [Active]
    public var queued: [Active]
    public var waiting: [Waiting]
    public var finished: [Finished]
    /// How many jobs the ledger holds in each state.
    public var counts: [String: Int]
}

extension ServiceStatus {
    /// Jobs under way that are listed; more than workers only while results come faster than they can be published.
    static let listedRunning = 100
    /// Queued jobs listed by name; the rest is counted.
    static let listedQueue = 200
    static let listedFinished = 50

    /// What the ledger tells.
    struct LedgerSide {
        var running: [Active]
        var queued: [Active]
        var finished: [Finished]
        var counts: [String: Int]

        init(_ ledger: any Ledger, at now: Date) throws {
            running = try ledger.jobs(in: [.running, .rendered, .publishing], limit: listedRunning).map {
                active($0, place: nil, at: now)
            }
            queued = try ledger.queue(limit: listedQueue).enumerated().map { active($1, place: $0 + 1, at: now) }
            finished = try ledger.recentlyFinished(limit: listedFinished).map(ServiceStatus.finished)
            counts = Dictionary(uniqueKeysWithValues: try ledger.counts().map { ($0.key.rawValue, $0.value) })
        }

        /// Whether it may read otherwise later although the ledger is the same: times run, retries fall due.
        var changesWithTime: Bool { !running.isEmpty || queued.contains { $0.retryAt != nil } }
    }

    init(
        _ side: LedgerSide, at now: Date, waiting: [Waiting], notices: [String], pause: String?, isRunning: Bool
    ) {
        self.init(
            writtenAt: now, isRunning: isRunning, pause: pause, notices: notices, running: side.running,
            queued: side.queued, waiting: waiting, finished: side.finished, counts: side.counts)
    }

    private static func active(_ job: JobRecord, place: Int?, at now: Date) -> Active {
        let seconds = job.state == .queued ? nil : job.startedAt.map { now.timeIntervalSince($0) }
        var left = job.progress?.secondsLeft
        if left == nil, let seconds, let fraction = job.progress?.fraction, fraction > 0.02 {
            left = seconds / fraction * (1 - fraction)
        }
        return Active(
            id: job.id, folder: job.folder, name: name(job), state: job.state, model: job.settings?.model.value ?? "",
            place: place, progress: job.progress, secondsRunning: seconds, secondsLeft: left, failures: job.failures,
            retryAt: job.notBefore > now ? job.notBefore : nil)
    }

    static func finished(_ job: JobRecord) -> Finished {
        Finished(
            id: job.id, folder: job.folder, name: name(job), output: job.publication?.film,
            finishedAt: job.finishedAt ?? job.createdAt, error: job.error)
    }

    /// Folder and name of a job, as STATUS.txt shows it.
    static func path(_ job: JobRecord) -> String { job.folder.isEmpty ? name(job) : "\(job.folder)/\(name(job))" }

    private static func name(_ job: JobRecord) -> String {
        job.siblings > 1 ? "\(job.stem) (\(job.ordinal + 1) of \(job.siblings))" : job.stem
    }
}
