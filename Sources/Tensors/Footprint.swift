/// A layer, as far as its memory goes.
public enum LayerShape: Sendable, Hashable {
    case linear(output: Int, input: Int, stored: DType, hasBias: Bool, precision: LinearPrecision)
    /// Weight `[out, in, kt, kh, kw]` or `[out, in, kh, kw]`.
    case convolution(shape: [Int], stored: DType, hasBias: Bool)
    /// A table that is held in float32.
    case table(count: Int, stored: DType)
}

/// What a layer takes of a backend's memory.
public struct LayerFootprint: Sendable, Hashable {
    /// Bytes for as long as it lives.
    public var held: Int
    /// Most bytes beside them while it is made.
    public var making: Int

    public init(held: Int, making: Int = 0) { (self.held, self.making) = (held, making) }
}

/// An operation, as far as its memory goes.
public enum OperationShape: Sendable, Hashable {
    case linear(rows: Int, input: Int, output: Int, precision: LinearPrecision, isGated: Bool)
    /// `feedForward` of `rows` tokens, `atOnce` of them where hidden rows are of the activations' type.
    case feedForward(rows: Int, atOnce: Int, dim: Int, hidden: Int, precision: LinearPrecision)
    case attention(queries: Int, keys: Int, heads: Int, dim: Int)
    case sparseLinearAttention(tokens: Int, heads: Int, dim: Int, options: SparseAttentionOptions)
    /// `write` of float32 values into a tensor of `activationType`.
    case write(count: Int)
}

extension OperationShape {
    /// The layers of a feed-forward, one after the other.
    public static func layersOfFeedForward(
        atOnce rows: Int, dim: Int, hidden: Int, precision: LinearPrecision
    ) -> [OperationShape] {
        [
            .linear(rows: rows, input: dim, output: hidden, precision: precision, isGated: false),
            .linear(rows: rows, input: hidden, output: dim, precision: precision, isGated: true),
        ]
    }
}

/// What a backend takes beside what it is asked for, so that a job's memory is known before it starts.
public protocol MemoryAccounting {
    func footprint(of layer: LayerShape) -> LayerFootprint
    /// Bytes that an operation takes for its own length.
    func scratchBytes(of operation: OperationShape) -> Int
    /// Bytes held for as long as the backend lives.
    var fixedBytes: Int { get }
}
