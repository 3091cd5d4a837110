import CUDABackend
import Checkpoints
import Sampling
import Tensors
import Wan

extension GPUBenchmark {
    /// The shipped model's network and decoder at their own sizes: 3,024 tokens in 9 blocks of 256 channels, a VAE of 16.
    func small() throws -> [Row] {
        let (dim, hidden, layers, textDim) = (256, 512, 9, 128)
        let entries = TransformerLayout.entries(
            dim: dim, inputChannels: 16, feedForwardDim: hidden, layerCount: layers, textDim: textDim,
            sparseLinear: true, dtype: .bf16)
        let configuration = TransformerConfiguration(
            inputChannels: 16, outputChannels: 16, dim: dim, headCount: 2, feedForwardDim: hidden, layerCount: layers,
            textDim: textDim)
        let reader = WeightReader(weights.tensors(entries), backend: backend, source: "random weights")
        let network = try Transformer(reader, configuration: configuration)
        let geometry = try LatentGeometry(frameCount: 81, size: FrameSize(width: 256, height: 144))
        let text = try network.prepare(TextConditioning(rows: RandomInput.values(20 * textDim), textDim: textDim))
        let workspace = try network.makeWorkspace(geometry)
        let latents = RandomInput.values(geometry.latentCount)
        let vae = try VAE(
            WeightReader(
                weights.tensors(VAELayout.entries(base: 16, dtype: .bf16)), backend: backend, source: "random weights"),
            configuration: VAEConfiguration(encoderDim: 16, decoderDim: 16))
        let attention = AttentionKind.sparseLinear(Self.attention(quantized: false))
        return [
            try measure(
                "the shipped model's size, one step, SLA 10 %, bf16 linears",
                OperationCounts.transformerStep(
                    configuration, tokens: geometry.tokenCount, textRows: 20, attendedShare: 0.1)
            ) {
                _ = try network.velocity(
                    latents: latents, timestep: 932, text: text, attention: attention, workspace: workspace,
                    repeats: true)
            },
            try measure(
                "the shipped model's size, VAE decode, 81 frames",
                OperationCounts.decoding(vae.configuration, geometry: geometry)
            ) {
                try vae.makeDecoder(geometry, pixelBudget: 4 * geometry.size.area).decodeBytes(latents) { _, _ in }
            },
        ]
    }
}
