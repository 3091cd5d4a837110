import Foundation
import Intake

/// The only meeting point of service and workers: what was accepted, who holds it, what became of it.
///
/// Every method is one transaction; when it returns, the change survives a power cut. The states and who may move
/// them are written down in docs/ledger.md. SQLite stands behind it for one host; the shape (claim with epoch,
/// heartbeat, fenced completion) leaves room for a server when workers live elsewhere.
public protocol Ledger: AnyObject, Sendable {
    // MARK: Acceptance

    /// Writes a drop with its jobs, and supersedes the drops that it replaces.
    func accept(_ drop: NewDrop) throws
    /// Drops that are not closed, oldest first.
    func openDrops() throws -> [DropRecord]
    func drop(_ id: JobID) throws -> DropRecord?
    /// Inputs that stay in the inbox for good (kept and orphaned), with their drops.
    func forEachKeptInput(_ body: (JobID, InputRecord) throws -> Void) throws
    /// A kept file was taken away or replaced: it may be run again.
    func forgetKept(path: String) throws
    /// An input was renamed or merely touched. `stem` replaces the name that outputs will carry.
    func relocate(drop: JobID, role: InputRecord.Role, path: String, identity: FileIdentity, stem: String?) throws
    /// The person took inputs away: queued jobs are cancelled, running ones asked to stop. The other inputs of the
    /// drop become orphans.
    func cancel(drop: JobID, missing: Set<InputRecord.Role>, at now: Date) throws

    // MARK: Workers

    /// Takes the next job: by priority, then what fits `loadedModel` (until jobs grow old), then by time. The attempt
    /// is stored before this returns.
    func claim(worker: String, loadedModel: String?, at now: Date, policy: AttemptPolicy) throws -> Claim?
    /// Keeps a claim alive and reports progress.
    func beat(_ claim: Claim, progress: RenderProgress?, at now: Date) throws -> ClaimStanding
    /// Hands in a finished render.
    /// - Returns: false when the claim was lost or cancelled; the worker then throws its staging away.
    func complete(_ claim: Claim, outcome: RenderOutcome, at now: Date) throws -> Bool
    /// Ends an attempt without a result. Does nothing when the claim was lost.
    /// - Returns: the state of the job afterwards.
    @discardableResult
    func end(_ claim: Claim, as end: AttemptEnd, at now: Date, policy: AttemptPolicy) throws -> JobState
    /// Claims not yet ended.
    func claims() throws -> [Claim]
    /// What was noted at the end of a worker's last attempt; nil if it ended none.
    func lastResult(ofWorker worker: String) throws -> String?

    // MARK: Publishing

    /// Jobs in any of the states, by priority, then oldest first.
    func jobs(in states: Set<JobState>, limit: Int) throws -> [JobRecord]
    func job(_ id: JobID) throws -> JobRecord?
    /// Queued jobs in the order in which they are to be made, as far as that does not depend on a worker.
    func queue(limit: Int) throws -> [JobRecord]
    /// Fixes names and digests before the first rename, or again after a collision.
    func record(_ publication: Publication, for job: JobID) throws
    /// Everything is visible and on the disk.
    func finish(_ job: JobID, at now: Date) throws
    /// What was rendered cannot be trusted any more: another attempt, or failure.
    @discardableResult
    func reject(_ job: JobID, error: ServiceError, at now: Date, policy: AttemptPolicy) throws -> JobState
    /// Finished or failed jobs without their line in the log.
    func unloggedJobs() throws -> [JobRecord]
    func markLogged(_ job: JobID) throws

    // MARK: Returning inputs

    /// Open drops whose jobs are all final.
    func finishedDrops() throws -> [(drop: DropRecord, jobs: [JobRecord])]
    func setDisposition(
        _ disposition: InputRecord.Disposition, destination: String?, drop: JobID, role: InputRecord.Role) throws
    func close(drop: JobID) throws

    // MARK: The whole

    /// Another value whenever any process has changed the ledger since; costs next to nothing to ask.
    func revision() throws -> LedgerRevision
    /// Whether a job is held, rendered or failed without its line in the log, or a drop waits for its end: whether
    /// there is anything here for the service, rather than for its workers.
    func concernsService() throws -> Bool
    /// Why workers may not claim (disk full); nil when they may.
    func pauseReason() throws -> String?
    func setPause(_ reason: String?) throws
    /// How many jobs are in each state.
    func counts() throws -> [JobState: Int]
    /// Finished jobs, newest first.
    func recentlyFinished(limit: Int) throws -> [JobRecord]
    /// Snapshots that unfinished jobs need, by digest.
    func neededSnapshots() throws -> Set<String>
    /// Events of one job, oldest first, as `kind: detail`.
    func history(of job: JobID) throws -> [String]

    // MARK: Rebuilding

    /// Films found published when the ledger was rebuilt.
    func remember(published: [PublishedMemory], rebuiltAt: Date) throws
    /// Films already published for one set of inputs; acceptance uses them up.
    func recall(key: String) throws -> [PublishedMemory]
    /// When this ledger was rebuilt, if it was.
    func rebuiltAt() throws -> Date?
}

extension Ledger {
    /// All jobs in any of the states, by priority, then oldest first.
    func jobs(in states: Set<JobState>) throws -> [JobRecord] { try jobs(in: states, limit: -1) }
}

/// A state of the ledger, as far as it can be told from another one.
public struct LedgerRevision: Hashable, Sendable {
    /// Moves when other connections commit.
    var foreign: Int
    /// Moves with each row that this connection changes.
    var own: Int
}

/// A film that was published before the ledger was lost.
public struct PublishedMemory: Hashable, Sendable, Codable {
    /// Folder and digests of the inputs.
    public var key: String
    public var ordinal: Int
    public var siblings: Int
    public var jobID: JobID

    /// One key for the same inputs in the same folder, whatever their names.
    public static func key(folder: String, digests: [String]) -> String {
        ([folder] + digests.sorted()).joined(separator: "\n")
    }
}
