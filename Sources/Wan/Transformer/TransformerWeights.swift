import Tensors

/// The network's parameters on a backend; the checkpoint's key stands beside each field.
struct TransformerWeights: Sendable {
    let patchEmbedding: any Linear  // patch_embedding
    let textEmbedding: any Linear  // text_embedding.0
    let textProjection: any Linear  // text_embedding.2
    let timeEmbedding: any Linear  // time_embedding.0
    let timeEmbeddingOutput: any Linear  // time_embedding.2
    let timeProjection: any Linear  // time_projection.1
    let blocks: BlockSource<TransformerBlock>  // blocks.N
    let modulation: Tensor  // blocks.N.modulation of all blocks, f32 [layers, 6 * dim]
    let headModulation: Tensor  // head.modulation, f32 [2, dim]
    let head: any Linear  // head.head

    /// - Parameter onBlock: called after each block; an error it throws ends the loading.
    init(
        _ reader: WeightReader, _ configuration: TransformerConfiguration, precision: LinearPrecision,
        blocks place: BlockPlace, onBlock: (Int) throws -> Void
    ) throws {
        let dim = configuration.dim
        patchEmbedding = try reader.linear("patch_embedding", configuration.patchInputSize, dim)
        textEmbedding = try reader.linear("text_embedding.0", configuration.textDim, dim)
        textProjection = try reader.linear("text_embedding.2", dim, dim)
        timeEmbedding = try reader.linear("time_embedding.0", configuration.frequencyDim, dim)
        timeEmbeddingOutput = try reader.linear("time_embedding.2", dim, dim)
        timeProjection = try reader.linear("time_projection.1", dim, 6 * dim)
        blocks = try BlockSource(
            count: configuration.layerCount, place, on: reader.backend,
            make: { try TransformerBlock(reader, "blocks.\($0)", configuration, precision: precision) },
            onBlock: onBlock)
        var table: [Float] = []
        table.reserveCapacity(configuration.layerCount * 6 * dim)
        for layer in 0..<configuration.layerCount {
            table += try reader.tensor("blocks.\(layer).modulation", shape: [1, 6, dim]).floats()
        }
        modulation = try reader.backend.upload(
            HostTensor(shape: [configuration.layerCount, 6 * dim], values: table), as: .f32)
        headModulation = try reader.backend.upload(
            reader.tensor("head.modulation", shape: [1, 2, dim]).reshaped([2, dim]), as: .f32)
        head = try reader.linear("head.head", dim, configuration.patchOutputSize)
    }

    /// Bytes on the backend.
    var byteCount: Int {
        [patchEmbedding, textEmbedding, textProjection, timeEmbedding, timeEmbeddingOutput, timeProjection, head]
            .reduce(modulation.byteCount + headModulation.byteCount) { $0 + $1.byteCount } + blocks.byteCount
    }
}

/// One block: self-attention, cross-attention to the text, feed-forward.
struct TransformerBlock: StreamedBlock {
    let selfAttention: AttentionWeights  // self_attn
    /// 128 -> 128, shared by the heads; only in files made for sparse-linear attention.
    let linearBranch: (any Linear)?  // self_attn.attn_op.local_attn.proj_l
    let crossNormWeight: Tensor  // norm3.weight
    let crossNormBias: Tensor  // norm3.bias
    let crossAttention: AttentionWeights  // cross_attn
    let feedForwardInput: any Linear  // ffn.0
    let feedForwardOutput: any Linear  // ffn.2

    init(
        _ reader: WeightReader, _ key: String, _ configuration: TransformerConfiguration, precision: LinearPrecision
    ) throws {
        let dim = configuration.dim
        selfAttention = try AttentionWeights(reader, key + ".self_attn", dim, precision)
        let branch = key + ".self_attn.attn_op.local_attn.proj_l"
        linearBranch =
            reader.contains(branch + ".weight")
            ? try reader.linear(branch, configuration.headDim, configuration.headDim) : nil
        crossNormWeight = try reader.vector(key + ".norm3.weight", dim)
        crossNormBias = try reader.vector(key + ".norm3.bias", dim)
        crossAttention = try AttentionWeights(reader, key + ".cross_attn", dim, precision)
        feedForwardInput = try reader.linear(key + ".ffn.0", dim, configuration.feedForwardDim, precision: precision)
        feedForwardOutput = try reader.linear(key + ".ffn.2", configuration.feedForwardDim, dim, precision: precision)
    }

    var linears: [any Linear] {
        selfAttention.linears + crossAttention.linears + [feedForwardInput, feedForwardOutput]
            + (linearBranch.map { [$0] } ?? [])
    }

    var byteCount: Int {
        linears.reduce(0) { $0 + $1.byteCount } + vectors.reduce(0) { $0 + $1.byteCount }
    }

    private var vectors: [Tensor] {
        [
            crossNormWeight, crossNormBias, selfAttention.queryNorm, selfAttention.keyNorm, crossAttention.queryNorm,
            crossAttention.keyNorm,
        ]
    }

    var tensors: [Tensor] { linears.flatMap(\.tensors) + vectors }

    func replacing(_ tensors: [Tensor]) -> TransformerBlock {
        var rest = TensorQueue(tensors)
        return TransformerBlock(self, &rest)
    }

    /// In the order of `tensors`.
    private init(_ block: TransformerBlock, _ rest: inout TensorQueue) {
        let (own, cross) = (
            block.selfAttention.linears.map { rest.layer($0) }, block.crossAttention.linears.map { rest.layer($0) }
        )
        feedForwardInput = rest.layer(block.feedForwardInput)
        feedForwardOutput = rest.layer(block.feedForwardOutput)
        linearBranch = block.linearBranch.map { rest.layer($0) }
        crossNormWeight = rest.next()
        crossNormBias = rest.next()
        selfAttention = AttentionWeights(own, queryNorm: rest.next(), keyNorm: rest.next())
        crossAttention = AttentionWeights(cross, queryNorm: rest.next(), keyNorm: rest.next())
    }
}

/// Projections and norms of one attention.
struct AttentionWeights: Sendable {
    let query: any Linear  // q
    let key: any Linear  // k
    let value: any Linear  // v
    let output: any Linear  // o
    let queryNorm: Tensor  // norm_q.weight, over the whole dim
    let keyNorm: Tensor  // norm_k.weight

    init(_ reader: WeightReader, _ name: String, _ dim: Int, _ precision: LinearPrecision) throws {
        query = try reader.linear(name + ".q", dim, dim, precision: precision)
        key = try reader.linear(name + ".k", dim, dim, precision: precision)
        value = try reader.linear(name + ".v", dim, dim, precision: precision)
        output = try reader.linear(name + ".o", dim, dim, precision: precision)
        queryNorm = try reader.vector(name + ".norm_q.weight", dim)
        keyNorm = try reader.vector(name + ".norm_k.weight", dim)
    }

    /// - Parameter linears: in the order of `linears`.
    init(_ linears: [any Linear], queryNorm: Tensor, keyNorm: Tensor) {
        (query, key, value, output) = (linears[0], linears[1], linears[2], linears[3])
        (self.queryNorm, self.keyNorm) = (queryNorm, keyNorm)
    }

    var linears: [any Linear] { [query, key, value, output] }
}
