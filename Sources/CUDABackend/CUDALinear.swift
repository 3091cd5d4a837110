import Foundation
import Tensors

/// A linear layer in the GPU's memory.
final class CUDALinear: Linear, @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `exact` is guarded by `lock`; nothing else changes after initialisation.
    enum Weights {
        /// `[out, in]`, f32 or bf16.
        case dense(Tensor)
        /// i8 `[out, stride]`, stride a multiple of 128; scale f32 `[ceil(out / 128), stride / 128]`.
        case int8(codes: Tensor, scale: Tensor, stride: Int)
        /// e4m3 codes, u8 `[out, in]`; scale f32 `[out]`.
        case rows8(codes: Tensor, scale: Tensor)
    }

    let inputSize: Int
    let outputSize: Int
    let precision: LinearPrecision
    let weights: Weights
    /// f32 `[out]`.
    let bias: Tensor?
    /// bf16 `[out]`, as cuBLASLt wants it.
    let narrowBias: Tensor?
    /// Of e4m3 codes, f32 `[2]`: the length of the longest row of weights, and the greatest bias.
    let bounds: Tensor?
    /// What the layer was made from, where the GPU holds it rounded; for float32 inputs.
    private let source: HostTensor?
    private let lock = NSLock()
    private var exact: Tensor?

    init(
        size: (output: Int, input: Int), precision: LinearPrecision, weights: Weights, bias: Tensor?,
        narrowBias: Tensor? = nil, bounds: Tensor? = nil, source: HostTensor?
    ) {
        (outputSize, inputSize) = size
        (self.precision, self.weights, self.bias, self.source) = (precision, weights, bias, source)
        (self.narrowBias, self.bounds) = (narrowBias, bounds)
    }

    var byteCount: Int {
        let own =
            switch weights {
            case .dense(let weight): weight.byteCount
            case .int8(let codes, let scale, _), .rows8(let codes, let scale): codes.byteCount + scale.byteCount
            }
        return own + (bias?.byteCount ?? 0) + (narrowBias?.byteCount ?? 0) + lock.withLock { exact?.byteCount ?? 0 }
    }

    var tensors: [Tensor] {
        let own: [Tensor] =
            switch weights {
            case .dense(let weight): [weight]
            case .int8(let codes, let scale, _), .rows8(let codes, let scale): [codes, scale]
            }
        return own + [bias, narrowBias].compactMap { $0 }
    }

    func replacing(_ tensors: [Tensor]) -> any Linear {
        precondition(tensors.count == self.tensors.count, "\(tensors.count) tensors for a layer")
        var rest = tensors[...]
        let replaced: Weights =
            switch weights {
            case .dense: .dense(rest.removeFirst())
            case .int8(_, _, let stride): .int8(codes: rest.removeFirst(), scale: rest.removeFirst(), stride: stride)
            case .rows8: .rows8(codes: rest.removeFirst(), scale: rest.removeFirst())
            }
        return CUDALinear(
            size: (outputSize, inputSize), precision: precision, weights: replaced,
            bias: bias == nil ? nil : rest.removeFirst(), narrowBias: narrowBias == nil ? nil : rest.removeFirst(),
            bounds: bounds, source: source)
    }

    /// The weights for inputs in float32: as stored, even where the GPU's copy is rounded to bf16.
    func exactWeight(_ rounded: Tensor, _ backend: CUDABackend) -> Tensor {
        guard let source else { return rounded }
        return lock.withLock {
            if let exact { return exact }
            // Without memory for it the backend computes no further.
            guard let weight: Tensor = backend.must(else: nil, { try backend.upload(source, as: .f32) }) else {
                return rounded
            }
            exact = weight
            return weight
        }
    }
}
