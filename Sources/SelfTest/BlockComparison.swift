import Checkpoints
import Foundation
import Sampling
import Tensors
import Wan

/// A network of random weights on two backends, block by block: one is on trial, the other judges.
///
/// Every block on trial is given the judge's stream, so that each answers for itself and not for those before it.
/// Attention is dense: which blocks a sparse one chooses hangs on ties that rounding breaks, and is checked by itself
/// among the operations.
public struct BlockComparison {
    /// The network's measures.
    public struct Size: Sendable, Hashable {
        public var dim, headCount, hiddenDim, layerCount, textDim: Int

        public init(dim: Int, headCount: Int, hiddenDim: Int, layerCount: Int, textDim: Int) {
            (self.dim, self.headCount, self.hiddenDim) = (dim, headCount, hiddenDim)
            (self.layerCount, self.textDim) = (layerCount, textDim)
        }

        /// Wan2.1 text to video.
        public static let t2v13B = Size(dim: 1536, headCount: 12, hiddenDim: 8960, layerCount: 30, textDim: 4096)
        public static let t2v14B = Size(dim: 5120, headCount: 40, hiddenDim: 13_824, layerCount: 40, textDim: 4096)
    }

    /// One place in the pass: `||a - b|| / ||b||`, and the most it may be.
    public struct Outcome: Sendable {
        public let place: String
        public let error: Double
        public let limit: Double
        public var passed: Bool { error <= limit }  // false for NaN
        public var description: String {
            "\(passed ? "ok  " : "FAIL") \(place): relative error " + String(format: "%.2e (%.0e)", error, limit)
        }
    }

    public let size: Size
    public let geometry: LatentGeometry
    private let entries: [SafetensorsWriter.Entry]

    /// - Parameters:
    ///   - size: of the network; fewer layers than the published model has take less time.
    ///   - geometry: of the film's latents.
    public init(_ size: Size, geometry: LatentGeometry) {
        (self.size, self.geometry) = (size, geometry)
        entries = TransformerLayout.entries(
            dim: size.dim, inputChannels: LatentGeometry.channels, feedForwardDim: size.hiddenDim,
            layerCount: size.layerCount, textDim: size.textDim, sparseLinear: false, dtype: .bf16)
    }

    /// What an error may be: some roundings of the type in which the backend on trial keeps its activations, or one of the
    /// narrower type in which it multiplies (half a step of e4m3 at its coarsest; of int8, half a step of a block whose
    /// largest value is some four times what its values are like).
    static func limit(_ type: DType, _ precision: LinearPrecision) -> Double {
        switch precision {
        case .fp8: 0x1p-4
        case .int8: 0x1p-5
        case .stored, .float: type == .bf16 ? 0x1.4p-7 : 1e-4
        }
    }

    /// - Parameters:
    ///   - judge: computes in float32.
    ///   - precision: of the linear layers on trial; the judge computes with the weights as they are.
    ///   - limits: the precision whose limits hold; nil for `precision`.
    ///   - weights: makes up tensors by their names, shapes and types; called once.
    /// - Throws: errors of the two backends.
    public func run(
        _ trial: any Backend, against judge: any Backend, precision: LinearPrecision = .stored,
        limits: LinearPrecision? = nil, weights: ([SafetensorsWriter.Entry]) -> [String: HostTensor],
        report: @escaping (Outcome) -> Void
    ) throws -> (passed: Int, failed: Int) {
        precondition(judge.activationType == .f32, "the judge computes in float32")
        let tensors = weights(entries)
        var expected: [TransformerStage: [Float]] = [:]
        try pass(tensors, judge, .stored) { stage, tensor in
            if Self.name(stage) != nil { expected[stage] = judge.download(tensor) }
        }
        let limits = limits ?? (precision == .int8 ? trial.quantizedPrecision : precision)
        var counts = (passed: 0, failed: 0)
        try pass(tensors, trial, precision) { stage, tensor in
            guard let place = Self.name(stage), let right = expected.removeValue(forKey: stage) else { return }
            let outcome = Outcome(
                place: place, error: relativeL2(trial.download(tensor), right),
                // What comes before the blocks and after them is never quantised.
                limit: Self.limit(trial.activationType, Self.isBlock(stage) ? limits : .stored))
            if outcome.passed { counts.passed += 1 } else { counts.failed += 1 }
            report(outcome)
            // What the next block starts from.
            if stage != .head { trial.write(right, into: tensor) }
        }
        precondition(expected.isEmpty, "\(expected.count) places were never reached")
        return counts
    }

    private func pass(
        _ tensors: [String: HostTensor], _ backend: any Backend, _ precision: LinearPrecision,
        observe: @escaping (TransformerStage, Tensor) throws -> Void
    ) throws {
        let configuration = TransformerConfiguration(
            inputChannels: LatentGeometry.channels, outputChannels: LatentGeometry.channels, dim: size.dim,
            headCount: size.headCount, feedForwardDim: size.hiddenDim, layerCount: size.layerCount,
            textDim: size.textDim)
        let network = try Transformer(
            WeightReader(tensors, backend: backend, source: "random weights"), configuration: configuration,
            precision: precision)
        var noise = CUDANoise(seed: 1)
        let text = try network.prepare(
            TextConditioning(rows: noise.draw(120 * size.textDim), textDim: size.textDim))
        let workspace = try network.makeWorkspace(geometry)
        _ = try network.velocity(
            latents: noise.draw(geometry.latentCount), timestep: 932, text: text, attention: .dense,
            workspace: workspace, observesInside: false, observe: observe)
    }

    private static func isBlock(_ stage: TransformerStage) -> Bool {
        if case .block = stage { true } else { false }
    }

    /// Where streams are compared; nil for what lies inside a block.
    private static func name(_ stage: TransformerStage) -> String? {
        switch stage {
        case .patchEmbedding: "patch embedding"
        case .block(let layer): "block \(layer)"
        case .head: "head"
        default: nil
        }
    }
}
