import Checkpoints
import Foundation
import Tensors
import Wan

/// A model of a published one's size whose weights somebody makes up in memory: what it needs and how long it takes can be
/// measured without its files.
public struct FullSizeModel: Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        case t2v13B = "1.3B"
        case t2v14B = "14B"
        case i2v14B = "i2v-14B"

        public var mode: GenerationMode { self == .i2v14B ? .i2v : .t2v }
    }

    public let kind: Kind
    let model: Model
    let textEncoder: ModelWeights<TextEncoderLayout>
    let vae: ModelWeights<VAELayout>
    let transformers: [String: ModelWeights<TransformerLayout>]
    /// Of every prompt.
    let tokenCount: Int

    /// - Parameters:
    ///   - layers: of a network; nil for as many as it has.
    ///   - weights: makes up tensors by their names, shapes and types.
    public init(
        _ kind: Kind, layers: Int? = nil, tokenCount: Int = 120,
        weights: ([SafetensorsWriter.Entry]) -> [String: HostTensor]
    ) throws {
        self.kind = kind
        self.tokenCount = tokenCount
        func file(_ name: String, _ entries: [SafetensorsWriter.Entry]) -> Checkpoint {
            Checkpoint(weights(entries).map { $0.value.renamed($0.key) }, path: name)
        }
        let manifest = try ModelManifest(json: Data(Self.manifest(kind).utf8), file: kind.rawValue)
        model = Model(manifest: manifest)
        textEncoder = try canonicalTextEncoder(file("text encoder", TextEncoderLayout.entries(dtype: .bf16)))
        vae = try canonicalVAE(file("VAE", VAELayout.entries(base: 96, dtype: .bf16)))
        let (dim, hidden, count) = kind == .t2v13B ? (1536, 8960, 30) : (5120, 13_824, 40)
        let entries = TransformerLayout.entries(
            dim: dim, inputChannels: kind.mode == .i2v ? 36 : 16, feedForwardDim: hidden,
            layerCount: layers ?? count, textDim: 4096, sparseLinear: true, dtype: .bf16)
        let network = try canonicalTransformer(file("transformer", entries))
        transformers = Dictionary(
            uniqueKeysWithValues: (manifest.modes[kind.mode]?.files ?? []).map { ($0, network) })
    }

    /// The film that is told of: "480p" or "720p", 81 frames.
    public func request(resolution: String, seed: UInt64 = 1) throws -> GenerationRequest {
        var request = try model.request(prompt: "a prompt", mode: kind.mode)
        request.size = try model.size(resolution: resolution)
        request.seed = seed
        request.mayQuantize = true
        return request
    }

    private static func manifest(_ kind: Kind) -> String {
        let networks =
            kind.mode == .i2v
            ? #""i2v": {"high_noise": "high", "low_noise": "low"}"# : #""t2v": {"transformer": "transformer"}"#
        return """
            {"name": "\(kind.rawValue)", "version": "made up", "modes": {\(networks)}, "vae": "VAE",
             "text_encoder": "text encoder", "tokenizer": "none",
             "frames": {"default": 81, "minimum": 5, "maximum": 161}, "defaults": {"attention": "sla"}}
            """
    }
}
