import Foundation
import Tensors
import Testing

@testable import CPUBackend
@testable import OperationChecks

@Suite struct LinearTests {
    struct Shape: Sendable, CustomTestStringConvertible {
        let (m, k, n): (Int, Int, Int)
        init(_ m: Int, _ k: Int, _ n: Int) { (self.m, self.k, self.n) = (m, k, n) }
        var testDescription: String { "\(m) x \(k) -> \(n)" }
    }

    static let shapes = [Shape(1, 1, 1), Shape(7, 13, 5), Shape(67, 131, 37), Shape(13, 400, 70), Shape(130, 33, 259)]

    @Test(arguments: backends, shapes) func plain(_ backend: CPUBackend, _ s: Shape) throws {
        var random = Values(seed: 1)
        let (x, w, b) = (random.bf16(s.m * s.k), random.bf16(s.n * s.k), random.bf16(s.n))
        let expected = product(x, w, b, s.m, s.k, s.n)
        let input = try Guarded(backend, [s.m, s.k], x)
        for weight in [HostTensor(shape: [s.n, s.k], values: w), bf16Tensor(w, [s.n, s.k])] {
            let layer = try backend.makeLinear(
                .dense(weight: weight, bias: HostTensor(shape: [s.n], values: b)), precision: .stored)
            let output = try Guarded(backend, [s.m, s.n])
            backend.linear(input.tensor, layer, into: output.tensor, .none)
            #expect(relativeError(output.values(backend), expected) < 1e-6)
        }
    }

    @Test(arguments: backends) func epilogues(_ backend: CPUBackend) throws {
        let s = Shape(19, 45, 41)
        var random = Values(seed: 2)
        let (x, w, b) = (random.normal(s.m * s.k), random.normal(s.n * s.k, scale: 0.3), random.normal(s.n))
        let (old, factor, gate) = (random.normal(s.m * s.n), random.normal(s.m * s.n), random.normal(s.n))
        let y = product(x, w, b, s.m, s.k, s.n)
        let layer = try backend.makeLinear(
            .dense(weight: HostTensor(shape: [s.n, s.k], values: w), bias: HostTensor(shape: [s.n], values: b)),
            precision: .float)
        let input = try Guarded(backend, [s.m, s.k], x)
        func run(_ epilogue: Epilogue, old: [Float]? = nil) throws -> [Float] {
            let output = try Guarded(backend, [s.m, s.n], old)
            backend.linear(input.tensor, layer, into: output.tensor, epilogue)
            return output.values(backend)
        }
        #expect(relativeError(try run(.activation(.silu)), y.map { $0 / (1 + exp(-$0)) }) < 1e-6)
        #expect(relativeError(try run(.activation(.geluTanh)), y.map(gelu)) < 1e-6)
        #expect(relativeError(try run(.accumulate, old: old), zip(y, old).map { $0 + Double($1) }) < 1e-6)
        let g = try Guarded(backend, [s.n], gate)
        let gated = y.indices.map { Double(old[$0]) + Double(gate[$0 % s.n]) * y[$0] }
        #expect(relativeError(try run(.gated(g.tensor), old: old), gated) < 1e-6)
        let f = try Guarded(backend, [s.m, s.n], factor)
        #expect(relativeError(try run(.multiply(f.tensor)), zip(y, factor).map { $0 * Double($1) }) < 1e-6)
    }

    /// Enough rows and columns for several tasks, and depth for several slices.
    @Test(arguments: backends) func tasks(_ backend: CPUBackend) throws {
        let s = Shape(805, 8, 300)
        var random = Values(seed: 3)
        let (x, w) = (random.bf16(s.m * s.k), random.bf16(s.n * s.k))
        let expected = product(x, w, nil, s.m, s.k, s.n)
        for weight in [HostTensor(shape: [s.n, s.k], values: w), bf16Tensor(w, [s.n, s.k])] {
            let layer = try backend.makeLinear(.dense(weight: weight, bias: nil), precision: .stored)
            let output = try Guarded(backend, [s.m, s.n])
            backend.linear(try Guarded(backend, [s.m, s.k], x).tensor, layer, into: output.tensor, .none)
            #expect(relativeError(output.values(backend), expected) < 1e-6)
        }
    }

    @Test func keepsBF16WhereItLies() throws {
        var random = Values(seed: 4)
        let weight = bf16Tensor(random.bf16(64 * 32), [64, 32])
        let layer = try CPUBackend(threads: 1).makeLinear(.dense(weight: weight, bias: nil), precision: .stored)
        #expect(layer.byteCount == 64 * 32 * 2)
    }
}
