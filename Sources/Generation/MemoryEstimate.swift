import Checkpoints
import Sampling
import Tensors
import Wan

/// Bytes a job needs, known before it starts.
public struct MemoryEstimate: Sendable, Hashable, Codable {
    /// Weights on the device, by file.
    public var weights: [String: Int]
    /// Activations and buffers of each stage.
    public var workspaces: [String: Int]
    /// The most any moment needs if nothing is kept beside what it uses.
    public var leastBytes: Int
    /// The most any moment needs if everything once loaded stays.
    public var mostBytes: Int

    static let hint = "lower the resolution or use quantised weights"

    /// "41.2 GiB", "300 MiB".
    public static func text(_ bytes: Int) -> String {
        let mebibytes = Double(bytes) / Double(1 << 20)
        guard mebibytes >= 1024 else { return "\(Int(mebibytes.rounded(.up))) MiB" }
        let tenths = Int((mebibytes / 1024 * 10).rounded(.up))
        return tenths % 10 == 0 || tenths >= 100 ? "\((tenths + 9) / 10) GiB" : "\(tenths / 10).\(tenths % 10) GiB"
    }

    /// - Throws: `GenerationError` `.memory` if even the least is more than `limit`.
    func check(limit: Int?) throws {
        guard let limit, leastBytes > limit else { return }
        throw GenerationError(
            .memory, "needs \(Self.text(leastBytes)), \(Self.text(max(limit, 0))) are free", hint: Self.hint)
    }
}

/// The sizes of a model's files for one request, read without loading them.
struct ModelSizes {
    let textEncoder: TextEncoderConfiguration
    let textEncoderBytes: Int
    let vae: VAEConfiguration
    let vaeBytes: Int
    let transformer: TransformerConfiguration
    let transformerBytes: [String: Int]

    func estimate(
        _ request: GenerationRequest, geometry: LatentGeometry, tokenCount: Int, files: ModelManifest,
        activation: DType
    ) -> MemoryEstimate {
        // A backend's own scratch: about one more copy of queries, keys and values where attention is sparse.
        let copies = request.attention == .original ? 1 : 3
        let attention = copies * geometry.tokenCount * transformer.dim * activation.byteCount
        let latents = geometry.latentCount * 8 * 3
        let text = TextEncoder.workspaceBytes(
            configuration: textEncoder, tokenCount: tokenCount, activation: activation)
        let decode = VAE.decoderBytes(configuration: vae, geometry: geometry, activation: activation) + latents
        let step =
            Transformer.workspaceBytes(
                configuration: transformer, geometry: geometry, textRows: transformer.textLength, activation: activation
            )
            + attention + latents + geometry.tokenCount * transformer.patchInputSize * 4
        var workspaces = ["text": text, "step": step, "decode": decode]
        var least = max(textEncoderBytes + text, vaeBytes + decode, (transformerBytes.values.max() ?? 0) + step)
        if request.mode == .i2v {
            let image =
                VAE.encoderBytes(configuration: vae, geometry: geometry, activation: activation) + 3 * latents
                + geometry.size.area * 12
            workspaces["image"] = image
            least = max(least, vaeBytes + image)
        }
        var weights = transformerBytes
        weights[files.textEncoder] = textEncoderBytes
        weights[files.vae] = vaeBytes
        let most = weights.values.reduce(0, +) + (workspaces.values.max() ?? 0)
        return MemoryEstimate(weights: weights, workspaces: workspaces, leastBytes: least, mostBytes: most)
    }
}

extension ModelWeights {
    /// Bytes on a device whose layers hold floats as stored (of one byte if they are quantised at load) and, where
    /// `widened`, as float32.
    func deviceBytes(except: Set<String> = [], widened: Bool = false, quantizesBlocks: Bool = false) -> Int {
        tensors.reduce(0) { sum, entry in
            let (name, tensor) = entry
            guard !except.contains(name) else { return sum }
            let isMatrix = tensor.shape.count >= 2
            if quantizesBlocks, isMatrix, name.hasPrefix("blocks."), name.hasSuffix(".weight") {
                return sum + tensor.elementCount
            }
            return sum + tensor.elementCount * (widened ? 4 : tensor.dtype.byteCount)
        }
    }
}
