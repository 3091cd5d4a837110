import Sampling
import Tensors
import Wan

/// Compares what happens inside a forward pass with a file of intermediates.
final class TransformerProbe {
    private let section: Section
    private let transformer: Transformer
    private let file: String
    private let pass: TransformerCases.Pass
    private let tolerance: Double
    private var stages: [TransformerStage: [String]] = [:]
    private var measurements: [Measurement] = []

    init(
        _ section: Section, _ transformer: Transformer, _ file: String, _ pass: TransformerCases.Pass,
        _ tolerance: Double
    ) throws {
        (self.section, self.transformer, self.file, self.pass, self.tolerance) = (
            section, transformer, file, pass, tolerance
        )
        for name in try section.file(file).names {
            if let stage = stage(of: name) {
                stages[stage, default: []].append(name)
            } else {
                try compareDirectly(name)
            }
        }
    }

    /// An observer for `Transformer.velocity`.
    func observe(_ stage: TransformerStage, _ tensor: Tensor) throws {
        for name in stages.removeValue(forKey: stage) ?? [] {
            let isProjected = name.hasSuffix("_self_attn") || name.hasSuffix("_cross_attn")
            let tensor = isProjected ? try transformer.projected(tensor, of: stage) : tensor
            try compare(name, section.backend.download(tensor))
        }
    }

    /// All comparisons; an intermediate the pass never came to is an error.
    func finish() throws -> [Measurement] {
        if let missed = stages.values.first?.first { throw CaseError("\(file): \(missed) was never reached") }
        return measurements
    }

    private func stage(of name: String) -> TransformerStage? {
        switch name {
        case "patch_embedding": return .patchEmbedding
        case "time_embedding": return .timeEmbedding
        case "time_projection": return .timeProjection
        case "head": return .head
        case "block_last": return .block(transformer.configuration.layerCount - 1)
        default: break
        }
        if let layer = number(name, "self_attn_rope_q_block", "") { return .rotatedQuery(layer) }
        if let layer = number(name, "block", "_self_attn_norm_q") { return .normedQuery(layer) }
        if let layer = number(name, "block", "_self_attn") { return .selfAttention(layer) }
        if let layer = number(name, "block", "_cross_attn") { return .crossAttention(layer) }
        return number(name, "block", "").map { .block($0) }
    }

    private func number(_ name: String, _ prefix: String, _ suffix: String) -> Int? {
        guard name.hasPrefix(prefix), name.hasSuffix(suffix), name.count > prefix.count + suffix.count else {
            return nil
        }
        return Int(name.dropFirst(prefix.count).dropLast(suffix.count))
    }

    /// Intermediates that exist outside the pass.
    private func compareDirectly(_ name: String) throws {
        let configuration = transformer.configuration
        switch name {
        case "sinusoid":
            try compare(name, timeSinusoid(timestep: pass.timestep, count: configuration.frequencyDim))
        case "text_embedding":
            // The file keeps the first rows; all that follow the text are equal, and are one row here.
            let rows = section.backend.download(pass.text.embedded)
            let dim = configuration.dim
            let count = try section.tensor(name, in: file).elementCount / dim
            let last = Array(rows.suffix(dim))
            var padded = rows
            while padded.count < count * dim { padded += last }
            try compare(name, Array(padded.prefix(count * dim)))
        case _ where name.hasPrefix("rope_freqs"):
            let angles = RotaryTable.angles(geometry: pass.geometry, headDim: configuration.headDim)
            try compare(name, angles.map { Float($0) })
        default: throw CaseError("\(file): unknown intermediate \(name)")
        }
    }

    private func compare(_ name: String, _ found: [Float]) throws {
        let expected = try section.tensor(name, in: file).floats()
        measurements.append(
            Measurement(what: name, error: relativeL2(found, expected), limit: tolerance, measure: "rel L2"))
    }
}
