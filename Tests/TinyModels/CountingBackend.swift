import CPUBackend
import Foundation
import Tensors

/// A backend that counts the bytes it hands out, and hands out no more when it is told so.
public final class CountingBackend: Backend, @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: everything mutable is touched under `lock` alone.
    private struct Piece {
        weak var object: AnyObject?
        let bytes: Int
    }

    private let inner: CPUBackend
    private let lock = NSLock()
    private var allocated = 0
    private var requests = 0
    private var failing: Int?
    private var pieces: [Piece] = []
    private var most = 0

    public init(threads: Int = 1) { inner = CPUBackend(threads: threads) }

    /// Which request for memory fails, counted from now, from 1; nil for none.
    public func failRequest(_ number: Int?) { lock.withLock { (requests, failing) = (0, number) } }

    /// Requests since then.
    public var requestCount: Int { lock.withLock { requests } }

    /// Bytes of everything that is still held.
    public var usage: Int {
        lock.withLock {
            pieces.removeAll { $0.object == nil }
            return pieces.reduce(0) { $0 + $1.bytes }
        }
    }

    /// Most bytes held at once since `resetPeak`.
    public var peak: Int { lock.withLock { most } }
    public func resetPeak() {
        let now = usage
        lock.withLock { most = now }
    }

    private func request(_ bytes: Int) throws {
        try lock.withLock {
            requests += 1
            if requests == failing { throw BackendError.outOfMemory(requested: bytes) }
        }
    }

    private func note(_ object: AnyObject, _ bytes: Int) {
        lock.withLock {
            pieces.removeAll { $0.object == nil }
            pieces.append(Piece(object: object, bytes: bytes))
            most = max(most, pieces.reduce(0) { $0 + $1.bytes })
        }
    }

    /// Bytes allocated while `body` ran, given back or not.
    public func bytes(_ body: () throws -> Void) rethrows -> Int {
        let before = lock.withLock { allocated }
        try body()
        return lock.withLock { allocated } - before
    }

    public var name: String { inner.name }
    public var deviceDescription: String { inner.deviceDescription }
    public var activationType: DType { inner.activationType }

    public func allocate(_ shape: [Int], _ dtype: DType) throws -> Tensor {
        try request(shape.reduce(dtype.byteCount, *))
        let tensor = try inner.allocate(shape, dtype)
        lock.withLock { allocated += tensor.byteCount }
        note(tensor.buffer, tensor.byteCount)
        return tensor
    }

    public func footprint(of layer: LayerShape) -> LayerFootprint { inner.footprint(of: layer) }
    public func scratchBytes(of operation: OperationShape) -> Int { inner.scratchBytes(of: operation) }
    public var fixedBytes: Int { inner.fixedBytes }
    public func upload(_ host: HostTensor, as dtype: DType) throws -> Tensor {
        try request(host.elementCount * dtype.byteCount)
        let tensor = try inner.upload(host, as: dtype)
        note(tensor.buffer, tensor.byteCount)
        return tensor
    }

    public func write(_ values: [Float], into tensor: Tensor) { inner.write(values, into: tensor) }
    public func write(_ values: [Int32], into tensor: Tensor) { inner.write(values, into: tensor) }
    public func download(_ tensor: Tensor) -> [Float] { inner.download(tensor) }
    public func downloadBytes(_ tensor: Tensor) -> [UInt8] { inner.downloadBytes(tensor) }
    public func copy(_ source: Tensor, into destination: Tensor) { inner.copy(source, into: destination) }
    public func fill(_ tensor: Tensor, with value: Float) { inner.fill(tensor, with: value) }
    public func convert(_ source: Tensor, into destination: Tensor) { inner.convert(source, into: destination) }
    public func synchronize() { inner.synchronize() }
    public func makeLinear(_ weights: LinearWeights, precision: LinearPrecision) throws -> any Linear {
        try request(weights.size.output * weights.size.input)
        let layer = try inner.makeLinear(weights, precision: precision)
        note(layer, layer.byteCount)
        return layer
    }
    public func linear(_ x: Tensor, _ layer: any Linear, into output: Tensor, _ epilogue: Epilogue) {
        inner.linear(x, layer, into: output, epilogue)
    }
    public func attention(q: Tensor, k: Tensor, v: Tensor, scale: Float, bias: Tensor?, into output: Tensor) {
        inner.attention(q: q, k: k, v: v, scale: scale, bias: bias, into: output)
    }
    public func sparseLinearAttention(
        q: Tensor, k: Tensor, v: Tensor, projection: (any Linear)?, options: SparseAttentionOptions, blocks: Tensor?,
        into output: Tensor
    ) {
        inner.sparseLinearAttention(
            q: q, k: k, v: v, projection: projection, options: options, blocks: blocks, into: output)
    }
    public func layerNorm(_ x: Tensor, weight: Tensor?, bias: Tensor?, epsilon: Float, into output: Tensor) {
        inner.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon, into: output)
    }
    public func modulatedNorm(_ x: Tensor, shift: Tensor, scale: Tensor, epsilon: Float, into output: Tensor) {
        inner.modulatedNorm(x, shift: shift, scale: scale, epsilon: epsilon, into: output)
    }
    public func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float, into output: Tensor) {
        inner.rmsNorm(x, weight: weight, epsilon: epsilon, into: output)
    }
    public func rotate(_ x: Tensor, table: Tensor) { inner.rotate(x, table: table) }
    public func gather(_ table: Tensor, ids: Tensor, into output: Tensor) {
        inner.gather(table, ids: ids, into: output)
    }
    public func gatherColumns(_ table: Tensor, ids: Tensor, into output: Tensor) {
        inner.gatherColumns(table, ids: ids, into: output)
    }
    public func add(_ y: Tensor, to x: Tensor) { inner.add(y, to: x) }
    public func multiply(_ x: Tensor, by y: Tensor) { inner.multiply(x, by: y) }
    public func addGated(_ y: Tensor, gate: Tensor, to x: Tensor) { inner.addGated(y, gate: gate, to: x) }
    public func activate(_ x: Tensor, _ activation: Activation) { inner.activate(x, activation) }
    public func permute(_ source: Tensor, axes: [Int], into output: Tensor) {
        inner.permute(source, axes: axes, into: output)
    }
    public func makeConvolution(weight: HostTensor, bias: HostTensor?, geometry: ConvolutionGeometry) throws
        -> any Convolution
    {
        try request(weight.elementCount)
        let layer = try inner.makeConvolution(weight: weight, bias: bias, geometry: geometry)
        note(layer, layer.byteCount)
        return layer
    }
    public func convolve(
        _ x: Tensor, _ layer: any Convolution, history: Tensor?, residual: Tensor?, into output: Tensor
    ) {
        inner.convolve(x, layer, history: history, residual: residual, into: output)
    }
    public func channelNorm(_ x: Tensor, gamma: Tensor, activation: Activation?, into output: Tensor) {
        inner.channelNorm(x, gamma: gamma, activation: activation, into: output)
    }
    public func upsampleNearest(_ x: Tensor, into output: Tensor) { inner.upsampleNearest(x, into: output) }
    public func quantizeFrames(_ x: Tensor, into output: Tensor) { inner.quantizeFrames(x, into: output) }
}
