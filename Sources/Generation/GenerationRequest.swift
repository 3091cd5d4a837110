import Media
import Sampling
import Tensors
import Wan

/// One video to make; complete, and checked by `validate` before any work.
public struct GenerationRequest: Sendable {
    /// A model's name.
    public var model: String
    /// As the text encoder shall have it, before cleaning.
    public var prompt: String
    /// The first frame, of any size; it is stretched to `size`. Nil makes the video from text alone.
    public var image: RGBImage?
    /// Multiples of 16.
    public var size: FrameSize
    /// 4n + 1.
    public var frameCount: Int
    public var framesPerSecond: Int
    /// 1 to 4.
    public var steps: Int
    public var seed: UInt64
    public var sampler: SamplerKind
    /// Noise level of the first step.
    public var sigmaMax: Double
    /// Time below which the low-noise network takes over, for models with two.
    public var boundary: Double
    /// Whether the first latent frame stays the encoded picture's at every step; needs an image.
    public var exactFirstFrame: Bool
    public var attention: AttentionChoice
    /// Share of key blocks attended to, for `sla` and `sagesla`.
    public var slaTopK: Double
    /// What the blocks' linear layers compute in.
    public var linearPrecision: LinearPrecision
    /// Whether nobody asked for that precision, so that a small card may have them quantised.
    public var mayQuantize = false
    /// Constant rate factor of the film, 1 (best) to 51.
    public var crf: Int
    /// Whose stream of random numbers the noise is.
    public var noiseDevice: NoiseDevice

    public init(
        model: String, prompt: String, image: RGBImage? = nil, size: FrameSize, frameCount: Int, framesPerSecond: Int,
        steps: Int, seed: UInt64, sampler: SamplerKind, sigmaMax: Double, boundary: Double,
        exactFirstFrame: Bool = false, attention: AttentionChoice, slaTopK: Double,
        linearPrecision: LinearPrecision = .stored, crf: Int = 18,
        noiseDevice: NoiseDevice = .standard
    ) {
        self.model = model
        self.prompt = prompt
        self.image = image
        self.size = size
        self.frameCount = frameCount
        self.framesPerSecond = framesPerSecond
        self.steps = steps
        self.seed = seed
        self.sampler = sampler
        self.sigmaMax = sigmaMax
        self.boundary = boundary
        self.exactFirstFrame = exactFirstFrame
        self.attention = attention
        self.slaTopK = slaTopK
        self.linearPrecision = linearPrecision
        self.crf = crf
        self.noiseDevice = noiseDevice
    }

    public var mode: GenerationMode { image == nil ? .t2v : .i2v }

    /// Largest area of a frame, in pixels: four times 720p.
    static let areaLimit = 1280 * 720 * 4

    /// Checks everything a manifest can tell.
    /// - Throws: `GenerationError` `.request` or `.model`.
    public func validate(for model: Model) throws {
        func require(_ condition: Bool, _ message: String, hint: String) throws {
            guard condition else { throw GenerationError(.request, message, hint: hint) }
        }
        guard model.manifest.modes[mode] != nil else {
            throw GenerationError(
                .model,
                "model \(model.name) makes no \(mode == .t2v ? "video from text alone" : "video from a picture")",
                hint: mode == .t2v
                    ? "add a picture or name another model" : "leave the picture out or name another model")
        }
        do {
            _ = try Schedule(steps: steps, sigmaMax: sigmaMax)
            _ = try LatentGeometry(frameCount: frameCount, size: size)
        } catch {
            throw GenerationError.wrap(error)
        }
        let frames = model.manifest.frames
        try require(
            (frames.minimum...frames.maximum).contains(frameCount),
            "\(frameCount) frames asked of a model for \(frames.minimum) to \(frames.maximum)",
            hint: "use a number of the form 4n + 1 in that range")
        try require(size.area <= Self.areaLimit, "a frame of \(size) is too large", hint: "lower the resolution")
        try require((1...240).contains(framesPerSecond), "\(framesPerSecond) frames a second", hint: "use 1 to 240")
        try require((1...51).contains(crf), "crf is \(crf)", hint: "use 1 (best) to 51")
        try require(
            (0...1).contains(boundary), "boundary is \(boundary)", hint: "use a number from 0 to 1, such as 0.9")
        try require(
            slaTopK > 0 && slaTopK <= 1, "sla_topk is \(slaTopK)", hint: "use a number above 0 up to 1, such as 0.1")
        try require(
            prompt.utf8.count <= 1 << 16, "the prompt has \(prompt.utf8.count) bytes", hint: "use at most 64 KiB")
        let device = noiseDevice
        try require(
            (1...1024).contains(device.multiprocessors) && (256...8192).contains(device.threadsPerMultiprocessor),
            "a GPU of \(device.multiprocessors) x \(device.threadsPerMultiprocessor) threads",
            hint: "use 132 x 2048, the H100's")
    }

    /// The attention the transformer is asked for.
    var attentionKind: AttentionKind {
        switch attention {
        case .original: .dense
        case .sla: .sparseLinear(SparseAttentionOptions(topK: slaTopK))
        // The block sizes upstream's kernel has on the H100.
        case .sagesla:
            .sparseLinear(SparseAttentionOptions(topK: slaTopK, queryBlock: 64, keyBlock: 128, quantized: true))
        }
    }
}
