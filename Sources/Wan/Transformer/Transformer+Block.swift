import Tensors

extension Transformer {
    /// One block, in place on `workspace.stream`.
    func run(
        _ block: TransformerBlock, _ layer: Int, _ text: TextContext, _ attention: AttentionKind,
        _ workspace: TransformerWorkspace, chosenBlocks: Tensor?, observe: ((TransformerStage, Tensor) throws -> Void)?
    ) throws {
        let modulation = BlockModulation(workspace.modulation.row(layer), dim: configuration.dim)
        try attend(block, layer, modulation, attention, workspace, chosenBlocks, observe)
        try attendToText(block, layer, text, workspace, observe)
        feedForward(block, modulation, workspace)
    }

    private func attend(
        _ block: TransformerBlock, _ layer: Int, _ modulation: BlockModulation, _ attention: AttentionKind,
        _ workspace: TransformerWorkspace, _ chosenBlocks: Tensor?,
        _ observe: ((TransformerStage, Tensor) throws -> Void)?
    ) throws {
        let (stream, normed, epsilon) = (workspace.stream, workspace.normed, configuration.epsilon)
        let (query, key, value) = workspace.projections
        let (flatQuery, flatKey) = (query.reshaped(stream.shape), key.reshaped(stream.shape))
        let weights = block.selfAttention
        backend.linear(
            normed: stream,
            by: .modulated(shift: modulation.attentionShift, scale: modulation.attentionScale, epsilon: epsilon),
            [weights.query, weights.key, weights.value], into: [flatQuery, flatKey, value.reshaped(stream.shape)],
            .none,
            normed: normed)
        if let observe {
            backend.rmsNorm(flatQuery, weight: weights.queryNorm, epsilon: epsilon, into: flatQuery)
            try observe(.normedQuery(layer), query)
            backend.rotate(query, table: workspace.rotary)
            try observe(.rotatedQuery(layer), query)
        } else {
            backend.rmsNormRotated(query, weight: weights.queryNorm, epsilon: epsilon, table: workspace.rotary)
        }
        backend.rmsNormRotated(key, weight: weights.keyNorm, epsilon: epsilon, table: workspace.rotary)
        let output = normed.reshaped(query.shape)
        switch attention {
        case .dense:
            backend.attention(q: query, k: key, v: value, scale: attentionScale, bias: nil, into: output)
        case .sparseLinear(let options):
            guard let branch = block.linearBranch else {
                preconditionFailure("sparse-linear attention without its projection in block \(layer)")
            }
            backend.sparseLinearAttention(
                q: query, k: key, v: value, projection: branch, options: options, blocks: chosenBlocks, into: output)
        }
        try observe?(.selfAttention(layer), output)
        backend.linear(normed, weights.output, into: stream, .gated(modulation.attentionGate))
    }

    private func attendToText(
        _ block: TransformerBlock, _ layer: Int, _ text: TextContext, _ workspace: TransformerWorkspace,
        _ observe: ((TransformerStage, Tensor) throws -> Void)?
    ) throws {
        let (stream, normed, epsilon) = (workspace.stream, workspace.normed, configuration.epsilon)
        let query = workspace.projections.query
        let flatQuery = query.reshaped(stream.shape)
        let weights = block.crossAttention
        backend.linear(
            normed: stream, by: .affine(weight: block.crossNormWeight, bias: block.crossNormBias, epsilon: epsilon),
            [weights.query], into: [flatQuery], .none, normed: normed)
        backend.rmsNorm(flatQuery, weight: weights.queryNorm, epsilon: epsilon, into: flatQuery)
        let output = normed.reshaped(query.shape)
        backend.attention(
            q: query, k: text.keys[layer], v: text.values[layer], scale: attentionScale, bias: text.bias, into: output)
        try observe?(.crossAttention(layer), output)
        backend.linear(normed, weights.output, into: stream, .accumulate)
    }

    private func feedForward(
        _ block: TransformerBlock, _ modulation: BlockModulation, _ workspace: TransformerWorkspace
    ) {
        let norm = RowNorm.modulated(
            shift: modulation.feedForwardShift, scale: modulation.feedForwardScale, epsilon: configuration.epsilon)
        backend.feedForward(
            workspace.stream, by: norm, block.feedForwardInput, block.feedForwardOutput,
            gate: modulation.feedForwardGate, hidden: workspace.hidden, normed: workspace.normed)
    }

    private var attentionScale: Float { 1 / Float(configuration.headDim).squareRoot() }

    /// A block's attention after its output projection: what the block adds to its residual stream, before any gate.
    ///
    /// - Parameter output: as handed to an observer at `.selfAttention` or `.crossAttention`.
    public func projected(_ output: Tensor, of stage: TransformerStage) throws -> Tensor {
        guard case .resident(let blocks) = weights.blocks.storage else { preconditionFailure("blocks in host memory") }
        let projection: any Linear
        switch stage {
        case .selfAttention(let layer): projection = blocks[layer].selfAttention.output
        case .crossAttention(let layer): projection = blocks[layer].crossAttention.output
        default: preconditionFailure("\(stage) has no output projection")
        }
        let result = try backend.allocate([output.shape[0], configuration.dim], backend.activationType)
        backend.linear(output.reshaped(result.shape), projection, into: result, .none)
        return result
    }
}
