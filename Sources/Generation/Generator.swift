import Foundation
import Media
import Sampling
import Tensors
import Text
import Wan

/// Makes videos from requests, one at a time, and keeps models warm between them.
///
/// A generator belongs to one thread, which it blocks; that must not be one of the cooperative pool. The same request
/// gives the same frames, byte for byte, on the same machine and build.
public final class Generator {
    public struct Options: Sendable {
        /// Most bytes models and activations may take; nil for what is free when a job starts.
        public var memoryLimit: Int?
        /// Free bytes of the backend's memory, apart from what the generator itself holds; nil where unknown.
        public var availableMemory: @Sendable () -> Int?
        /// Most bytes held since `resetPeakMemory`, of the same memory.
        public var peakMemory: @Sendable () -> Int?
        public var resetPeakMemory: @Sendable () -> Void

        public init(
            memoryLimit: Int? = nil, availableMemory: @escaping @Sendable () -> Int? = HostMemory.available,
            peakMemory: @escaping @Sendable () -> Int? = { HostMemory.peak() },
            resetPeakMemory: @escaping @Sendable () -> Void = { HostMemory.resetPeak() }
        ) {
            self.memoryLimit = memoryLimit
            self.availableMemory = availableMemory
            self.peakMemory = peakMemory
            self.resetPeakMemory = resetPeakMemory
        }
    }

    public let library: ModelLibrary
    public let backend: any Backend
    let options: Options
    let resident = ResidentModels()
    /// Text embeddings by model and ids: variations of one prompt need one encoding.
    var texts = RecentResults<[Float]>(limit: 16)
    /// Encoded pictures by model, size and digest.
    var pictures = RecentResults<[Float]>(limit: 2)
    private var files: ModelFiles?
    private var speeds = ProgressTracker.Speeds()
    private let digests = FileDigests()

    public init(library: ModelLibrary, backend: any Backend, options: Options = Options()) {
        self.library = library
        self.backend = backend
        self.options = options
    }

    /// Name of the model used last, whose weights may be warm.
    public var loadedModel: String? { files?.model.name }

    /// A finished video's report and one of its frames.
    public struct Result: Sendable {
        public let report: GenerationReport
        /// The frame in the middle.
        public let poster: RGBImage
    }

    /// What a request will need.
    /// - Throws: `GenerationError`, also where the request or the model's files are of no use.
    public func estimate(_ request: GenerationRequest) throws -> MemoryEstimate {
        let model = try library.model(request.model)
        try request.validate(for: model)
        return try plan(request, model).estimate
    }

    /// Makes one video.
    ///
    /// - Parameters:
    ///   - sink: gets the frames, on another thread, and is finished before this returns.
    ///   - place: where latents are kept before they are decoded, and taken from if they are there already; the caller
    ///     removes them once the film is safe.
    ///   - control: told of progress between a network's blocks and about as often elsewhere; cheap; false ends the job.
    /// - Throws: `GenerationError`; `.cancelled` if `control` said so. The sink is then not finished.
    public func generate(
        _ request: GenerationRequest, sink: any FrameSink, latents place: LatentsPlace? = nil,
        control: @escaping (GenerationProgress) -> Bool = { _ in true }
    ) throws -> Result {
        try carryOut(request, latents: place, checksEstimate: true, control: control) { try $0.run(sink) }
    }

    /// Makes a video from latents that a job has left.
    ///
    /// - Throws: as `generate`.
    public func decode(
        _ saved: SavedLatents, sink: any FrameSink, control: @escaping (GenerationProgress) -> Bool = { _ in true }
    ) throws -> Result {
        try carryOut(saved.request, latents: nil, checksEstimate: false, control: control) {
            try $0.decode(saved, sink)
        }
    }

    /// Plans one job, does it, and tells what it took.
    /// - Parameter checksEstimate: whether a job whose whole estimate does not fit is refused before anything is read.
    private func carryOut(
        _ request: GenerationRequest, latents place: LatentsPlace?, checksEstimate: Bool,
        control: @escaping (GenerationProgress) -> Bool,
        _ work: (GenerationJob) throws -> (report: GenerationReport, poster: RGBImage)
    ) throws -> Result {
        let model = try library.model(request.model)
        do {
            try request.validate(for: model)
            let start = ContinuousClock().now
            options.resetPeakMemory()
            let plan = try plan(request, model)
            let limit = options.memoryLimit ?? options.availableMemory().map { $0 + resident.bytes }
            if checksEstimate { try plan.estimate.check(limit: limit) }
            let job = GenerationJob(
                self, request, plan, limit: limit, latentsPlace: place, speeds: speeds, control: control)
            digests.prepare(plan.files.urls(request.mode).map(\.url))
            let made = try work(job)
            job.tracker.finish()
            speeds = job.tracker.speeds
            var report = made.report
            report.weights = try plan.files.urls(request.mode).map {
                GenerationReport.Weights(file: $0.name, sha256: try digests.digest($0.url))
            }
            report.peakMemoryBytes = options.peakMemory()
            report.totalSeconds = ProgressTracker.seconds(ContinuousClock().now - start)
            return Result(report: report, poster: made.poster)
        } catch {
            throw GenerationError.wrap(error, folder: model.folder)
        }
    }

    /// Lets go of all weights.
    public func unload() {
        resident.removeAll()
        files = nil
    }

    /// Everything known before the first byte is loaded.
    struct Plan {
        let files: ModelFiles
        /// Cleaned.
        let prompt: String
        let tokens: TokenIDs
        let geometry: LatentGeometry
        let sizes: ModelSizes
        let estimate: MemoryEstimate
    }

    private func plan(_ request: GenerationRequest, _ model: Model) throws -> Plan {
        let files: ModelFiles
        if let open = self.files, open.model == model { files = open } else { files = try ModelFiles(model) }
        self.files = files
        let geometry: LatentGeometry
        do { geometry = try LatentGeometry(frameCount: request.frameCount, size: request.size) } catch {
            throw GenerationError.wrap(error)
        }
        let sizes = try files.sizes(request, activation: backend.activationType)
        if request.attention != .original {
            for file in model.manifest.modes[request.mode]?.files ?? []
            where try !files.transformer(file, mode: request.mode).layout.hasSparseLinear {
                throw GenerationError(
                    .request, "\(file) was not made for sparse-linear attention",
                    hint: "set attention to \(AttentionChoice.original.rawValue)")
            }
        }
        let prompt = cleanPrompt(request.prompt)
        let tokens = files.tokenizer.encode(prompt)
        let estimate = sizes.estimate(
            request, geometry: geometry, tokenCount: tokens.length, files: model.manifest,
            activation: backend.activationType)
        return Plan(
            files: files, prompt: prompt, tokens: tokens, geometry: geometry, sizes: sizes, estimate: estimate)
    }
}
