import Sampling
import Tensors

/// The network that turns noisy latents, a timestep, a text and perhaps an image into a velocity.
///
/// Source: Wan2.1 wan/modules/model.py `WanModel`; TurboDiffusion rcm/networks/wan2pt1.py, wan2pt2.py.
public final class Transformer: Sendable {
    public let configuration: TransformerConfiguration
    public let backend: any Backend
    let weights: TransformerWeights

    /// - Parameters:
    ///   - precision: what the linear layers of the blocks compute in (the others run as stored); int8 stands for what the
    ///     backend prefers of eight bits.
    ///   - place: where the blocks are; from the host's memory they come through a `TransformerWindow`.
    ///   - onBlock: called after each block is read; an error it throws ends the loading.
    /// - Throws: `WanError` for tensors that are missing or of another shape; `BackendError`.
    public init(
        _ reader: WeightReader, configuration: TransformerConfiguration, precision: LinearPrecision = .stored,
        blocks place: BlockPlace = .device, onBlock: (Int) throws -> Void = { _ in }
    ) throws {
        self.configuration = configuration
        backend = reader.backend
        let precision = precision == .int8 ? backend.quantizedPrecision : precision
        weights = try TransformerWeights(reader, configuration, precision: precision, blocks: place, onBlock: onBlock)
        try backend.check()
    }

    /// Bytes of the weights on the backend.
    public var weightBytes: Int { weights.byteCount }

    /// Bytes of its blocks in host memory.
    public var hostBytes: Int { weights.blocks.hostByteCount }

    /// Whether its blocks have what sparse-linear attention needs.
    public var supportsSparseAttention: Bool { weights.blocks.form.linearBranch != nil }

    /// What the blocks' linear layers really compute in.
    public var linearPrecision: LinearPrecision { weights.blocks.form.feedForwardInput.precision }

    /// Bytes a forward pass writes to, workspace and text context together, apart from a backend's own needs.
    public static func workspaceBytes(
        configuration: TransformerConfiguration, geometry: LatentGeometry, textRows: Int, activation: DType
    ) -> Int {
        TransformerWorkspace.byteCount(configuration, tokens: geometry.tokenCount, activation: activation)
            + TextContext.byteCount(configuration, rows: textRows, activation: activation)
    }

    /// Rows the feed-forward takes at once.
    public static func feedForwardRows(configuration: TransformerConfiguration, tokens: Int, activation: DType) -> Int {
        TransformerWorkspace.plan(configuration, tokens: tokens, activation: activation).feedForwardRows
    }

    public func makeWorkspace(_ geometry: LatentGeometry) throws -> TransformerWorkspace {
        try TransformerWorkspace(configuration, geometry, backend)
    }

    /// Keys and values of the text for every cross-attention; valid for all steps of a job.
    public func prepare(_ text: TextConditioning) throws -> TextContext {
        try TextContext(text, self, mergesPadding: true)
    }

    /// Sets the image channels `[conditionChannels, F, H, W]` (4 of mask, 16 of latents); valid for all steps of a job.
    public func setCondition(_ condition: [Float], in workspace: TransformerWorkspace) {
        precondition(condition.count == configuration.conditionChannels * workspace.geometry.latentCount / 16)
        backend.write(
            condition, into: workspace.planes.rows(LatentGeometry.channels..<configuration.inputChannels))
    }

    /// One call of the network.
    ///
    /// - Parameters:
    ///   - latents: `[16, F, H, W]`.
    ///   - timestep: 0 to 1000, already rounded as the models expect (`Schedule.roundedTimestep`).
    ///   - text: made by `prepare` of this transformer.
    ///   - attention: of self-attention; `.sparseLinear` needs `supportsSparseAttention`.
    ///   - workspace: of the latents' geometry; an image model's condition must have been set.
    ///   - window: where the blocks pass through if they are in host memory; this pass must be the next it knows of.
    ///   - chosenBlocks: if given, one i32 tensor a layer, receives what sparse attention chose.
    ///   - repeats: whether a pass like one before may be queued in one call. `observe` hears nothing of such a pass; blocks
    ///     must be on the backend.
    ///   - observesInside: whether `observe` is called for what lies inside blocks, too. It may cost time: operations that a
    ///     backend does at once are then done one by one.
    ///   - observe: called as the pass goes on; an error it throws ends the pass.
    /// - Returns: the velocity `[16, F, H, W]`.
    public func velocity(
        latents: [Float], timestep: Float, text: TextContext, attention: AttentionKind,
        workspace: TransformerWorkspace, window: TransformerWindow? = nil, chosenBlocks: [Tensor]? = nil,
        repeats: Bool = false, observesInside: Bool = true, observe: ((TransformerStage, Tensor) throws -> Void)? = nil
    ) throws -> [Float] {
        precondition(latents.count == workspace.geometry.latentCount, "latents do not fit the workspace")
        backend.write(latents, into: workspace.planes.rows(0..<LatentGeometry.channels))
        backend.write(timeSinusoid(timestep: timestep, count: configuration.frequencyDim), into: workspace.sinusoid)
        let isShort = workspace.stream.elementCount <= Self.shortStream
        let repetition = repeats && isShort ? workspace.repetition(of: self, text, attention) : nil
        try Self.run(repetition) {
            try pass(
                text, attention, workspace, window, chosenBlocks, observesInside: observesInside, observe: observe)
        }
        let velocity = backend.download(workspace.velocityPlanes)
        try backend.check()
        return velocity
    }

    /// Values of the residual stream up to which a pass is so short that queueing it takes longer: with more, noting it costs
    /// what four passes gain.
    private static let shortStream = 1 << 21

    private static func run(_ repetition: (any Repetition)?, _ body: () throws -> Void) throws {
        guard let repetition else { return try body() }
        try repetition.run(body)
    }

    /// All that the device does of one call.
    private func pass(
        _ text: TextContext, _ attention: AttentionKind, _ workspace: TransformerWorkspace,
        _ window: TransformerWindow?, _ chosenBlocks: [Tensor]?, observesInside: Bool,
        observe: ((TransformerStage, Tensor) throws -> Void)?
    ) throws {
        Patches.pack(workspace.planes, geometry: workspace.geometry, into: workspace.patches, backend)
        backend.linear(workspace.patches, weights.patchEmbedding, into: workspace.stream, .none)
        try observe?(.patchEmbedding, workspace.stream)
        try embedTime(workspace, observe)
        for layer in 0..<configuration.layerCount {
            let block = try self.block(layer, in: window)
            text.fill(layer, block, self)
            try run(
                block, layer, text, attention, workspace, chosenBlocks: chosenBlocks?[layer],
                observe: observesInside ? observe : nil)
            try observe?(.block(layer), workspace.stream)
        }
        let head = workspace.headModulation
        backend.modulatedNorm(
            workspace.stream, shift: head.row(0), scale: head.row(1), epsilon: configuration.epsilon,
            into: workspace.headInput)
        backend.linear(workspace.headInput, weights.head, into: workspace.velocity, .none)
        try observe?(.head, workspace.velocity)
        Patches.unpack(workspace.velocity, geometry: workspace.geometry, into: workspace.velocityPlanes, backend)
    }

    private func block(_ layer: Int, in window: TransformerWindow?) throws -> TransformerBlock {
        if case .resident(let blocks) = weights.blocks.storage { return blocks[layer] }
        guard let window else { preconditionFailure("blocks in host memory without a window") }
        return try window.blocks.use(layer, of: weights.blocks)
    }

    /// Time embedding and all modulation values of the step, in float32.
    private func embedTime(
        _ workspace: TransformerWorkspace, _ observe: ((TransformerStage, Tensor) throws -> Void)?
    ) throws {
        backend.linear(workspace.sinusoid, weights.timeEmbedding, into: workspace.timeHidden, .activation(.silu))
        backend.linear(workspace.timeHidden, weights.timeEmbeddingOutput, into: workspace.timeEmbedding, .none)
        try observe?(.timeEmbedding, workspace.timeEmbedding)
        backend.copy(workspace.timeEmbedding, into: workspace.timeActivated)
        backend.activate(workspace.timeActivated, .silu)
        backend.linear(workspace.timeActivated, weights.timeProjection, into: workspace.timeProjection, .none)
        try observe?(.timeProjection, workspace.timeProjection)
        backend.copy(weights.modulation, into: workspace.modulation)
        backend.add(workspace.timeProjection.row(0), to: workspace.modulation)
        backend.copy(weights.headModulation, into: workspace.headModulation)
        backend.add(workspace.timeEmbedding.row(0), to: workspace.headModulation)
    }
}

/// Where a forward pass stands when it calls its observer, and what the tensor it hands over is.
public enum TransformerStage: Sendable, Hashable {
    /// `[tokens, dim]`.
    case patchEmbedding
    /// f32 `[1, dim]`.
    case timeEmbedding
    /// f32 `[1, 6 * dim]`.
    case timeProjection
    /// Self-attention's queries after their norm, and after rotation, `[tokens, heads, headDim]`.
    case normedQuery(Int)
    case rotatedQuery(Int)
    /// Attention outputs before their output projection, `[tokens, heads, headDim]`.
    case selfAttention(Int)
    case crossAttention(Int)
    /// The residual stream after a block, `[tokens, dim]`.
    case block(Int)
    /// f32 `[tokens, outputChannels * 4]`.
    case head
}

/// Blocks of transformers on the backend, some at a time, for a series of passes.
public final class TransformerWindow {
    let blocks: BlockWindow<TransformerBlock>

    /// - Parameters:
    ///   - passes: the transformer of each pass, all of one configuration.
    ///   - size: blocks on the backend at once, at least 2.
    /// - Throws: `BackendError.outOfMemory`.
    public init(passes: [Transformer], size: Int) throws {
        guard let first = passes.first else { preconditionFailure("a window for no pass") }
        blocks = try BlockWindow(passes.map(\.weights.blocks), size: size, backend: first.backend)
    }

    /// Copies of blocks begun so far.
    public var loads: Int { blocks.loads }
}
