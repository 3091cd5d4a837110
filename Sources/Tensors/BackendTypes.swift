/// A linear layer as a checkpoint stores it.
public enum LinearWeights: Sendable {
    /// weight `[out, in]`, bias `[out]`; f32, f16 or bf16.
    case dense(weight: HostTensor, bias: HostTensor?)
    /// weight i8 `[out, in]`, scale f32 `[ceil(out / 128), ceil(in / 128)]`, bias `[out]`.
    case int8(weight: HostTensor, scale: HostTensor, bias: HostTensor?)

    /// `(out, in)`.
    public var size: (output: Int, input: Int) {
        switch self {
        case .dense(let weight, _), .int8(let weight, _, _): (weight.shape[0], weight.shape.dropFirst().reduce(1, *))
        }
    }
}

/// What a linear layer computes in.
public enum LinearPrecision: String, Sendable {
    /// As stored: floating-point weights in the backend's activation type (weights stay bf16 in memory), int8 as int8.
    case stored
    /// 128x128-block int8 weights, activations quantised per block at run time; dense weights are quantised at load.
    case int8
    /// Floating point even from int8 weights.
    case float
    /// e4m3 with one scale an output channel, inputs quantised at run time with one scale a row; as int8 on a backend
    /// that does not have it.
    case fp8
}

/// What a linear layer does with its result before writing it.
public enum Epilogue: Sendable {
    case none
    case activation(Activation)
    /// `output += result`.
    case accumulate
    /// `output += gate * result`, gate f32 `[out]`.
    case gated(Tensor)
    /// `output = result * factor`, factor `[M, out]`.
    case multiply(Tensor)
}

public enum Activation: String, Sendable {
    case silu
    /// The tanh approximation of GELU.
    case geluTanh
}

/// A norm over rows, `(x - mean) / sqrt(var + epsilon)`, and what follows it.
public struct RowNorm: Sendable {
    /// f32 `[dim]`, multiplied with the norm, or added to 1 for that if modulated; nil for 1.
    public let scale: Tensor?
    /// f32 `[dim]`, added; nil for 0.
    public let shift: Tensor?
    public let isModulated: Bool
    public let epsilon: Float

    /// `norm * weight + bias`.
    public static func affine(weight: Tensor?, bias: Tensor?, epsilon: Float) -> RowNorm {
        RowNorm(scale: weight, shift: bias, isModulated: false, epsilon: epsilon)
    }

    /// `norm * (1 + scale) + shift`.
    public static func modulated(shift: Tensor, scale: Tensor, epsilon: Float) -> RowNorm {
        RowNorm(scale: scale, shift: shift, isModulated: true, epsilon: epsilon)
    }
}

/// How sparse-linear attention chooses and computes.
public struct SparseAttentionOptions: Sendable, Hashable {
    /// Share of key blocks a query block attends to; `max(1, min(K, Int(ratio * K)))` blocks.
    public var topK: Double
    public var queryBlock: Int
    public var keyBlock: Int
    /// SageSLA: int8 q and k, e4m3 v and P.
    public var quantized: Bool

    public init(topK: Double = 0.1, queryBlock: Int = 128, keyBlock: Int = 64, quantized: Bool = false) {
        self.topK = topK
        self.queryBlock = queryBlock
        self.keyBlock = keyBlock
        self.quantized = quantized
    }

    /// Key blocks chosen of `keyBlocks`; the product is taken in float64 and truncated, and never 0.
    /// Source: TurboDiffusion SLA/core.py.
    public func selectedBlocks(of keyBlocks: Int) -> Int {
        max(1, min(keyBlocks, Int(topK * Double(keyBlocks))))
    }
}

/// Strides and zero padding of a convolution. In time nothing is padded here: see `Backend.convolve`.
public struct ConvolutionGeometry: Sendable, Hashable {
    public var strideT: Int
    public var strideH: Int
    public var strideW: Int
    public var padTop: Int
    public var padBottom: Int
    public var padLeft: Int
    public var padRight: Int

    public init(
        strideT: Int = 1, strideH: Int = 1, strideW: Int = 1, padTop: Int = 0, padBottom: Int = 0, padLeft: Int = 0,
        padRight: Int = 0
    ) {
        self.strideT = strideT
        self.strideH = strideH
        self.strideW = strideW
        self.padTop = padTop
        self.padBottom = padBottom
        self.padLeft = padLeft
        self.padRight = padRight
    }

    /// Equal padding on all four sides, stride 1.
    public static func same(_ padding: Int) -> ConvolutionGeometry {
        ConvolutionGeometry(padTop: padding, padBottom: padding, padLeft: padding, padRight: padding)
    }
}

/// What can go wrong in a backend that is not a programmer's mistake.
public enum BackendError: Error, Sendable {
    case outOfMemory(requested: Int)
    case deviceLost(String)
    case unsupported(String)
}
