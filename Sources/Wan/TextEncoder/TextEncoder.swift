import Tensors

/// The umT5 encoder: token ids -> one row for each.
///
/// Runs over the true tokens only: masked ones would have no weight in any softmax, and their rows are zero.
/// Source: Wan2.1 wan/modules/t5.py `T5Encoder`; transformers models/umt5/modeling_umt5.py.
public final class TextEncoder: Sendable {
    public let configuration: TextEncoderConfiguration
    public let backend: any Backend
    /// Stays where the checkpoint has it: only the rows a text needs are read.
    private let embedding: HostTensor  // token_embedding.weight [vocabulary, dim]
    private let blocks: BlockSource<TextEncoderBlock>  // blocks.N
    private let finalNorm: Tensor  // norm.weight

    /// - Parameters:
    ///   - place: where the blocks are between encodings; from the host's memory two at a time come to the backend.
    ///   - onBlock: called after each block is read; an error it throws ends the loading.
    /// - Throws: `WanError` for tensors that are missing or of another shape; `BackendError`.
    public init(
        _ reader: WeightReader, configuration: TextEncoderConfiguration, blocks place: BlockPlace = .device,
        onBlock: (Int) throws -> Void = { _ in }
    ) throws {
        self.configuration = configuration
        backend = reader.backend
        embedding = try reader.matrix("token_embedding.weight", configuration.dim, configuration.vocabularySize)
        blocks = try BlockSource(
            count: configuration.layerCount, place, on: reader.backend,
            make: { try TextEncoderBlock(reader, "blocks.\($0)", configuration) }, onBlock: onBlock)
        finalNorm = try reader.vector("norm.weight", configuration.dim)
        try backend.check()
    }

    /// Bytes of the weights on the backend (the embedding table is not).
    public var weightBytes: Int { finalNorm.byteCount + blocks.byteCount }

    /// Bytes of its blocks in host memory.
    public var hostBytes: Int { blocks.hostByteCount }

    /// Blocks on the backend at once during an encoding, if they are in host memory.
    public static let windowSize = 2

    /// Bytes encoding `tokenCount` tokens writes to, apart from a backend's own needs.
    public static func workspaceBytes(
        configuration: TextEncoderConfiguration, tokenCount: Int, activation: DType
    ) -> Int {
        let rows =
            tokenCount * (4 * configuration.dim + 4 * configuration.attentionDim + 2 * configuration.feedForwardDim)
        return rows * activation.byteCount + tokenCount * tokenCount * (4 * configuration.headCount + 4)
    }

    /// Ids of the true tokens (including the closing `</s>`) -> `[ids.count, dim]`; the rows beyond are zero.
    ///
    /// - Parameter observe: called with the stages of every block; an error it throws ends the pass.
    /// - Throws: `WanError` "token" for an id outside the vocabulary.
    public func encode(
        _ ids: [Int32], observe: ((TextEncoderStage, Tensor) throws -> Void)? = nil
    ) throws -> [Float] {
        guard !ids.isEmpty else { return [] }
        let stream = try backend.upload(rows(ids), as: backend.activationType)
        try observe?(.embedding, stream)
        let workspace = try TextEncoderWorkspace(configuration, tokenCount: ids.count, backend)
        let window = blocks.isResident ? nil : try BlockWindow([blocks], size: Self.windowSize, backend: backend)
        for layer in 0..<blocks.count {
            try run(block(layer, in: window), layer, stream, workspace, observe)
            try observe?(.block(layer), stream)
        }
        backend.rmsNorm(stream, weight: finalNorm, epsilon: configuration.epsilon, into: workspace.normed)
        let rows: [Float]
        if workspace.normed.dtype == .f32 {
            rows = backend.download(workspace.normed)
        } else {
            let wide = try backend.allocate(workspace.normed.shape, .f32)
            backend.convert(workspace.normed, into: wide)
            rows = backend.download(wide)
        }
        try backend.check()
        return rows
    }

    private func block(_ layer: Int, in window: BlockWindow<TextEncoderBlock>?) throws -> TextEncoderBlock {
        if case .resident(let blocks) = blocks.storage { return blocks[layer] }
        guard let window else { preconditionFailure("blocks in host memory without a window") }
        return try window.use(layer, of: blocks)
    }

    private func run(
        _ block: TextEncoderBlock, _ layer: Int, _ stream: Tensor, _ workspace: TextEncoderWorkspace,
        _ observe: ((TextEncoderStage, Tensor) throws -> Void)?
    ) throws {
        let normed = workspace.normed
        let heads = [stream.shape[0], configuration.headCount, configuration.headDim]
        backend.rmsNorm(stream, weight: block.attentionNorm, epsilon: configuration.epsilon, into: normed)
        try observe?(.attentionNorm(layer), normed)
        backend.linear(
            normed, [block.query, block.key, block.value], into: [workspace.query, workspace.key, workspace.value])
        backend.gatherColumns(block.positionBias, ids: workspace.buckets, into: workspace.bias)
        backend.attention(
            q: workspace.query.reshaped(heads), k: workspace.key.reshaped(heads), v: workspace.value.reshaped(heads),
            scale: 1, bias: workspace.bias, into: workspace.attended.reshaped(heads))
        backend.linear(workspace.attended, block.output, into: stream, .accumulate)
        try observe?(.attention(layer), stream)

        backend.rmsNorm(stream, weight: block.feedForwardNorm, epsilon: configuration.epsilon, into: normed)
        backend.linear(normed, block.gate, into: workspace.gate, .activation(.geluTanh))
        backend.linear(normed, block.input, into: workspace.hidden, .multiply(workspace.gate))
        backend.linear(workspace.hidden, block.feedForwardOutput, into: stream, .accumulate)
    }

    /// Rows of the embedding table as stored, `[ids.count, dim]`.
    private func rows(_ ids: [Int32]) throws -> HostTensor {
        let width = configuration.dim * embedding.dtype.byteCount
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ids.count * width)
        for id in ids {
            guard id >= 0, Int(id) < configuration.vocabularySize else {
                throw WanError(
                    code: "token", message: "token \(id) is outside the vocabulary of \(configuration.vocabularySize)",
                    hint: "the tokenizer does not belong to this text encoder")
            }
            bytes.append(
                contentsOf: UnsafeRawBufferPointer(rebasing: embedding.bytes[Int(id) * width..<(Int(id) + 1) * width]))
        }
        return HostTensor(
            name: embedding.name, shape: [ids.count, configuration.dim], dtype: embedding.dtype, copying: bytes)
    }
}

/// Where an encoding stands when it calls its observer, and what the tensor it hands over is; all `[tokens, dim]`.
public enum TextEncoderStage: Sendable, Hashable {
    case embedding
    /// The stream after the norm before attention.
    case attentionNorm(Int)
    /// The residual stream after attention.
    case attention(Int)
    /// The residual stream after the block.
    case block(Int)
}
