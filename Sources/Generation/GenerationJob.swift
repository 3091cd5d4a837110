import Foundation
import Media
import Sampling
import Tensors
import Text
import Wan

/// One request on its way through the stages: text, picture, steps, decoding.
final class GenerationJob {
    let generator: Generator
    let request: GenerationRequest
    let plan: Generator.Plan
    /// A smaller one takes its place after the first ran out of memory.
    var memory: MemoryPlan
    let limits: Generator.Limits
    let tracker: ProgressTracker
    let latentsPlace: LatentsPlace?
    var steps: [GenerationReport.Step] = []
    /// The last step's result.
    private var finished: [Float]?
    /// The film under way: an attempt that follows goes on where the one before ended.
    var film: FilmInProgress?
    private var loads = 0
    private let expectedLoads: Int

    var backend: any Backend { generator.backend }
    var geometry: LatentGeometry { plan.geometry }
    var manifest: ModelManifest { plan.files.model.manifest }
    var tokens: TokenIDs { plan.tokens }

    init(
        _ generator: Generator, _ request: GenerationRequest, _ plan: Generator.Plan, _ memory: MemoryPlan,
        _ limits: Generator.Limits, latentsPlace: LatentsPlace? = nil, speeds: ProgressTracker.Speeds,
        control: @escaping (GenerationProgress) -> Bool
    ) {
        (self.generator, self.request, self.plan, self.memory) = (generator, request, plan, memory)
        (self.limits, self.latentsPlace) = (limits, latentsPlace)
        let needs = plan.needs
        let share = request.attention == .original ? 1 : request.slaTopK
        var work: [GenerationStage: Double] = [
            .load: Double(plan.estimate.weights.values.reduce(0, +)),
            .text: OperationCounts.textEncoding(needs.textEncoder, tokenCount: plan.tokens.length),
            .step: Double(request.steps)
                * OperationCounts.transformerStep(
                    needs.transformer, tokens: plan.geometry.tokenCount, textRows: plan.tokens.length,
                    attendedShare: share),
            .decode: OperationCounts.decoding(needs.vae, geometry: plan.geometry),
            .encode: Double(request.size.area * 3 * request.frameCount),
        ]
        if request.mode == .i2v {
            work[.image] = OperationCounts.imageEncoding(needs.vae, geometry: plan.geometry)
        }
        expectedLoads = plan.estimate.weights.count
        tracker = ProgressTracker(
            work: work, speeds: speeds, stepCount: request.steps, clockOf: generator.backend, control: control)
    }

    func run(_ sink: any FrameSink) throws -> (report: GenerationReport, poster: RGBImage) {
        let (poster, digest) = try decode(try latents(), into: sink)
        return (report(digest), poster)
    }

    /// Those that an earlier attempt at the same left; else all steps are done, and their result is left for a later one.
    private func latents() throws -> [Float] {
        if let finished { return finished }
        let identity = latentsPlace == nil ? "" : latentsIdentity()
        if let place = latentsPlace, let saved = try? SavedLatents(path: place.url.path), saved.identity == identity {
            takesSavedLatents = true
            return saved.latents
        }
        let text = try encodeText()
        let condition = try request.image.map { try encodePicture($0) }
        let latents = try denoise(text: text, condition: condition)
        finished = latents
        if let place = latentsPlace {
            // Without them a failed decoding costs the steps again, no more.
            try? SavedLatents.write(latents, of: request, geometry, identity: identity, to: place)
        }
        return latents
    }

    func decode(_ saved: SavedLatents, _ sink: any FrameSink) throws -> (report: GenerationReport, poster: RGBImage) {
        takesSavedLatents = true
        let (poster, digest) = try decode(saved.latents, into: sink)
        return (report(digest), poster)
    }

    /// A part of the model on the device.
    ///
    /// - Parameters:
    ///   - host: bytes of it that wait in host memory.
    ///   - stage: what the time counts for.
    func load<T: AnyObject>(
        _ file: String, variant: String = "", expected: Int, workspace: Int, host: Int = 0,
        stage: GenerationStage = .load, _ make: () throws -> (T, bytes: Int, hostBytes: Int)
    ) throws -> T {
        loads += 1
        return try tracker.during(
            stage, completing: stage == .load ? min(1, Double(loads) / Double(expectedLoads)) : 0
        ) {
            try generator.resident.take(
                key(file, variant), expected: expected, workspace: workspace,
                limit: room, host: (host, limits.host), load: make)
        }
    }

    /// Bytes for models and what they work in: no more than the plan says, so that what it says holds.
    var room: Int? { limits.device.map { min($0, memory.bytes) - plan.needs.fixedBytes } }

    func key(_ file: String, _ variant: String) -> String { "\(plan.files.model.name)/\(file)/\(variant)" }

    func loadVAE(workspace: Int) throws -> VAE {
        let size = plan.needs.vaeBytes
        return try load(manifest.vae, expected: size.total, workspace: max(workspace, size.making)) {
            let vae = try VAE(plan.files.vae, backend: backend)
            return (vae, vae.weightBytes, 0)
        }
    }

    /// Ends what an attempt has left open.
    func close() {
        film?.sink.abandon()
        film = nil
    }

    private func report(_ digest: String) -> GenerationReport {
        let isSparse = request.attention != .original
        let device = request.noiseDevice
        let told = tracker.deviceSeconds()
        return GenerationReport(
            model: plan.files.model.name, modelVersion: manifest.version, mode: request.mode, weights: [],
            promptCleaned: plan.prompt, promptTokens: tokens.length, width: request.size.width,
            height: request.size.height,
            frames: request.frameCount, fps: request.framesPerSecond, seed: request.seed,
            noise: "CUDA Philox4x32-10 of \(device.multiprocessors) x \(device.threadsPerMultiprocessor) threads",
            sampler: request.sampler, sigmaMax: request.sigmaMax, boundary: request.boundary,
            exactFirstFrame: request.mode == .i2v ? request.exactFirstFrame : nil,
            attention: request.attention, slaTopk: isSparse ? request.slaTopK : nil, linearPrecision: linearPrecision,
            precision: backend.activationType.rawValue, backend: backend.name, device: backend.deviceDescription,
            steps: steps,
            stages: tracker.order.map { GenerationReport.Stage(stage: $0, seconds: told[$0] ?? 0) },
            transferSeconds: memory.windowBlocks == nil ? nil : transferSeconds,
            latentsSaved: takesSavedLatents ? true : nil, diffusionSeconds: steps.reduce(0) { $0 + $1.seconds },
            totalSeconds: 0, peakMemoryBytes: nil,
            memoryEstimate: plan.estimate, memoryPlan: memory, framesSha256: digest)
    }

    var linearPrecision = LinearPrecision.stored.rawValue
    /// Seconds that steps waited for blocks on their way to the device.
    var transferSeconds = 0.0
    private var takesSavedLatents = false
}

/// A film of which some frames may be written already.
struct FilmInProgress {
    let sink: ThreadedFrameSink
    /// Frames handed over.
    var frames = 0
    var poster: RGBImage?
}
