import Foundation
import Tensors
import Testing

@testable import CPUBackend
@testable import OperationChecks

extension AttentionShape: CustomTestStringConvertible {
    public var testDescription: String { text }
}

@Suite struct AttentionTests {
    static let shapes = [
        AttentionShape(1, 1, 1, 1), .init(5, 131, 2, 16), .init(101, 300, 1, 40), .init(33, 129, 3, 7),
    ]

    @Test(arguments: backends, shapes) func dense(_ backend: CPUBackend, _ s: AttentionShape) throws {
        var random = Values(seed: 7)
        let q = random.normal(s.queries * s.heads * s.dim, scale: 2)
        let (k, v) = (random.normal(s.keys * s.heads * s.dim, scale: 2), random.normal(s.keys * s.heads * s.dim))
        let wide = random.normal(s.heads * s.queries * s.keys)
        let shared = random.normal(s.keys)
        let biases: [(Guarded?, (Int, Int, Int) -> Double)] = [
            (nil, { _, _, _ in 0 }),
            (
                try Guarded(backend, [s.heads, s.queries, s.keys], wide),
                { Double(wide[($0 * s.queries + $1) * s.keys + $2]) }
            ),
            (try Guarded(backend, [s.keys], shared), { Double(shared[$2]) }),
        ]
        for (bias, value) in biases {
            let output = try Guarded(backend, [s.queries, s.heads, s.dim])
            backend.attention(
                q: try Guarded(backend, [s.queries, s.heads, s.dim], q).tensor,
                k: try Guarded(backend, [s.keys, s.heads, s.dim], k).tensor,
                v: try Guarded(backend, [s.keys, s.heads, s.dim], v).tensor, scale: 0.37, bias: bias?.tensor,
                into: output.tensor)
            let expected = attention(q, k, v, s, scale: Double(Float(0.37)), bias: value)
            #expect(relativeError(output.values(backend), expected) < 2e-6)
        }
    }

    /// Keys masked by the lowest float do not count, whole blocks of them neither.
    @Test(arguments: backends) func masked(_ backend: CPUBackend) throws {
        let s = AttentionShape(9, 300, 1, 8)
        var random = Values(seed: 8)
        let (q, k) = (random.normal(s.queries * s.dim), random.normal(s.keys * s.dim))
        let v = random.normal(s.keys * s.dim)
        for range in [0..<3, 200..<260, 299..<300] {
            let bias = (0..<s.keys).map { range.contains($0) ? Float(0) : -.greatestFiniteMagnitude }
            let output = try Guarded(backend, [s.queries, 1, s.dim])
            backend.attention(
                q: try Guarded(backend, [s.queries, 1, s.dim], q).tensor,
                k: try Guarded(backend, [s.keys, 1, s.dim], k).tensor,
                v: try Guarded(backend, [s.keys, 1, s.dim], v).tensor, scale: 1,
                bias: try Guarded(backend, [s.keys], bias).tensor, into: output.tensor)
            let expected = attention(
                q, k, v, s, scale: 1, bias: { _, _, _ in 0 }, visible: { _, _ in Array(range) })
            #expect(relativeError(output.values(backend), expected) < 2e-6)
        }
    }
}
