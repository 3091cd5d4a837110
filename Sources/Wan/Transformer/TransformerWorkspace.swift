import Sampling
import Tensors

/// Everything a forward pass writes to, allocated once for a geometry; one pass at a time.
public final class TransformerWorkspace {
    public let geometry: LatentGeometry
    let configuration: TransformerConfiguration
    /// What the network is given: latents and, after them, the condition, `[inputChannels, F * H * W]`.
    let planes: Tensor
    /// The same as tokens: `[tokens, inputChannels * 4]`.
    let patches: Tensor
    /// The residual stream `[tokens, dim]`.
    let stream: Tensor
    /// A normed copy of it, or an attention's output, `[tokens, dim]`.
    let normed: Tensor
    /// q, k and v; or the feed-forward's hidden rows; or the head's normed input.
    let scratch: Tensor
    /// Rows the feed-forward takes at once.
    let feedForwardRows: Int
    /// f32 `[tokens, headDim / 2, 2]`.
    let rotary: Tensor
    /// f32 `[tokens, outputChannels * 4]`.
    let velocity: Tensor
    /// The same as `[outputChannels, F * H * W]`.
    let velocityPlanes: Tensor
    /// f32: sinusoid, MLP hidden, time embedding, its activation `[1, dim]` each but the first; projection `[6 * dim]`.
    let sinusoid: Tensor
    let timeHidden: Tensor
    let timeEmbedding: Tensor
    let timeActivated: Tensor
    let timeProjection: Tensor
    /// f32 `[layers, 6 * dim]` and `[2, dim]`: the step's modulation values.
    let modulation: Tensor
    let headModulation: Tensor

    private let backend: any Backend
    /// The pass that was made last, to be made again.
    private var last: RepeatedPass?

    /// A pass and what it was of, as long as that is there.
    private struct RepeatedPass {
        weak var transformer: Transformer?
        weak var text: TextContext?
        let attention: AttentionKind
        let repetition: any Repetition
    }

    init(_ configuration: TransformerConfiguration, _ geometry: LatentGeometry, _ backend: any Backend) throws {
        self.backend = backend
        self.geometry = geometry
        self.configuration = configuration
        let (tokens, dim, type) = (geometry.tokenCount, configuration.dim, backend.activationType)
        let plan = Self.plan(configuration, tokens: tokens, activation: type)
        feedForwardRows = plan.feedForwardRows
        let area = geometry.latentFrames * geometry.latentArea
        planes = try backend.allocate([configuration.inputChannels, area], type)
        patches = try backend.allocate([tokens, configuration.patchInputSize], type)
        stream = try backend.allocate([tokens, dim], type)
        normed = try backend.allocate([tokens, dim], type)
        scratch = try backend.allocate([plan.scratchElements], type)
        rotary = try backend.allocate([tokens, configuration.headDim / 2, 2], .f32)
        velocity = try backend.allocate([tokens, configuration.patchOutputSize], .f32)
        velocityPlanes = try backend.allocate([configuration.outputChannels, area], .f32)
        sinusoid = try backend.allocate([1, configuration.frequencyDim], .f32)
        timeHidden = try backend.allocate([1, dim], .f32)
        timeEmbedding = try backend.allocate([1, dim], .f32)
        timeActivated = try backend.allocate([1, dim], .f32)
        timeProjection = try backend.allocate([1, 6 * dim], .f32)
        modulation = try backend.allocate([configuration.layerCount, 6 * dim], .f32)
        headModulation = try backend.allocate([2, dim], .f32)
        backend.fill(planes, with: 0)
        backend.write(RotaryTable.values(geometry: geometry, headDim: configuration.headDim), into: rotary)
        try backend.check()
    }

    /// Bytes on the device for a geometry of `tokens` tokens.
    static func byteCount(_ configuration: TransformerConfiguration, tokens: Int, activation: DType) -> Int {
        let plan = plan(configuration, tokens: tokens, activation: activation)
        let activations = tokens * (2 * configuration.patchInputSize + 2 * configuration.dim) + plan.scratchElements
        let floats =
            tokens * (configuration.headDim + 2 * configuration.patchOutputSize) + configuration.frequencyDim
            + configuration.dim * (11 + 6 * configuration.layerCount)
        return activations * activation.byteCount + floats * 4
    }

    static func plan(
        _ configuration: TransformerConfiguration, tokens: Int, activation: DType
    ) -> (feedForwardRows: Int, scratchElements: Int) {
        // As many hidden rows as fit where q, k and v are, in whole blocks of 128 (an int8 layer quantises by those).
        let (dim, hidden) = (configuration.dim, configuration.feedForwardDim)
        let projections = 3 * tokens * dim
        let rows = min(tokens, max(128, projections / hidden / 128 * 128))
        let head = (tokens * dim * 4 + activation.byteCount - 1) / activation.byteCount
        return (rows, max(projections, rows * hidden, head))
    }

    /// Passes of one network with one text; nil where they gain nothing by being queued in one call.
    func repetition(
        of transformer: Transformer, _ text: TextContext, _ attention: AttentionKind
    ) -> (any Repetition)? {
        if let last, last.transformer === transformer, last.text === text, last.attention == attention {
            return last.repetition
        }
        last = nil  // what it has learnt may be of use
        let name = "step of \(configuration), \(geometry), \(attention), \(transformer.linearPrecision)"
        last = backend.repetition(name).map {
            RepeatedPass(transformer: transformer, text: text, attention: attention, repetition: $0)
        }
        return last?.repetition
    }

    /// q, k, v `[tokens, heads, headDim]`.
    var projections: (query: Tensor, key: Tensor, value: Tensor) {
        let size = geometry.tokenCount * configuration.dim
        let shape = [geometry.tokenCount, configuration.headCount, configuration.headDim]
        func part(_ index: Int) -> Tensor { scratch.rows(index * size..<(index + 1) * size).reshaped(shape) }
        return (part(0), part(1), part(2))
    }

    /// `[feedForwardRows, feedForwardDim]`.
    var hidden: Tensor {
        let count = feedForwardRows * configuration.feedForwardDim
        return scratch.rows(0..<count).reshaped([feedForwardRows, configuration.feedForwardDim])
    }

    /// f32 `[tokens, dim]` over the scratch memory.
    var headInput: Tensor {
        Tensor(
            buffer: scratch.buffer, offset: scratch.offset, shape: [geometry.tokenCount, configuration.dim], dtype: .f32
        )
    }
}
