import CUDABackend
import Checkpoints
import Sampling
import Tensors
import Wan

extension GPUBenchmark {
    /// Wan2.1-14B, one step at 480p and one at 720p: in bf16, and with eight bits in linear layers and attention.
    func large() throws -> [Row] {
        try [(LinearPrecision.stored, [false]), (.int8, [false, true])].flatMap { precision, kinds in
            let network = try network14B(inputChannels: 16, precision)
            return try [("480p", 832, 480), ("720p", 1280, 720)].flatMap { name, width, height in
                let geometry = try LatentGeometry(frameCount: 81, size: FrameSize(width: width, height: height))
                return try kinds.map { quantized in
                    try step(
                        network, geometry, "14B \(name), one step, \(quantized ? "SageSLA" : "SLA") 10 %",
                        quantized: quantized, upstream: name == "480p" ? 2.115 : 5.3)
                }
            }
        }
    }

    /// Wan2.2-I2V-A14B, the loop of four steps, two an expert.
    func experts() throws -> [Row] {
        let experts = [try network14B(inputChannels: 36, .int8), try network14B(inputChannels: 36, .int8)]
        let geometry = try LatentGeometry(frameCount: 81, size: FrameSize(width: 1280, height: 720))
        let texts = try experts.map { try $0.prepare(text(of: $0)) }
        let workspace = try experts[0].makeWorkspace(geometry)
        experts[0].setCondition(Self.values(geometry.latentCount / 16 * 20), in: workspace)
        let operations = operations(experts[0], geometry)
        let latents = Self.values(geometry.latentCount)
        return try [true].map { quantized in
            let attention = AttentionKind.sparseLinear(Self.attention(quantized: quantized))
            return try measure(
                "I2V A14B 720p, loop of 4 steps, \(quantized ? "SageSLA" : "SLA") 10 %, "
                    + "\(Self.linears(of: experts[0])) linears, both experts resident", 4 * operations, upstream: 21.2
            ) {
                var x = latents
                for (expert, timestep) in [(0, Float(996)), (0, 932), (1, 852), (1, 608)] {
                    x = try experts[expert].velocity(
                        latents: x, timestep: timestep, text: texts[expert], attention: attention, workspace: workspace)
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
        return TextConditioning(rows: Self.values(Self.textRows * textDim), textDim: textDim)
    }

    private static let textRows = 120

    private func operations(_ network: Transformer, _ geometry: LatentGeometry) -> Double {
        OperationCounts.transformerStep(
            network.configuration, tokens: geometry.tokenCount, textRows: Self.textRows, attendedShare: 0.1)
    }

    private func step(
        _ network: Transformer, _ geometry: LatentGeometry, _ name: String, quantized: Bool, upstream: Double?
    ) throws -> Row {
        let text = try network.prepare(text(of: network))
        let workspace = try network.makeWorkspace(geometry)
        let latents = Self.values(geometry.latentCount)
        let attention = AttentionKind.sparseLinear(Self.attention(quantized: quantized))
        return try measure(
            "\(name), \(Self.linears(of: network)) linears", operations(network, geometry), upstream: upstream
        ) {
            _ = try network.velocity(
                latents: latents, timestep: 932, text: text, attention: attention, workspace: workspace)
        }
    }
}
