import Sampling

/// Parts of a job, by the names that logs and status show.
public enum GenerationStage: String, Sendable, Hashable, Codable, CaseIterable {
    /// Weights onto the device.
    case load
    /// Prompt to text embedding.
    case text
    /// Picture to latents.
    case image
    /// The network's steps.
    case step
    /// Waiting for the second of two networks.
    case swap
    /// Latents to frames.
    case decode
    /// Frames into the film, as far as it went on after the last frame was decoded.
    case encode
}

/// How far a job has come.
public struct GenerationProgress: Sendable, Hashable {
    public var stage: GenerationStage
    /// Steps finished and to do.
    public var step: Int
    public var stepCount: Int
    /// Share of the whole job that is done, 0 to 1; never falls.
    public var fraction: Double
    /// Seconds to go, once something has been measured.
    public var secondsLeft: Double?
}

/// What really ran, for the log. Encodes as JSON with `convertToSnakeCase`.
public struct GenerationReport: Sendable, Hashable, Codable {
    public struct Weights: Sendable, Hashable, Codable {
        public var file: String
        public var sha256: String
    }

    public struct Step: Sendable, Hashable, Codable {
        /// What the network was given: 0 to 1000, rounded to bf16.
        public var timestep: Float
        /// Nil for a model of one network.
        public var expert: Expert?
        public var file: String
        public var seconds: Double
    }

    public struct Stage: Sendable, Hashable, Codable {
        public var stage: GenerationStage
        public var seconds: Double
    }

    public var model: String
    public var modelVersion: String
    public var mode: GenerationMode
    /// Every file that took part, the tokenizer's model included.
    public var weights: [Weights]
    /// The prompt after cleaning.
    public var promptCleaned: String
    /// Tokens the text encoder saw, the end marker included.
    public var promptTokens: Int
    public var width: Int
    public var height: Int
    public var frames: Int
    public var fps: Int
    public var seed: UInt64
    /// "CUDA Philox4x32-10 of 132 x 2048 threads".
    public var noise: String
    public var sampler: SamplerKind
    public var sigmaMax: Double
    public var boundary: Double
    /// Whether the first latent frame was held to the picture's; nil for text to video.
    public var exactFirstFrame: Bool?
    /// What self-attention really was.
    public var attention: AttentionChoice
    /// Nil for `original`.
    public var slaTopk: Double?
    /// What the blocks' linear layers really computed in: "int8" or "float".
    public var linearPrecision: String
    /// The type of everything between them: "f32", "bf16".
    public var precision: String
    public var backend: String
    public var device: String
    public var steps: [Step]
    /// In the order they began; a stage that was not needed is missing. By events of the device where it has such.
    public var stages: [Stage]
    /// Seconds of the steps in which the device waited for blocks from host memory; nil where none come from there.
    public var transferSeconds: Double?
    /// True if an earlier attempt had left the latents: then no step ran.
    public var latentsSaved: Bool?
    /// The steps alone, without loading.
    public var diffusionSeconds: Double
    public var totalSeconds: Double
    /// Most the process held during the job; nil where the system does not say.
    public var peakMemoryBytes: Int?
    /// What the job was estimated to need before it began.
    public var memoryEstimate: MemoryEstimate
    /// How it got along with the memory there was.
    public var memoryPlan: MemoryPlan
    /// SHA-256 of all frames, `[frames, height, width, 3]` RGB.
    public var framesSha256: String
}
