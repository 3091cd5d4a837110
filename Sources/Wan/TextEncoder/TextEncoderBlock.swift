import Tensors

/// One block's parameters; the checkpoint's key stands beside each field.
struct TextEncoderBlock: StreamedBlock {
    let attentionNorm: Tensor  // norm1.weight
    let query: any Linear  // attn.q
    let key: any Linear  // attn.k
    let value: any Linear  // attn.v
    let output: any Linear  // attn.o
    /// f32 `[buckets, heads]`.
    let positionBias: Tensor  // pos_embedding.embedding.weight
    let feedForwardNorm: Tensor  // norm2.weight
    let gate: any Linear  // ffn.gate.0
    let input: any Linear  // ffn.fc1
    let feedForwardOutput: any Linear  // ffn.fc2

    init(_ reader: WeightReader, _ name: String, _ configuration: TextEncoderConfiguration) throws {
        let (dim, inner, hidden) = (configuration.dim, configuration.attentionDim, configuration.feedForwardDim)
        attentionNorm = try reader.vector(name + ".norm1.weight", dim)
        query = try reader.linear(name + ".attn.q", dim, inner, bias: false)
        key = try reader.linear(name + ".attn.k", dim, inner, bias: false)
        value = try reader.linear(name + ".attn.v", dim, inner, bias: false)
        output = try reader.linear(name + ".attn.o", inner, dim, bias: false)
        positionBias = try reader.backend.upload(
            reader.tensor(
                name + ".pos_embedding.embedding.weight",
                shape: [configuration.relativePositionBuckets, configuration.headCount]), as: .f32)
        feedForwardNorm = try reader.vector(name + ".norm2.weight", dim)
        gate = try reader.linear(name + ".ffn.gate.0", dim, hidden, bias: false)
        input = try reader.linear(name + ".ffn.fc1", dim, hidden, bias: false)
        feedForwardOutput = try reader.linear(name + ".ffn.fc2", hidden, dim, bias: false)
    }

    var linears: [any Linear] { [query, key, value, output, gate, input, feedForwardOutput] }

    private var tables: [Tensor] { [attentionNorm, positionBias, feedForwardNorm] }

    var byteCount: Int { linears.reduce(0) { $0 + $1.byteCount } + tables.reduce(0) { $0 + $1.byteCount } }

    var tensors: [Tensor] { linears.flatMap(\.tensors) + tables }

    func replacing(_ tensors: [Tensor]) -> TextEncoderBlock {
        var rest = TensorQueue(tensors)
        return TextEncoderBlock(self, &rest)
    }

    /// In the order of `tensors`.
    private init(_ block: TextEncoderBlock, _ rest: inout TensorQueue) {
        query = rest.layer(block.query)
        key = rest.layer(block.key)
        value = rest.layer(block.value)
        output = rest.layer(block.output)
        gate = rest.layer(block.gate)
        input = rest.layer(block.input)
        feedForwardOutput = rest.layer(block.feedForwardOutput)
        attentionNorm = rest.next()
        positionBias = rest.next()
        feedForwardNorm = rest.next()
    }
}

/// Everything an encoding writes to.
struct TextEncoderWorkspace {
    let normed: Tensor
    let query: Tensor
    let key: Tensor
    let value: Tensor
    let attended: Tensor
    let gate: Tensor
    let hidden: Tensor
    /// i32 `[tokens * tokens]`: the bucket of each (query, key).
    let buckets: Tensor
    /// f32 `[heads, tokens, tokens]`.
    let bias: Tensor

    init(_ configuration: TextEncoderConfiguration, tokenCount n: Int, _ backend: any Backend) throws {
        let type = backend.activationType
        normed = try backend.allocate([n, configuration.dim], type)
        query = try backend.allocate([n, configuration.attentionDim], type)
        key = try backend.allocate([n, configuration.attentionDim], type)
        value = try backend.allocate([n, configuration.attentionDim], type)
        attended = try backend.allocate([n, configuration.attentionDim], type)
        gate = try backend.allocate([n, configuration.feedForwardDim], type)
        hidden = try backend.allocate([n, configuration.feedForwardDim], type)
        buckets = try backend.allocate([n * n], .i32)
        bias = try backend.allocate([configuration.headCount, n, n], .f32)
        let byDistance = (1 - n..<n).map {
            Int32(
                RelativePosition.bucket(
                    of: $0, buckets: configuration.relativePositionBuckets,
                    maximumDistance: configuration.relativePositionDistance))
        }
        var byPair: [Int32] = []
        byPair.reserveCapacity(n * n)
        for query in 0..<n { byPair += byDistance[(n - 1 - query)..<(2 * n - 1 - query)] }
        backend.write(byPair, into: buckets)
    }
}
