import Foundation
import Sampling

/// What kind of video is made.
public enum GenerationMode: String, Sendable, Hashable, Codable, CaseIterable {
    /// From text alone.
    case t2v
    /// From a picture and a text.
    case i2v
}

/// How self-attention is computed, as people name it.
public enum AttentionChoice: String, Sendable, Hashable, Codable, CaseIterable {
    case original
    case sla
    case sagesla
}

/// A model folder's `model.json`: which files it has and what they are made for.
///
///     {
///       "name": "Dropreel-Mini",            shown in logs and output names
///       "version": "0.1",
///       "modes": {                          at least one
///         "t2v": {"transformer": "t2v.safetensors"},
///         "i2v": {"high_noise": "i2v_high.safetensors", "low_noise": "i2v_low.safetensors"}
///       },
///       "vae": "vae.safetensors",           files are plain names inside the folder
///       "text_encoder": "text_encoder.safetensors",
///       "tokenizer": "tokenizer",
///       "resolutions": {"144p": {"16:9": [256, 144]}},    multiples of 16; left out: 480p and 720p of the Wan models
///       "default_resolution": "144p",       left out: the one with the fewest pixels
///       "default_aspect_ratio": "16:9",
///       "frames": {"default": 81, "minimum": 33, "maximum": 161},      all of the form 4n + 1
///       "fps": 16,
///       "defaults": {                       left out: upstream's
///         "attention": "sla", "sla_topk": 0.1, "steps": 4, "quant_linear": false, "boundary": 0.9,
///         "sla_topk_other": 0.5,            for films shorter than the default or of another shape; left out: as sla_topk
///         "exact_first_frame": false,
///         "sigma_max": {"t2v": 80, "i2v": 200}, "sampler": {"t2v": "sde", "i2v": "ode"}
///       }                                 attention, sla_topk*, sigma_max and sampler: one value, or one for each mode
///     }
public struct ModelManifest: Sendable, Hashable {
    public static let fileName = "model.json"

    public var name: String
    public var version: String
    public var modes: [GenerationMode: Networks]
    public var vae: String
    public var textEncoder: String
    public var tokenizer: String
    public var resolutions: ResolutionTable
    public var defaultResolution: String
    public var defaultAspectRatio: String
    public var frames: FrameCounts
    public var framesPerSecond: Int
    public var defaults: Defaults

    /// The network or networks of a mode.
    public enum Networks: Sendable, Hashable {
        case single(String)
        case experts(highNoise: String, lowNoise: String)

        public var files: [String] {
            switch self {
            case .single(let file): [file]
            case .experts(let high, let low): [high, low]
            }
        }

        func file(_ expert: Expert) -> String {
            switch (self, expert) {
            case (.single(let file), _): file
            case (.experts(let high, _), .highNoise): high
            case (.experts(_, let low), .lowNoise): low
            }
        }
    }

    public struct FrameCounts: Sendable, Hashable {
        public var standard: Int
        public var minimum: Int
        public var maximum: Int
    }

    public struct Defaults: Sendable, Hashable {
        public var attention: [GenerationMode: AttentionChoice]
        public var slaTopK: [GenerationMode: Double]
        /// The same for films of fewer frames or another shape than the model's own; modes without one take `slaTopK`.
        public var slaTopKOfOtherFilms: [GenerationMode: Double]
        public var steps: Int
        public var quantizesLinears: Bool
        public var boundary: Double
        /// Whether films from pictures hold the first latent frame to the picture's.
        public var exactFirstFrame: Bool
        public var sigmaMax: [GenerationMode: Double]
        public var sampler: [GenerationMode: SamplerKind]
    }
}
