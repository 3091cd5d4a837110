import Foundation
import Intake
import Rules

/// One file that belongs to a drop.
public struct InputRecord: Hashable, Sendable, Codable {
    public enum Role: String, Codable, Sendable {
        case image, prompt, promptList, film, filmLog, poster
        /// Sound for the film.
        case audio
        /// The contact sheet of a film, dragged along with it.
        case sheet
    }

    /// What has become of the file.
    public enum Disposition: String, Codable, Sendable {
        /// Still where it was dropped, its job not finished.
        case waiting
        /// `destination` is fixed; the move may or may not have happened.
        case returning
        /// Moved to `destination`.
        case moved
        /// Left in place (`after = keep`); not run again while it stays the same file.
        case kept
        /// Left in place because its partner was taken away; not run alone unless it changes or gets a new partner.
        case orphaned
        case deleted
        /// Taken away, renamed out of the tree or overwritten by a person.
        case gone
    }

    public var role: Role
    /// Path below the inbox, where it is now.
    public var path: String
    /// Name at acceptance.
    public var name: String
    /// Lower-case hexadecimal digest of the snapshot.
    public var sha256: String
    public var identity: FileIdentity
    public var disposition: Disposition
    /// Path below the inbox, once one is chosen.
    public var destination: String?

    public init(role: Role, path: String, name: String, sha256: String, identity: FileIdentity) {
        self.role = role
        self.path = path
        self.name = name
        self.sha256 = sha256
        self.identity = identity
        disposition = .waiting
    }
}

extension DropRecord {
    /// What the names of its films begin with: a film that is run again keeps the stem it had, and gets no second tail.
    var outputStem: String {
        let isRerun = inputs.contains { $0.role == .film || $0.role == .filmLog }
        return isRerun ? OutputName.stem(ofFilm: stem) ?? stem : stem
    }
}

/// What was accepted at once: one or two files and the jobs they make.
public struct DropRecord: Hashable, Sendable, Codable {
    public enum State: String, Codable, Sendable {
        /// At least one job is not finished, or inputs are still to be returned.
        case open
        case closed
    }

    public var id: JobID
    /// Path of the folder below the inbox; "" for the inbox itself.
    public var folder: String
    /// Stem that outputs carry; follows a rename.
    public var stem: String
    public var acceptedAt: Date
    public var after: AfterJob
    public var state: State
    public var inputs: [InputRecord]
}

/// State of one job; the arrows between them are in docs/ledger.md.
public enum JobState: String, Codable, Sendable, CaseIterable {
    case queued, running, rendered, publishing, done, failed, cancelled

    public var isFinal: Bool { self == .done || self == .failed || self == .cancelled }
}

/// What a new job is made of; the ledger adds the rest.
public struct NewJob: Sendable {
    public var id: JobID
    public var settings: JobSettings
    public var seed: UInt64
    public var promptGiven: String
    public var promptUsed: String
    public var imageSHA256: String?
    public var audioSHA256: String?
    /// Jobs that never run: refused at acceptance, or found already published when the ledger was rebuilt.
    public var settled: Settled?

    public enum Settled: Sendable {
        case refused(ServiceError)
        case published(JobID)
    }

    public init(
        id: JobID, settings: JobSettings, seed: UInt64, imageSHA256: String?, audioSHA256: String? = nil,
        settled: Settled? = nil
    ) {
        self.id = id
        self.settings = settings
        self.seed = seed
        promptGiven = settings.prompt.value
        promptUsed = settings.usedPrompt
        self.imageSHA256 = imageSHA256
        self.audioSHA256 = audioSHA256
        self.settled = settled
    }
}

/// What acceptance writes in one transaction.
public struct NewDrop: Sendable {
    public var id: JobID
    public var folder: String
    public var stem: String
    public var acceptedAt: Date
    public var after: AfterJob
    public var inputs: [InputRecord]
    public var jobs: [NewJob]
    /// A drop without a legal job: the reason, told at once. `jobs` is then empty.
    public var refusal: ServiceError?
    /// Older drops whose inputs these files replace: their queued jobs are superseded, running ones go on.
    public var replaces: [JobID]
    /// The older drops were only half of this one (a picture joined its prompt): their running jobs stop, too.
    public var completes = false
}

/// One job as the ledger holds it.
public struct JobRecord: Hashable, Sendable, Codable {
    public var id: JobID
    public var drop: JobID
    /// Place in its drop, from 0.
    public var ordinal: Int
    /// How many jobs the drop made.
    public var siblings: Int
    public var folder: String
    public var stem: String
    public var state: JobState
    /// Nil for a drop that was refused before its settings were known.
    public var settings: JobSettings?
    public var seed: UInt64?
    public var promptGiven: String
    public var promptUsed: String
    public var imageSHA256: String?
    public var audioSHA256: String?
    public var createdAt: Date
    public var notBefore: Date
    public var startedAt: Date?
    public var finishedAt: Date?
    /// Attempts that count towards the poison guard.
    public var failures: Int
    /// Attempts cut short by the end of the service itself.
    public var interruptions: Int
    /// Grows with every claim; a worker that holds an older one is fenced.
    public var epoch: Int
    public var worker: String?
    public var heartbeatAt: Date?
    public var cancelRequested: Bool
    public var progress: RenderProgress?
    public var outcome: RenderOutcome?
    public var publication: Publication?
    public var error: ServiceError?
    public var isLogged: Bool
}

/// A job held by a worker.
public struct Claim: Sendable, Hashable {
    public var job: JobRecord
    public var epoch: Int
    public var worker: String
}

/// What a heartbeat tells the worker.
public enum ClaimStanding: Sendable, Hashable {
    case held
    /// Stop at the next step; no output is wanted.
    case cancelRequested
    /// Another epoch has the job; whatever this worker makes is thrown away.
    case lost
}

/// How one attempt ended.
public enum AttemptEnd: Sendable {
    /// The engine reported an error.
    case failed(ServiceError)
    /// The worker died or hung.
    case lost(ServiceError)
    /// The service stopped or was killed under it.
    case interrupted
    /// Given back on an orderly stop, or for want of space: costs nothing.
    case released(notBefore: Date)
}

/// When a job is given up. Counted per job, stored before each attempt.
public struct AttemptPolicy: Sendable, Hashable {
    public var maximumFailures: Int
    public var maximumInterruptions: Int
    /// Seconds before the second attempt; doubles with each further one.
    public var backOff: Double
    /// A queued job older than this goes before jobs that only fit the loaded model, in seconds.
    public var modelAffinityAge: Double

    public init(
        maximumFailures: Int = 3, maximumInterruptions: Int = 10, backOff: Double = 5, modelAffinityAge: Double = 300
    ) {
        self.maximumFailures = maximumFailures
        self.maximumInterruptions = maximumInterruptions
        self.backOff = backOff
        self.modelAffinityAge = modelAffinityAge
    }

    func delay(afterFailures count: Int) -> Double {
        backOff * Double(1 << max(0, min(count - 1, 6)))
    }
}
