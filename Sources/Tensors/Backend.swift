/// The operations a model is written over: eager, contiguous, into outputs owned by the caller.
///
/// Activations have the type `activationType` (float32 on the CPU, bf16 on a GPU); reductions, norms and softmax
/// compute in float32 or better. Operations on one backend take effect in the order they are called and may be
/// asynchronous; `download` and `synchronize` wait. Shapes that do not fit are a `precondition`: a user's mistake has
/// been refused before. Unless an operation says so, its output must not overlap its inputs.
///
/// Nothing here knows a model: no broadcasting, no autograd, no graph.
public protocol Backend: AnyObject, Sendable, MemoryAccounting {
    /// "cpu", "cuda".
    var name: String { get }
    /// For logs: "AMD EPYC, 2 threads, avx2", "NVIDIA H100 80GB HBM3".
    var deviceDescription: String { get }
    var activationType: DType { get }

    // MARK: Memory

    /// Uninitialised memory.
    /// - Throws: `BackendError.outOfMemory`.
    func allocate(_ shape: [Int], _ dtype: DType) throws -> Tensor
    /// A copy of host values, converted to `dtype`.
    func upload(_ host: HostTensor, as dtype: DType) throws -> Tensor
    /// Overwrites `tensor` (of `activationType`, f32 or i32 for `ids`) with host values.
    func write(_ values: [Float], into tensor: Tensor)
    func write(_ values: [Int32], into tensor: Tensor)
    /// All values as float32; waits for what was queued before.
    func download(_ tensor: Tensor) -> [Float]
    /// All values of a u8 tensor; waits for what was queued before.
    func downloadBytes(_ tensor: Tensor) -> [UInt8]
    /// The same without waiting: what is queued from now on does not change what comes. nil where nothing is queued, and
    /// `downloadBytes` does as well.
    func beginDownload(_ tensor: Tensor) -> (any ComingBytes)?
    /// Same shape and type.
    func copy(_ source: Tensor, into destination: Tensor)
    func fill(_ tensor: Tensor, with value: Float)
    /// Between float types, rounding to nearest even.
    func convert(_ source: Tensor, into destination: Tensor)
    func synchronize()
    /// Throws what an operation since the last `check` could not do; everything computed since is then worthless.
    ///
    /// Out of memory is forgotten with that: once what holds memory is let go of, the backend works again. After a lost
    /// device it never does.
    /// - Throws: `BackendError`.
    func check() throws
    /// A moment in the work queued so far, for `seconds`; nil where the clock tells as much.
    func mark() -> (any DeviceMark)?
    /// Time of the device between two moments; waits for the second.
    func seconds(from start: any DeviceMark, to end: any DeviceMark) -> Double?

    /// Something that queues the same operations over and over; nil where that gains nothing.
    ///
    /// - Parameter name: what repetitions share that differ in nothing but where their memory lies, and in how much of it.
    func repetition(_ name: String) -> (any Repetition)?

    // MARK: Linear layers

    /// What linear layers of eight bits compute in where nothing but the number of bits was asked for.
    var quantizedPrecision: LinearPrecision { get }
    /// Prepares a linear layer from checkpoint tensors; `precision` says what it computes in.
    func makeLinear(_ weights: LinearWeights, precision: LinearPrecision) throws -> any Linear
    /// `output = epilogue(x W^T + b)`, x `[M, in]`, output `[M, out]`.
    func linear(_ x: Tensor, _ layer: any Linear, into output: Tensor, _ epilogue: Epilogue)
    /// Several layers of one input, none with an epilogue.
    func linear(_ x: Tensor, _ layers: [any Linear], into outputs: [Tensor])
    /// Several layers of the norm of `x` `[rows, dim]`, each with `epilogue`.
    ///
    /// - Parameter normed: of x's shape and type; may be overwritten.
    func linear(
        normed x: Tensor, by norm: RowNorm, _ layers: [any Linear], into outputs: [Tensor], _ epilogue: Epilogue,
        normed: Tensor)
    /// `x += gate * second(gelu(first(norm(x))))`, tanh GELU; x `[rows, dim]`, gate f32 `[dim]`.
    ///
    /// - Parameters:
    ///   - hidden: `[rows at once, first's outputs]` of x's type; overwritten.
    ///   - normed: of x's shape and type; may be overwritten.
    func feedForward(
        _ x: Tensor, by norm: RowNorm, _ first: any Linear, _ second: any Linear, gate: Tensor, hidden: Tensor,
        normed: Tensor)

    // MARK: Attention

    /// Dense attention: `softmax(scale q k^T + bias) v`.
    ///
    /// - Parameters:
    ///   - q: `[Lq, heads, headDim]`.
    ///   - k: `[Lk, heads, headDim]`, v: the same shape.
    ///   - bias: f32, `[heads, Lq, Lk]`, or `[Lk]` for all heads and queries, or nil.
    ///   - output: `[Lq, heads, headDim]`. Any headDim.
    func attention(q: Tensor, k: Tensor, v: Tensor, scale: Float, bias: Tensor?, into output: Tensor)
    /// Sparse-linear attention (SLA): softmax attention over the chosen key blocks, plus `projection(linear branch)`.
    ///
    /// - Parameters:
    ///   - q, k, v, output: `[L, heads, 128]`.
    ///   - projection: 128 -> 128 with bias, shared by the heads; nil leaves the linear branch out.
    ///   - blocks: if given, i32 `[heads, queryBlocks, selected]`, receives the chosen key blocks, ascending.
    func sparseLinearAttention(
        q: Tensor, k: Tensor, v: Tensor, projection: (any Linear)?, options: SparseAttentionOptions, blocks: Tensor?,
        into output: Tensor)

    // MARK: Norms and element-wise operations

    /// `(x - mean) / sqrt(var + epsilon)` of each row of `[rows, dim]`, then `* weight + bias` where given (`[dim]`,
    /// f32).
    func layerNorm(_ x: Tensor, weight: Tensor?, bias: Tensor?, epsilon: Float, into output: Tensor)
    /// `layerNorm(x) * (1 + scale) + shift`; shift and scale f32 `[dim]`.
    func modulatedNorm(_ x: Tensor, shift: Tensor, scale: Tensor, epsilon: Float, into output: Tensor)
    /// `x / sqrt(mean(x^2) + epsilon) * weight` of each row of `[rows, dim]`; may be in place.
    func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float, into output: Tensor)
    /// Rotates pairs (2i, 2i+1) of `x` `[tokens, heads, headDim]` in place by `table` f32 `[tokens, headDim / 2, 2]`,
    /// (cos, sin).
    /// Source: Wan2.1 wan/modules/model.py `rope_apply`.
    func rotate(_ x: Tensor, table: Tensor)
    /// `rmsNorm` over all heads of each token of `x` `[tokens, heads, headDim]`, then `rotate`; in place.
    func rmsNormRotated(_ x: Tensor, weight: Tensor, epsilon: Float, table: Tensor)
    /// Rows `ids` (i32 `[n]`) of `table` `[vocabulary, dim]`.
    func gather(_ table: Tensor, ids: Tensor, into output: Tensor)
    /// Each column of `table` f32 `[rows, columns]` at `ids` (i32 `[n]`): `[columns, n]`.
    func gatherColumns(_ table: Tensor, ids: Tensor, into output: Tensor)
    /// `x += y`; same shape, or y f32/activation `[dim]` added to every row.
    func add(_ y: Tensor, to x: Tensor)
    /// `x *= y`, same shape.
    func multiply(_ x: Tensor, by y: Tensor)
    /// `x += gate * y`, gate f32 `[dim]`, x and y `[rows, dim]`.
    func addGated(_ y: Tensor, gate: Tensor, to x: Tensor)
    /// In place.
    func activate(_ x: Tensor, _ activation: Activation)
    /// `output[i0, i1, ...] = source[...]` with `output.shape[n] == source.shape[axes[n]]`; up to 8 dimensions.
    func permute(_ source: Tensor, axes: [Int], into output: Tensor)

    // MARK: VAE, channels last

    /// Prepares a convolution from a checkpoint weight `[out, in, kt, kh, kw]` (or `[out, in, kh, kw]`).
    func makeConvolution(weight: HostTensor, bias: HostTensor?, geometry: ConvolutionGeometry) throws -> any Convolution
    /// Convolution of `x` `[T, H, W, in]` into `[T', H', W', out]`.
    ///
    /// In time nothing is padded: the `history` `[Th, H, W, in]` stands before `x`, and missing frames (causal, zero)
    /// stand before that, so that `T' = (zeros + Th + T - kt) / strideT + 1` is the output's frame count.
    /// `residual` (same shape as the output) is added to the result.
    func convolve(_ x: Tensor, _ layer: any Convolution, history: Tensor?, residual: Tensor?, into output: Tensor)
    /// `x / max(|x|_2 over channels, 1e-12) * sqrt(channels) * gamma`, then the activation; x `[..., channels]`, gamma
    /// f32.
    func channelNorm(_ x: Tensor, gamma: Tensor, activation: Activation?, into output: Tensor)
    /// Nearest neighbour x2 in height and width: `[T, H, W, C]` -> `[T, 2H, 2W, C]`.
    func upsampleNearest(_ x: Tensor, into output: Tensor)
    /// `[T, H, W, 3]` in [-1, 1] -> u8: `floor((1 + clamp(v, -1, 1)) / 2 * 255 + 0.5)`.
    func quantizeFrames(_ x: Tensor, into output: Tensor)
}

extension Backend {
    /// The norm, then the layers.
    public func linear(
        normed x: Tensor, by norm: RowNorm, _ layers: [any Linear], into outputs: [Tensor], _ epilogue: Epilogue,
        normed: Tensor
    ) { linearAfterNorm(x, norm, layers, into: outputs, epilogue, normed: normed) }

    public func linearAfterNorm(
        _ x: Tensor, _ norm: RowNorm, _ layers: [any Linear], into outputs: [Tensor], _ epilogue: Epilogue,
        normed: Tensor
    ) {
        if norm.isModulated, let shift = norm.shift, let scale = norm.scale {
            modulatedNorm(x, shift: shift, scale: scale, epsilon: norm.epsilon, into: normed)
        } else {
            layerNorm(x, weight: norm.scale, bias: norm.shift, epsilon: norm.epsilon, into: normed)
        }
        if case .none = epilogue { return linear(normed, layers, into: outputs) }
        for (layer, output) in zip(layers, outputs) { linear(normed, layer, into: output, epilogue) }
    }

    public func feedForward(
        _ x: Tensor, by norm: RowNorm, _ first: any Linear, _ second: any Linear, gate: Tensor, hidden: Tensor,
        normed: Tensor
    ) { feedForwardInParts(x, by: norm, first, second, gate: gate, hidden: hidden, normed: normed) }

    /// Layer after layer, as many rows at once as `hidden` has.
    public func feedForwardInParts(
        _ x: Tensor, by norm: RowNorm, _ first: any Linear, _ second: any Linear, gate: Tensor, hidden: Tensor,
        normed: Tensor
    ) {
        for start in stride(from: 0, to: x.shape[0], by: hidden.shape[0]) {
            let rows = start..<min(start + hidden.shape[0], x.shape[0])
            let part = hidden.rows(0..<rows.count)
            linear(
                normed: x.rows(rows), by: norm, [first], into: [part], .activation(.geluTanh), normed: normed.rows(rows)
            )
            linear(part, second, into: x.rows(rows), .gated(gate))
        }
    }

    /// One after the other.
    public func linear(_ x: Tensor, _ layers: [any Linear], into outputs: [Tensor]) {
        precondition(layers.count == outputs.count, "\(layers.count) layers into \(outputs.count) outputs")
        for (layer, output) in zip(layers, outputs) { linear(x, layer, into: output, .none) }
    }

    /// One after the other, for backends that gain nothing by doing both at once.
    public func rmsNormRotated(_ x: Tensor, weight: Tensor, epsilon: Float, table: Tensor) {
        let rows = x.reshaped([x.shape[0], x.shape[1] * x.shape[2]])
        rmsNorm(rows, weight: weight, epsilon: epsilon, into: rows)
        rotate(x, table: table)
    }
}

/// A moment in a backend's work.
public protocol DeviceMark: AnyObject, Sendable {}

/// A linear layer prepared by a backend; made and used by the same one.
public protocol Linear: AnyObject, Sendable {
    var inputSize: Int { get }
    var outputSize: Int { get }
    var precision: LinearPrecision { get }
    var byteCount: Int { get }
    /// All device memory that the layer computes with, in an order of its own; none where that is the host's.
    var tensors: [Tensor] { get }
    /// The same layer over other memory: as many tensors of the same shapes and types.
    func replacing(_ tensors: [Tensor]) -> any Linear
}

extension Backend {
    /// 128x128-block int8, which all backends have.
    public var quantizedPrecision: LinearPrecision { .int8 }

    public func beginDownload(_ tensor: Tensor) -> (any ComingBytes)? { nil }
    /// Nothing: operations of most backends cannot fail.
    public func check() throws {}
    public func mark() -> (any DeviceMark)? { nil }
    public func seconds(from start: any DeviceMark, to end: any DeviceMark) -> Double? { nil }
}

/// Bytes on their way from a device.
public protocol ComingBytes: AnyObject {
    /// Waits for them; without meaning if the device failed (`check`).
    func wait() -> [UInt8]
}

/// A convolution prepared by a backend.
public protocol Convolution: AnyObject, Sendable {
    var inputChannels: Int { get }
    var outputChannels: Int { get }
    var geometry: ConvolutionGeometry { get }
    var byteCount: Int { get }
}
