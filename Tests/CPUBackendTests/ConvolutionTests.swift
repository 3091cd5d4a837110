import Foundation
import Tensors
import Testing

@testable import CPUBackend
@testable import OperationChecks

extension ConvolutionCase: CustomTestStringConvertible {
    public var testDescription: String { text }
}

@Suite struct ConvolutionTests {
    @Test(arguments: backends, ConvolutionCase.all) func matchesReference(_ backend: CPUBackend, _ c: ConvolutionCase)
        throws
    {
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
        #expect(relativeError(output.values(backend), c.reference(x, past, weight, bias, residual)) < 1e-6)
    }

    /// A two-dimensional weight, without bias and residual.
    @Test(arguments: backends) func plane(_ backend: CPUBackend) throws {
        let c = ConvolutionCase(kernel: (1, 3, 3), channels: (4, 6), size: (1, 5, 5))
        var random = Values(seed: 14)
        let (x, weight) = (random.normal(100), random.normal(6 * 4 * 9))
        let layer = try backend.makeConvolution(
            weight: HostTensor(shape: [6, 4, 3, 3], values: weight), bias: nil, geometry: .same(1))
        let output = try Guarded(backend, [1, 5, 5, 6])
        backend.convolve(
            try Guarded(backend, [1, 5, 5, 4], x).tensor, layer, history: nil, residual: nil, into: output.tensor)
        let zeros = [Float](repeating: 0, count: 150)
        #expect(relativeError(output.values(backend), c.reference(x, [], weight, zeros, zeros)) < 1e-6)
    }
}
