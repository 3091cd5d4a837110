import Tensors

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The text embedding a transformer is conditioned on.
public struct TextConditioning: Sendable {
    /// `[rowCount, textDim]`: the rows of the true tokens; rows of padding are zero and not stored.
    public let rows: [Float]
    public let rowCount: Int

    /// Takes the rows up to the last one that is not all zero, of `[n, textDim]`.
    public init(rows: [Float], textDim: Int) {
        precondition(rows.count % textDim == 0, "\(rows.count) values are no rows of \(textDim)")
        var count = rows.count / textDim
        while count > 0, rows[(count - 1) * textDim..<count * textDim].allSatisfy({ $0 == 0 }) { count -= 1 }
        self.rows = Array(rows[..<(count * textDim)])
        rowCount = count
    }
}

/// A text as one transformer's cross-attentions see it: keys and values of every block, made once a job: at once where the
/// blocks are on the backend, else when the first pass comes to each.
///
/// The padding rows up to the text length are all equal, and so are their keys and values: one row stands for them
/// all, its score raised by log(their number). That is the same softmax, exactly, over fewer keys.
public final class TextContext {
    /// Text through the embedding MLP, `[rows, dim]`.
    public let embedded: Tensor
    /// One of each a block, `[rows, heads, headDim]`.
    let keys: [Tensor]
    let values: [Tensor]
    /// f32 `[rows]`: log of how many text rows each row stands for; nil if one each.
    let bias: Tensor?
    /// Layers whose keys and values are there.
    private var filled: Set<Int> = []

    /// - Parameter mergesPadding: if false, every padding row is kept (to prove that merging changes nothing).
    init(_ text: TextConditioning, _ transformer: Transformer, mergesPadding: Bool) throws {
        let backend = transformer.backend
        let (configuration, weights) = (transformer.configuration, transformer.weights)
        let dim = configuration.dim
        precondition(text.rowCount <= configuration.textLength, "text of \(text.rowCount) rows")
        let padding = configuration.textLength - text.rowCount
        let rowCount = text.rowCount + (mergesPadding ? min(padding, 1) : padding)

        let input = try backend.allocate([rowCount, configuration.textDim], backend.activationType)
        backend.write(
            text.rows + [Float](repeating: 0, count: rowCount * configuration.textDim - text.rows.count), into: input)
        let hidden = try backend.allocate([rowCount, dim], backend.activationType)
        embedded = try backend.allocate([rowCount, dim], backend.activationType)
        backend.linear(input, weights.textEmbedding, into: hidden, .activation(.geluTanh))
        backend.linear(hidden, weights.textProjection, into: embedded, .none)

        let layers = configuration.layerCount
        let heads = [rowCount, configuration.headCount, configuration.headDim]
        let storage = try backend.allocate([2 * layers, rowCount, dim], backend.activationType)
        keys = (0..<layers).map { storage.row($0).reshaped(heads) }
        values = (0..<layers).map { storage.row(layers + $0).reshaped(heads) }
        if mergesPadding, padding > 1 {
            let bias = try backend.allocate([rowCount], .f32)
            backend.write([Float](repeating: 0, count: rowCount - 1) + [logf(Float(padding))], into: bias)
            self.bias = bias
        } else {
            bias = nil
        }
        if case .resident(let blocks) = weights.blocks.storage {
            for (layer, block) in blocks.enumerated() { fill(layer, block, transformer) }
        }
        try backend.check()
    }

    /// Makes keys and values of one block, if they are not there.
    func fill(_ layer: Int, _ block: TransformerBlock, _ transformer: Transformer) {
        guard filled.insert(layer).inserted else { return }
        let (backend, weights) = (transformer.backend, block.crossAttention)
        let (key, value) = (keys[layer].reshaped(embedded.shape), values[layer].reshaped(embedded.shape))
        backend.linear(embedded, weights.key, into: key, .none)
        backend.rmsNorm(key, weight: weights.keyNorm, epsilon: transformer.configuration.epsilon, into: key)
        backend.linear(embedded, weights.value, into: value, .none)
    }

    /// Bytes for a text of `rows` true rows.
    static func byteCount(_ configuration: TransformerConfiguration, rows: Int, activation: DType) -> Int {
        let rows = min(rows + 1, configuration.textLength)
        let values = rows * (configuration.textDim + 2 * configuration.dim * (configuration.layerCount + 1))
        return values * activation.byteCount + rows * 4
    }
}
