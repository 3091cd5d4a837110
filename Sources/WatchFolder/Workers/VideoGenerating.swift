import Foundation
import Rules

/// What a worker is asked to make.
public struct RenderOrder: Sendable, Hashable {
    public var jobID: JobID
    public var epoch: Int
    public var mode: GenerationMode
    public var promptGiven: String
    /// With prefix and suffix: what the text encoder gets.
    public var promptUsed: String
    /// The snapshot of the picture, for image to video; content-addressed and read-only.
    public var imageSnapshot: URL?
    /// The snapshot of the sound that goes with the film.
    public var audioSnapshot: URL?
    public var settings: JobSettings
    public var seed: UInt64
    /// The JSON object that goes into the film's `dropreel` metadata key.
    public var metadata: JSONValue

    public init(
        jobID: JobID, epoch: Int, mode: GenerationMode, promptGiven: String, promptUsed: String, imageSnapshot: URL?,
        audioSnapshot: URL? = nil, settings: JobSettings, seed: UInt64, metadata: JSONValue
    ) {
        self.jobID = jobID
        self.epoch = epoch
        self.mode = mode
        self.promptGiven = promptGiven
        self.promptUsed = promptUsed
        self.imageSnapshot = imageSnapshot
        self.audioSnapshot = audioSnapshot
        self.settings = settings
        self.seed = seed
        self.metadata = metadata
    }
}

/// Where one attempt writes; outside the share, empty at the start.
public struct StagingDirectory: Sendable, Hashable {
    public let url: URL

    public init(url: URL) { self.url = url }

    public func file(_ name: String) -> URL { url.appendingPathComponent(name, isDirectory: false) }

    /// Where the film belongs.
    public var film: URL { file(RenderOutcome.filmName) }
    /// Where the poster belongs.
    public var poster: URL { file(RenderOutcome.posterName) }
    /// Where the contact sheet belongs, if one is wanted.
    public var sheet: URL { file(RenderOutcome.sheetName) }
}

/// How far a render has come.
public struct RenderProgress: Sendable, Hashable, Codable {
    /// `load`, `text`, `image`, `step`, `decode`, `encode`: the engine's own words.
    public var stage: String
    /// Steps finished and to do.
    public var step: Int
    public var stepCount: Int
    /// Share of the whole job that is done, 0...1.
    public var fraction: Double
    /// Seconds to go, if the engine can tell.
    public var secondsLeft: Double?

    public init(stage: String, step: Int = 0, stepCount: Int = 0, fraction: Double, secondsLeft: Double? = nil) {
        self.stage = stage
        self.step = step
        self.stepCount = stepCount
        self.fraction = fraction
        self.secondsLeft = secondsLeft
    }
}

/// What a finished render left in its staging directory.
public struct RenderOutcome: Sendable, Hashable, Codable {
    public static let filmName = "film.mp4"
    public static let posterName = "poster.jpg"
    public static let sheetName = "sheet.jpg"

    /// Lower-case hexadecimal digest of the film.
    public var filmSHA256: String
    /// Digest of the poster; nil when there is none.
    public var posterSHA256: String?
    /// Digest of the contact sheet; nil when there is none.
    public var sheetSHA256: String?
    /// Everything the JSON log says about the run: `width`, `height`, `frames`, `fps`, `backend`, `device`, `precision`,
    /// `attention`, `model`, `weights_sha256`, `steps` (timestep and expert each), `timings`, `diffusion_seconds`,
    /// `peak_memory_bytes`. Merged into the top level of the log.
    public var report: [String: JSONValue]

    public init(filmSHA256: String, posterSHA256: String?, sheetSHA256: String? = nil, report: [String: JSONValue]) {
        self.filmSHA256 = filmSHA256
        self.posterSHA256 = posterSHA256
        self.sheetSHA256 = sheetSHA256
        self.report = report
    }
}

/// The engine, as the folder sees it. The executable implements it over `Generation`; tests bring a fake.
public protocol VideoGenerating: AnyObject {
    /// Name of the model that is warm, for the order of the queue.
    var loadedModel: String? { get }

    /// Makes one film, blocking the calling thread (never one of the cooperative pool).
    ///
    /// - Parameters:
    ///   - staging: gets `film.mp4`, `poster.jpg` and, where the settings ask for it, `sheet.jpg`.
    ///   - progress: may be called often; cheap.
    ///   - isCancelled: asked at every step; when true, throw `CancellationError`.
    /// - Throws: `ServiceError`, whose code decides about a retry; `CancellationError`.
    func generate(
        _ order: RenderOrder, into staging: StagingDirectory,
        progress: @Sendable (RenderProgress) -> Void, isCancelled: @Sendable () -> Bool
    ) throws -> RenderOutcome
}

/// What is decoded on trial before it is taken.
public enum InputMedium: Sendable, Hashable {
    case picture, sound
}

/// Whether a picture or a sound can be used.
public enum InputVerdict: Sendable, Hashable {
    case complete
    /// Cut short, for this reason: it may still be arriving.
    case incomplete(String)
    case broken(ServiceError)
}

/// Decodes pictures and sounds on trial; given by the executable, over `Media`.
public protocol InputInspecting: Sendable {
    /// Decodes the whole picture, or as much of a sound as films need, within the limits on size and memory.
    func inspect(_ snapshot: URL, as medium: InputMedium) -> InputVerdict
}

/// Reads the `dropreel` key of an MP4 of ours; given by the executable, over `Media`.
public protocol FilmMetadataReading: Sendable {
    /// - Returns: the JSON text of the `dropreel` key, nil when the file has none.
    func dropreelMetadata(of film: URL) throws -> String?
}
