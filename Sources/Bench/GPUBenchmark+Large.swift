import CUDABackend
import Checkpoints
import Sampling
import Tensors
import Wan

extension GPUBenchmark {
    /// Wan2.1-14B at 480p and 720p: one step in bf16, and the loop of four with eight bits in linear layers and attention.
    func large() throws -> [Row] {
        try [LinearPrecision.stored, .int8].flatMap { precision in
            let network = try network14B(inputChannels: 16, precision)
            return try [("480p", 832, 480, 8.46, 4.0), ("720p", 1280, 720, 21.2, 9.5)].map {
                name, width, height, upstream, goal in
                let geometry = try LatentGeometry(frameCount: 81, size: FrameSize(width: width, height: height))
                guard precision != .stored else {
                    return try steps([932], of: network, geometry, "14B \(name), one step", upstream: upstream / 4)
                }
                return try steps(
                    [988, 932, 852, 608], of: network, geometry, "14B \(name), loop of 4 steps", quantized: true,
                    upstream: upstream, goal: goal)
            }
        }
    }

    /// Wan2.2-I2V-A14B, the loop of four steps, two an expert.
    func experts() throws -> [Row] {
        let experts = [try network14B(inputChannels: 36, .int8), try network14B(inputChannels: 36, .int8)]
        let geometry = try LatentGeometry(frameCount: 81, size: FrameSize(width: 1280, height: 720))
        let texts = try experts.map { try $0.prepare(text(of: $0)) }
        let workspace = try experts[0].makeWorkspace(geometry)
        experts[0].setCondition(RandomInput.values(geometry.latentCount / 16 * 20), in: workspace)
        let operations = operations(experts[0], geometry)
        let latents = RandomInput.values(geometry.latentCount)
        return try [true].map { quantized in
            let attention = AttentionKind.sparseLinear(Self.attention(quantized: quantized))
            return try measure(
                "I2V A14B 720p, loop of 4 steps, \(quantized ? "SageSLA" : "SLA") 10 %, "
                    + "\(Self.linears(of: experts[0])) linears, both experts resident", 4 * operations, upstream: 21.2,
                goal: 10.5, runs: 2
            ) {
                var x = latents
                for (expert, timestep) in [(0, Float(996)), (0, 932), (1, 852), (1, 608)] {
                    x = try experts[expert].velocity(
                        latents: x, timestep: timestep, text: texts[expert], attention: attention, workspace: workspace,
                        repeats: true)
                }
            }
        }
    }

    private func network14B(inputChannels: Int, _ precision: LinearPrecision) throws -> Transformer {
        let entries = TransformerLayout.entries(
            dim: 5120, inputChannels: inputChannels, feedForwardDim: 13824, layerCount: 40, textDim: 4096,
            sparseLinear: true, dtype: .bf16)
        let configuration = TransformerConfiguration(
            inputChannels: inputChannels, outputChannels: 16, dim: 5120, headCount: 40, feedForwardDim: 13824,
            layerCount: 40, textDim: 4096)
        return try Transformer(
            WeightReader(weights.tensors(entries), backend: backend, source: "random weights"),
            configuration: configuration, precision: precision)
    }

    private func text(of network: Transformer) -> TextConditioning {
        let textDim = network.configuration.textDim
        return TextConditioning(rows: RandomInput.values(Self.textRows * textDim), textDim: textDim)
    }

    private static let textRows = 120

    private func operations(_ network: Transformer, _ geometry: LatentGeometry) -> Double {
        OperationCounts.transformerStep(
            network.configuration, tokens: geometry.tokenCount, textRows: Self.textRows, attendedShare: 0.1)
    }

    private func steps(
        _ timesteps: [Float], of network: Transformer, _ geometry: LatentGeometry, _ name: String,
        quantized: Bool = false, upstream: Double?, goal: Double? = nil
    ) throws -> Row {
        let text = try network.prepare(text(of: network))
        let workspace = try network.makeWorkspace(geometry)
        let latents = RandomInput.values(geometry.latentCount)
        let attention = AttentionKind.sparseLinear(Self.attention(quantized: quantized))
        return try measure(
            "\(name), \(quantized ? "SageSLA" : "SLA") 10 %, \(Self.linears(of: network)) linears",
            Double(timesteps.count) * operations(network, geometry), upstream: upstream, goal: goal, runs: 2
        ) {
            var x = latents
            for timestep in timesteps {
                x = try network.velocity(
                    latents: x, timestep: timestep, text: text, attention: attention, workspace: workspace,
                    repeats: true)
            }
        }
    }
}
