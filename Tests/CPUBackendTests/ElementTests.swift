import Foundation
import Tensors
import Testing

@testable import CPUBackend
@testable import OperationChecks

@Suite struct ElementTests {
    @Test(arguments: backends) func sums(_ backend: CPUBackend) throws {
        var random = Values(seed: 15)
        let (rows, dim) = (41, 33)
        let (x, y, row) = (random.normal(rows * dim), random.normal(rows * dim), random.normal(dim))
        let (full, single) = (try Guarded(backend, [rows, dim], y), try Guarded(backend, [dim], row))
        func check(_ run: (Tensor) -> Void, is expected: (Int) -> Float) throws {
            let target = try Guarded(backend, [rows, dim], x)
            run(target.tensor)
            #expect(relativeError(target.values(backend), doubles(x.indices.map(expected))) < 1e-7)
        }
        try check({ backend.add(full.tensor, to: $0) }, is: { x[$0] + y[$0] })
        try check({ backend.add(single.tensor, to: $0) }, is: { x[$0] + row[$0 % dim] })
        try check({ backend.multiply($0, by: full.tensor) }, is: { x[$0] * y[$0] })
        try check({ backend.addGated(full.tensor, gate: single.tensor, to: $0) }, is: { x[$0] + row[$0 % dim] * y[$0] })
        try check({ backend.fill($0, with: -2.5) }, is: { _ in -2.5 })
    }

    @Test(arguments: backends) func activations(_ backend: CPUBackend) throws {
        let x = (0..<2001).map { Float($0 - 1000) * 0.05 } + [-300, 300, 0]
        for (activation, function) in [(Activation.silu, { (v: Double) in v / (1 + exp(-v)) }), (.geluTanh, gelu)] {
            let target = try Guarded(backend, [x.count], x)
            backend.activate(target.tensor, activation)
            for (value, y) in zip(x, target.values(backend)) {
                let expected = function(Double(value))
                #expect(abs(Double(y) - expected) <= 1e-6 * abs(expected) + 1e-7, "\(activation)(\(value))")
            }
        }
    }

    @Test(arguments: backends) func exponentials(_ backend: CPUBackend) {
        let x = (0..<20_001).map { Float($0) * 0.00875 - 87 }
        var y = [Float](repeating: .nan, count: x.count)
        backend.kernels.exponentials(x, &y, x.count)
        let worst = zip(x, y).map { abs(Double($1) / exp(Double($0)) - 1) }.max() ?? 1
        #expect(worst < 2e-7)
        var extremes = [Float](repeating: .nan, count: 3)
        backend.kernels.exponentials([-1000, -.infinity, 0], &extremes, 3)
        #expect(extremes == [0, 0, 1])
    }

    @Test(arguments: backends) func permutes(_ backend: CPUBackend) throws {
        let cases: [([Int], [Int])] = [
            ([5], [0]), ([7, 11], [1, 0]), ([3, 4, 5], [0, 1, 2]), ([3, 4, 5], [2, 0, 1]),
            ([2, 3, 4, 5], [0, 2, 1, 3]),
            ([2, 3, 1, 2, 3, 2, 1, 4], [7, 3, 5, 1, 0, 4, 2, 6]), ([40, 30, 16], [1, 0, 2]),
        ]
        for (shape, axes) in cases {
            let count = shape.reduce(1, *)
            let source = try Guarded(backend, shape, (0..<count).map { Float($0) })
            let output = try Guarded(backend, axes.map { shape[$0] })
            backend.permute(source.tensor, axes: axes, into: output.tensor)
            var strides = [Int](repeating: 1, count: shape.count)
            for i in (0..<shape.count - 1).reversed() { strides[i] = strides[i + 1] * shape[i + 1] }
            let expected = (0..<count).map { index in
                var (rest, offset) = (index, 0)
                for axis in axes.reversed() {
                    offset += rest % shape[axis] * strides[axis]
                    rest /= shape[axis]
                }
                return Float(offset)
            }
            #expect(output.values(backend) == expected, "\(shape) \(axes)")
        }
    }

    @Test(arguments: backends) func gathers(_ backend: CPUBackend) throws {
        var random = Values(seed: 16)
        let table = random.bf16(9 * 5)
        let ids = try backend.allocate([4], .i32)
        backend.write([8, 0, 3, 3] as [Int32], into: ids)
        let expected = [8, 0, 3, 3].flatMap { table[$0 * 5..<$0 * 5 + 5] }
        for dtype in [DType.f32, .bf16] {
            let output = try Guarded(backend, [4, 5])
            let rows = try backend.upload(HostTensor(shape: [9, 5], values: table), as: dtype)
            backend.gather(rows, ids: ids, into: output.tensor)
            #expect(output.values(backend) == expected)
        }
    }

    @Test(arguments: backends) func upsamples(_ backend: CPUBackend) throws {
        let (t, h, w, c) = (2, 3, 5, 7)
        var random = Values(seed: 17)
        let x = random.normal(t * h * w * c)
        let output = try Guarded(backend, [t, 2 * h, 2 * w, c])
        backend.upsampleNearest(try Guarded(backend, [t, h, w, c], x).tensor, into: output.tensor)
        let expected = (0..<t * 2 * h * 2 * w * c).map { i in
            let (channel, column) = (i % c, i / c % (2 * w) / 2)
            let (row, frame) = (i / c / (2 * w) % (2 * h) / 2, i / c / (4 * w * h))
            return x[((frame * h + row) * w + column) * c + channel]
        }
        #expect(output.values(backend) == expected)
    }

    @Test(arguments: backends) func framesToBytes(_ backend: CPUBackend) throws {
        let x: [Float] = [-2, -1, -0.999, -0.5, 0, 0.003, 0.5, 0.999, 1, 7, .nan, 0.25]
        let output = try backend.allocate([16], .u8)
        let bytes = Tensor(buffer: output.buffer, offset: 2, shape: [1, 2, 2, 3], dtype: .u8)
        output.pointer.initializeMemory(as: UInt8.self, repeating: 0xA5, count: 16)
        backend.quantizeFrames(try Guarded(backend, [1, 2, 2, 3], x).tensor, into: bytes)
        let expected = x.map { v -> UInt8 in
            v.isNaN ? 0 : UInt8(((1 + max(-1, min(1, v))) / 2 * 255 + 0.5).rounded(.down))
        }
        #expect(backend.downloadBytes(output) == [0xA5, 0xA5] + expected + [0xA5, 0xA5])
    }
}
