import Foundation
import Tensors
import Testing

@testable import CPUBackend

@Suite struct ConvolutionTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var kernel = (3, 3, 3)
        var channels = (5, 7)
        var size = (3, 7, 9)
        var history = 0
        var zeros = 0
        var geometry = ConvolutionGeometry.same(1)
        var testDescription: String { "\(kernel) \(channels) \(size) history \(history) zeros \(zeros)" }

        var output: (Int, Int, Int) {
            let g = geometry
            return (
                (zeros + history + size.0 - kernel.0) / g.strideT + 1,
                (size.1 + g.padTop + g.padBottom - kernel.1) / g.strideH + 1,
                (size.2 + g.padLeft + g.padRight - kernel.2) / g.strideW + 1
            )
        }
    }

    static let cases = [
        Case(zeros: 2),
        Case(channels: (16, 16), history: 2),
        Case(channels: (24, 12), size: (1, 5, 35), history: 1, zeros: 1),
        Case(channels: (3, 33), size: (5, 4, 4), zeros: 2),
        Case(channels: (19, 3), size: (2, 11, 13), history: 2),
        Case(kernel: (1, 3, 3), channels: (8, 40), size: (2, 10, 6)),
        Case(
            kernel: (1, 3, 3), channels: (6, 9), size: (2, 8, 11),
            geometry: .init(strideH: 2, strideW: 2, padBottom: 1, padRight: 1)),
        Case(kernel: (3, 1, 1), channels: (11, 10), size: (4, 3, 5), history: 1, geometry: .init(strideT: 2)),
        Case(kernel: (3, 1, 1), channels: (12, 24), size: (3, 3, 5), history: 0, zeros: 2, geometry: .init()),
        Case(kernel: (3, 1, 1), channels: (4, 8), size: (2, 2, 2), history: 2, geometry: .init()),
        Case(kernel: (1, 1, 1), channels: (17, 50), size: (2, 3, 7), geometry: .init()),
        Case(kernel: (1, 1, 1), channels: (1, 1), size: (1, 1, 1), geometry: .init()),
        Case(kernel: (1, 1, 1), channels: (64, 8), size: (1, 40, 3), geometry: .init(strideH: 3, strideW: 2)),
        Case(kernel: (2, 2, 4), channels: (3, 5), size: (3, 6, 8), zeros: 1, geometry: .init(padLeft: 3, padRight: 2)),
    ]

    static func reference(
        _ c: Case, _ x: [Float], _ history: [Float], _ w: [Float], _ bias: [Float], _ residual: [Float]
    )
        -> [Double]
    {
        let (outT, outH, outW) = c.output
        let (cin, cout) = c.channels
        let g = c.geometry
        let frames = doubles(history) + doubles(x)
        var y = [Double](repeating: 0, count: outT * outH * outW * cout)
        for index in y.indices {
            let (o, ox) = (index % cout, index / cout % outW)
            let (oy, ot) = (index / cout / outW % outH, index / cout / outW / outH)
            var sum = Double(bias[o]) + Double(residual[index])
            for dt in 0..<c.kernel.0 {
                let t = ot * g.strideT + dt - c.zeros
                guard t >= 0 else { continue }
                for dy in 0..<c.kernel.1 {
                    let iy = oy * g.strideH + dy - g.padTop
                    guard iy >= 0, iy < c.size.1 else { continue }
                    for dx in 0..<c.kernel.2 {
                        let ix = ox * g.strideW + dx - g.padLeft
                        guard ix >= 0, ix < c.size.2 else { continue }
                        for i in 0..<cin {
                            let tap = (dt * c.kernel.1 + dy) * c.kernel.2 + dx
                            let weight = w[(o * cin + i) * c.kernel.0 * c.kernel.1 * c.kernel.2 + tap]
                            sum += Double(weight) * frames[((t * c.size.1 + iy) * c.size.2 + ix) * cin + i]
                        }
                    }
                }
            }
            y[index] = sum
        }
        return y
    }

    @Test(arguments: backends, cases) func matchesReference(_ backend: CPUBackend, _ c: Case) throws {
        var random = Values(seed: 13)
        let (cin, cout) = c.channels
        let plane = c.size.1 * c.size.2 * cin
        let (x, past) = (random.normal(c.size.0 * plane), random.normal(c.history * plane))
        let weight = random.normal(cout * cin * c.kernel.0 * c.kernel.1 * c.kernel.2)
        let bias = random.normal(cout)
        let shape = [c.output.0, c.output.1, c.output.2, cout]
        let residual = random.normal(shape.reduce(1, *))
        let layer = try backend.makeConvolution(
            weight: HostTensor(shape: [cout, cin, c.kernel.0, c.kernel.1, c.kernel.2], values: weight),
            bias: HostTensor(shape: [cout], values: bias), geometry: c.geometry)
        let input = try Guarded(backend, [c.size.0, c.size.1, c.size.2, cin], x)
        let history = c.history > 0 ? try Guarded(backend, [c.history, c.size.1, c.size.2, cin], past) : nil
        let output = try Guarded(backend, shape)
        backend.convolve(
            input.tensor, layer, history: history?.tensor, residual: try Guarded(backend, shape, residual).tensor,
            into: output.tensor)
        #expect(relativeError(output.values(backend), Self.reference(c, x, past, weight, bias, residual)) < 1e-6)
    }

    /// A two-dimensional weight, without bias and residual.
    @Test(arguments: backends) func plane(_ backend: CPUBackend) throws {
        let c = Case(kernel: (1, 3, 3), channels: (4, 6), size: (1, 5, 5))
        var random = Values(seed: 14)
        let (x, weight) = (random.normal(100), random.normal(6 * 4 * 9))
        let layer = try backend.makeConvolution(
            weight: HostTensor(shape: [6, 4, 3, 3], values: weight), bias: nil, geometry: .same(1))
        let output = try Guarded(backend, [1, 5, 5, 6])
        backend.convolve(
            try Guarded(backend, [1, 5, 5, 4], x).tensor, layer, history: nil, residual: nil, into: output.tensor)
        let zeros = [Float](repeating: 0, count: 150)
        #expect(relativeError(output.values(backend), Self.reference(c, x, [], weight, zeros, zeros)) < 1e-6)
    }
}
