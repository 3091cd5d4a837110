import Foundation
import Tensors
import Testing

@testable import CPUBackend
@testable import OperationChecks

@Suite struct Int8LinearTests {
    @Test(arguments: backends, [(1, 128, 5), (131, 256, 37), (13, 200, 150), (7, 390, 33)])
    func blocks(_ backend: CPUBackend, _ shape: (m: Int, k: Int, n: Int)) throws {
        let (m, k, n) = shape
        var random = Values(seed: 5)
        var (x, w) = (random.normal(m * k), random.normal(n * k))
        // The greatest magnitudes negative: code -128 on both sides.
        for i in stride(from: 0, to: x.count, by: 3) { x[i] = -9 }
        for i in stride(from: 0, to: w.count, by: 3) { w[i] = -7 }
        let layer = try backend.makeLinear(
            .dense(weight: HostTensor(shape: [n, k], values: w), bias: nil), precision: .int8)
        #expect(layer.precision == .int8)
        let output = try Guarded(backend, [m, n])
        backend.linear(try Guarded(backend, [m, k], x).tensor, layer, into: output.tensor, .none)
        #expect(relativeError(output.values(backend), int8Product(x, w, nil, m, k, n)) < 5e-7)
    }

    @Test(arguments: backends) func bothWaysFromCodes(_ backend: CPUBackend) throws {
        let (m, k, n) = (9, 256, 140)
        var random = Values(seed: 6)
        let (x, w, bias) = (random.normal(m * k), random.normal(n * k), random.normal(n))
        let matrix = Int8Matrix(quantizing: w, rows: n, columns: k, backend.kernels)
        let weights = LinearWeights.int8(
            weight: HostTensor(shape: [n, k], dtype: .i8, copying: matrix.codes.map { UInt8(bitPattern: $0) }),
            scale: HostTensor(shape: [2, 2], values: matrix.scale), bias: HostTensor(shape: [n], values: bias))
        let input = try Guarded(backend, [m, k], x)
        let (codes, scale) = quantize(w, n, k)
        #expect(codes == matrix.codes.map { Int($0) } && scale == matrix.scale)
        let quantized = try Guarded(backend, [m, n])
        backend.linear(input.tensor, try backend.makeLinear(weights, precision: .stored), into: quantized.tensor, .none)
        let expected = int8Product(x, w, bias, m, k, n)
        #expect(relativeError(quantized.values(backend), expected) < 5e-7)
        let widened = try Guarded(backend, [m, n])
        backend.linear(input.tensor, try backend.makeLinear(weights, precision: .float), into: widened.tensor, .none)
        let dense = (0..<n * k).map { Float(codes[$0]) * scale[$0 / k / 128 * 2 + $0 % k / 128] }
        let exact = product(x, dense, bias, m, k, n)
        #expect(relativeError(widened.values(backend), exact) < 1e-6)
    }

    @Test(arguments: backends) func quantizesZeros(_ backend: CPUBackend) {
        let matrix = Int8Matrix(quantizing: [Float](repeating: 0, count: 130), rows: 1, columns: 130, backend.kernels)
        #expect(matrix.codes.allSatisfy { $0 == 0 } && matrix.scale == [1e-8 / 128, 1e-8 / 128])
    }
}
