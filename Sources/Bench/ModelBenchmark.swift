import CPUBackend
import Checkpoints
import Foundation
import Sampling
import Tensors
import Wan

/// Whole passes of the networks with random weights: what users wait for, beside the sgemm rate of the same run.
public struct ModelBenchmark {
    private let backend: CPUBackend
    private let folder: URL

    /// - Parameter folder: receives the random weights; made and removed by the caller.
    public init(backend: CPUBackend, folder: URL) {
        self.backend = backend
        self.folder = folder
    }

    /// The transformer of 29.9 million parameters (dim 384, 3 heads, 12 layers, ffn 1536) at 3,024 tokens: dense in
    /// bf16-stored float32, and with SLA and int8 linears.
    public func smallTransformer() throws -> [Measurement] {
        let path = folder.appending(path: "small.safetensors").path
        try RandomCheckpoint.write(
            TransformerLayout.entries(
                dim: 384, inputChannels: 16, feedForwardDim: 1536, layerCount: 12, textDim: 256, sparseLinear: true,
                dtype: .bf16), to: path)
        let weights = try canonicalTransformer(Checkpoint.open(path))
        let geometry = try LatentGeometry(frameCount: 81, size: FrameSize(width: 256, height: 144))
        let sparse = AttentionKind.sparseLinear(SparseAttentionOptions(topK: 0.1))
        return [
            try step(weights, geometry, "transformer step f32, dense", .float, .dense, share: 1),
            try step(weights, geometry, "transformer step f32, SLA 10 %", .float, sparse, share: 0.1),
            try step(weights, geometry, "transformer step int8, SLA 10 %", .int8, sparse, share: 0.1),
        ]
    }

    /// Wan2.1-1.3B in bf16 at 256x144, 17 frames (720 tokens): the time to load by map and one dense step.
    public func wan13B() throws -> [Measurement] {
        let path = folder.appending(path: "wan-1.3b.safetensors").path
        try RandomCheckpoint.write(
            TransformerLayout.entries(
                dim: 1536, inputChannels: 16, feedForwardDim: 8960, layerCount: 30, textDim: 4096, sparseLinear: false,
                dtype: .bf16), to: path)
        let start = ContinuousClock().now
        let weights = try canonicalTransformer(Checkpoint.open(path))
        let transformer = try Transformer(weights, backend: backend, precision: .stored)
        let load = ContinuousClock().now - start
        let geometry = try LatentGeometry(frameCount: 17, size: FrameSize(width: 256, height: 144))
        return [
            Measurement(
                section: "model", name: "Wan2.1-1.3B bf16, load by map", shape: "1.42e9 parameters",
                seconds: Double(load.components.seconds) + Double(load.components.attoseconds) * 1e-18,
                processorSeconds: 0),
            try step(transformer, geometry, "Wan2.1-1.3B bf16, step", .dense, share: 1),
        ]
    }

    /// The VAE of base 16: decoding 81 frames of 256x144.
    public func decoder() throws -> [Measurement] {
        let path = folder.appending(path: "vae.safetensors").path
        try RandomCheckpoint.write(VAELayout.entries(base: 16, dtype: .bf16), to: path)
        let vae = try VAE(canonicalVAE(Checkpoint.open(path)), backend: backend)
        let geometry = try LatentGeometry(frameCount: 81, size: FrameSize(width: 256, height: 144))
        let latents = RandomInput.values(geometry.latentCount)
        let time = try Stopwatch.measure {
            try vae.makeDecoder(geometry).decodeBytes(latents) { _, _ in }
        }
        return [
            Measurement(
                section: "model", name: "VAE decode, base 16", shape: "81 frames 256x144", seconds: time.seconds,
                processorSeconds: time.processorSeconds,
                operations: OperationCounts.decoding(vae.configuration, geometry: geometry))
        ]
    }

    // MARK: One step

    private func step(
        _ weights: ModelWeights<TransformerLayout>, _ geometry: LatentGeometry, _ name: String,
        _ precision: LinearPrecision, _ attention: AttentionKind, share: Double
    ) throws -> Measurement {
        try step(
            Transformer(weights, backend: backend, precision: precision), geometry, name, attention, share: share)
    }

    private func step(
        _ transformer: Transformer, _ geometry: LatentGeometry, _ name: String, _ attention: AttentionKind,
        share: Double
    ) throws -> Measurement {
        let textRows = 20
        let text = try transformer.prepare(
            TextConditioning(
                rows: RandomInput.values(textRows * transformer.configuration.textDim),
                textDim: transformer.configuration.textDim))
        let workspace = try transformer.makeWorkspace(geometry)
        let latents = RandomInput.values(geometry.latentCount)
        let time = try Stopwatch.measure {
            _ = try transformer.velocity(
                latents: latents, timestep: 932, text: text, attention: attention, workspace: workspace)
        }
        return Measurement(
            section: "model", name: name, shape: "\(geometry.tokenCount) tokens", seconds: time.seconds,
            processorSeconds: time.processorSeconds,
            operations: OperationCounts.transformerStep(
                transformer.configuration, tokens: geometry.tokenCount, textRows: textRows, attendedShare: share))
    }
}
