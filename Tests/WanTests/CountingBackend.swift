import CPUBackend
import Foundation
import Tensors

/// A backend that counts the bytes it hands out.
final class CountingBackend: Backend, @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `allocated` is touched under `lock` alone.
    private let inner = CPUBackend(threads: 1)
    private let lock = NSLock()
    private var allocated = 0

    /// Bytes allocated while `body` ran, given back or not.
    func bytes(_ body: () throws -> Void) rethrows -> Int {
        let before = lock.withLock { allocated }
        try body()
        return lock.withLock { allocated } - before
    }

    var name: String { inner.name }
    var deviceDescription: String { inner.deviceDescription }
    var activationType: DType { inner.activationType }

    func allocate(_ shape: [Int], _ dtype: DType) throws -> Tensor {
        let tensor = try inner.allocate(shape, dtype)
        lock.withLock { allocated += tensor.byteCount }
        return tensor
    }

    func footprint(of layer: LayerShape) -> LayerFootprint { inner.footprint(of: layer) }
    func scratchBytes(of operation: OperationShape) -> Int { inner.scratchBytes(of: operation) }
    var fixedBytes: Int { inner.fixedBytes }
    func upload(_ host: HostTensor, as dtype: DType) throws -> Tensor { try inner.upload(host, as: dtype) }
    func write(_ values: [Float], into tensor: Tensor) { inner.write(values, into: tensor) }
    func write(_ values: [Int32], into tensor: Tensor) { inner.write(values, into: tensor) }
    func download(_ tensor: Tensor) -> [Float] { inner.download(tensor) }
    func downloadBytes(_ tensor: Tensor) -> [UInt8] { inner.downloadBytes(tensor) }
    func copy(_ source: Tensor, into destination: Tensor) { inner.copy(source, into: destination) }
    func fill(_ tensor: Tensor, with value: Float) { inner.fill(tensor, with: value) }
    func convert(_ source: Tensor, into destination: Tensor) { inner.convert(source, into: destination) }
    func synchronize() { inner.synchronize() }
    func makeLinear(_ weights: LinearWeights, precision: LinearPrecision) throws -> any Linear {
        try inner.makeLinear(weights, precision: precision)
    }
    func linear(_ x: Tensor, _ layer: any Linear, into output: Tensor, _ epilogue: Epilogue) {
        inner.linear(x, layer, into: output, epilogue)
    }
    func attention(q: Tensor, k: Tensor, v: Tensor, scale: Float, bias: Tensor?, into output: Tensor) {
        inner.attention(q: q, k: k, v: v, scale: scale, bias: bias, into: output)
    }
    func sparseLinearAttention(
        q: Tensor, k: Tensor, v: Tensor, projection: (any Linear)?, options: SparseAttentionOptions, blocks: Tensor?,
        into output: Tensor
    ) {
        inner.sparseLinearAttention(
            q: q, k: k, v: v, projection: projection, options: options, blocks: blocks, into: output)
    }
    func layerNorm(_ x: Tensor, weight: Tensor?, bias: Tensor?, epsilon: Float, into output: Tensor) {
        inner.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon, into: output)
    }
    func modulatedNorm(_ x: Tensor, shift: Tensor, scale: Tensor, epsilon: Float, into output: Tensor) {
        inner.modulatedNorm(x, shift: shift, scale: scale, epsilon: epsilon, into: output)
    }
    func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float, into output: Tensor) {
        inner.rmsNorm(x, weight: weight, epsilon: epsilon, into: output)
    }
    func rotate(_ x: Tensor, table: Tensor) { inner.rotate(x, table: table) }
    func gather(_ table: Tensor, ids: Tensor, into output: Tensor) { inner.gather(table, ids: ids, into: output) }
    func gatherColumns(_ table: Tensor, ids: Tensor, into output: Tensor) {
        inner.gatherColumns(table, ids: ids, into: output)
    }
    func add(_ y: Tensor, to x: Tensor) { inner.add(y, to: x) }
    func multiply(_ x: Tensor, by y: Tensor) { inner.multiply(x, by: y) }
    func addGated(_ y: Tensor, gate: Tensor, to x: Tensor) { inner.addGated(y, gate: gate, to: x) }
    func activate(_ x: Tensor, _ activation: Activation) { inner.activate(x, activation) }
    func permute(_ source: Tensor, axes: [Int], into output: Tensor) { inner.permute(source, axes: axes, into: output) }
    func makeConvolution(weight: HostTensor, bias: HostTensor?, geometry: ConvolutionGeometry) throws -> any Convolution
    {
        try inner.makeConvolution(weight: weight, bias: bias, geometry: geometry)
    }
    func convolve(_ x: Tensor, _ layer: any Convolution, history: Tensor?, residual: Tensor?, into output: Tensor) {
        inner.convolve(x, layer, history: history, residual: residual, into: output)
    }
    func channelNorm(_ x: Tensor, gamma: Tensor, activation: Activation?, into output: Tensor) {
        inner.channelNorm(x, gamma: gamma, activation: activation, into: output)
    }
    func upsampleNearest(_ x: Tensor, into output: Tensor) { inner.upsampleNearest(x, into: output) }
    func quantizeFrames(_ x: Tensor, into output: Tensor) { inner.quantizeFrames(x, into: output) }
}
