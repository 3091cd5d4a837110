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
        /// Free bytes of host memory, where the backend's is apart from it; nil where unknown.
        public var hostMemory: @Sendable () -> Int?
        /// All memory of the card, which decides about quantisation; nil for a backend that has none of its own.
        public var cardMemory: Int?
        /// Gets lines for the log.
        public var log: @Sendable (String) -> Void
        /// Most bytes held since `resetPeakMemory`, of the same memory.
        public var peakMemory: @Sendable () -> Int?
        public var resetPeakMemory: @Sendable () -> Void
        /// Folder where the digests of checkpoints outlast the process; nil for nowhere.
        public var digestFolder: URL?

        public init(
            memoryLimit: Int? = nil, availableMemory: @escaping @Sendable () -> Int? = HostMemory.available,
            hostMemory: @escaping @Sendable () -> Int? = { nil }, cardMemory: Int? = nil,
            log: @escaping @Sendable (String) -> Void = { _ in },
            peakMemory: @escaping @Sendable () -> Int? = { HostMemory.peak() },
            resetPeakMemory: @escaping @Sendable () -> Void = { HostMemory.resetPeak() }, digestFolder: URL? = nil
        ) {
            self.memoryLimit = memoryLimit
            self.availableMemory = availableMemory
            (self.hostMemory, self.cardMemory, self.log) = (hostMemory, cardMemory, log)
            self.peakMemory = peakMemory
            self.resetPeakMemory = resetPeakMemory
            self.digestFolder = digestFolder
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
    private let digests: FileDigests
    /// Stands for the plan that would be chosen, to prove that all make the same film.
    var forcedPlan: MemoryPlan?

    public init(library: ModelLibrary, backend: any Backend, options: Options = Options()) {
        self.library = library
        self.backend = backend
        self.options = options
        digests = FileDigests(folder: options.digestFolder)
    }

    /// Makes videos with a model that has no files.
    public init(_ model: FullSizeModel, backend: any Backend, options: Options = Options()) throws {
        library = ModelLibrary(models: [model.model])
        self.backend = backend
        self.options = options
        digests = FileDigests(folder: options.digestFolder)
        files = try ModelFiles(model)
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

    /// How it would get along with the memory there is now.
    /// - Throws: as `estimate`; `.memory` if it cannot.
    public func memoryPlan(_ request: GenerationRequest) throws -> MemoryPlan {
        let model = try library.model(request.model)
        try request.validate(for: model)
        let plan = try plan(suited(request), model)
        return try choose(plan, suited(request), limits())
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

    /// Plans one job, does it, and tells what it took. Out of memory all the same, it is done once more with a smaller plan.
    /// - Parameter checksEstimate: whether a job that does not fit is refused before anything is read.
    private func carryOut(
        _ given: GenerationRequest, latents place: LatentsPlace?, checksEstimate: Bool,
        control: @escaping (GenerationProgress) -> Bool,
        _ work: (GenerationJob) throws -> (report: GenerationReport, poster: RGBImage)
    ) throws -> Result {
        let model = try library.model(given.model)
        do {
            // What an earlier job ran out of is none of this one's business.
            do { try backend.check() } catch BackendError.outOfMemory {}
            let request = suited(given)
            try request.validate(for: model)
            let start = ContinuousClock().now
            options.resetPeakMemory()
            let plan = try plan(request, model)
            let limits = limits()
            let memory = try checksEstimate ? choose(plan, request, limits) : plan.roomiest(limits)
            options.log("memory plan of \(model.name): \(memory.text)")
            let job = GenerationJob(
                self, request, plan, memory, limits, latentsPlace: place, speeds: speeds, control: control)
            defer { job.close() }
            digests.prepare(plan.files.urls(request.mode).map(\.url))
            let made = try retrying(job, work)
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

    private func retrying(
        _ job: GenerationJob, _ work: (GenerationJob) throws -> (report: GenerationReport, poster: RGBImage)
    ) throws -> (report: GenerationReport, poster: RGBImage) {
        do { return try work(job) } catch BackendError.outOfMemory(let bytes) {
            // Everything goes, and what the backend noted of it, before the smaller plan begins.
            resident.removeAll()
            do { try backend.check() } catch BackendError.outOfMemory {}
            guard
                let smaller = job.memory.next(
                    job.plan.needs, precision: job.request.linearPrecision, hostLimit: job.limits.host)
            else { throw BackendError.outOfMemory(requested: bytes) }
            options.log(
                "out of memory at \(MemoryEstimate.text(bytes)) more; once again with a smaller plan: \(smaller.text)")
            job.memory = smaller
            // The report tells what this plan took.
            options.resetPeakMemory()
            return try work(job)
        }
    }

    /// Bytes that jobs may use.
    struct Limits {
        /// Of the device, resident models included; nil for no limit.
        var device: Int?
        var host: Int?
    }

    private func limits() -> Limits {
        let held = resident.bytes + backend.fixedBytes
        let free = options.availableMemory().map { $0 + held }
        let device = options.memoryLimit.map { min($0, free ?? $0) } ?? free
        // What waits in host memory may take most of it, not all.
        return Limits(device: device, host: options.hostMemory().map { ($0 + resident.hostBytes) / 10 * 9 })
    }

    private func choose(_ plan: Plan, _ request: GenerationRequest, _ limits: Limits) throws -> MemoryPlan {
        if let forcedPlan { return forcedPlan }
        guard
            let memory = MemoryPlan.choose(
                plan.needs, precision: request.linearPrecision, limit: limits.device, hostLimit: limits.host)
        else { throw plan.estimate.refusal(limit: limits.device ?? 0) }
        return memory
    }

    /// A card of at most 40 GB computes with quantised layers where nobody said otherwise.
    /// Source: TurboDiffusion README (`--quant_linear` for GPUs of at most 40 GB).
    private func suited(_ given: GenerationRequest) -> GenerationRequest {
        var request = given
        if given.mayQuantize, let card = options.cardMemory, card <= Self.smallCard { request.linearPrecision = .int8 }
        return request
    }

    /// A little above what cards sold as 40 GB have.
    static let smallCard = 41 << 30

    /// Lets go of all weights.
    public func unload() {
        resident.removeAll()
        files = nil
    }

    /// Lets go of texts and pictures that were encoded.
    func forget() { (texts, pictures) = (RecentResults(limit: 16), RecentResults(limit: 2)) }

    /// Everything known before the first byte is loaded.
    struct Plan {
        let files: ModelFiles
        /// Cleaned.
        let prompt: String
        let tokens: TokenIDs
        let geometry: LatentGeometry
        let needs: MemoryNeeds
        let estimate: MemoryEstimate
        let precision: LinearPrecision

        /// For a job that decodes and no more: what does not fit is told by the stage itself.
        func roomiest(_ limits: Limits) -> MemoryPlan {
            MemoryPlan.choose(needs, precision: precision, limit: limits.device, hostLimit: limits.host) ?? smallest
        }

        let smallest: MemoryPlan
    }

    private func plan(_ request: GenerationRequest, _ model: Model) throws -> Plan {
        let files: ModelFiles
        if let open = self.files, open.model == model { files = open } else { files = try ModelFiles(model) }
        self.files = files
        let geometry: LatentGeometry
        do { geometry = try LatentGeometry(frameCount: request.frameCount, size: request.size) } catch {
            throw GenerationError.wrap(error)
        }
        if request.attention != .original {
            for file in model.manifest.modes[request.mode]?.files ?? []
            where try !files.transformer(file, mode: request.mode).layout.hasSparseLinear {
                throw GenerationError(
                    .request, "\(file) was not made for sparse-linear attention",
                    hint: "set attention to \(AttentionChoice.original.rawValue)")
            }
        }
        let prompt = cleanPrompt(request.prompt)
        let tokens = files.encode(prompt)
        let needs = try files.needs(request, geometry: geometry, tokenCount: tokens.length, backend: backend)
        let precision = request.linearPrecision
        guard let largest = MemoryPlan.choose(needs, precision: precision, limit: nil, hostLimit: nil),
            let smallest = MemoryPlan.smallest(needs, precision: precision, hostLimit: nil)
        else { preconditionFailure("no plan without a limit") }
        let estimate = MemoryEstimate(
            needs, textEncoder: model.manifest.textEncoder, vae: model.manifest.vae, smallest: smallest,
            largest: largest)
        return Plan(
            files: files, prompt: prompt, tokens: tokens, geometry: geometry, needs: needs, estimate: estimate,
            precision: precision, smallest: smallest)
    }
}
