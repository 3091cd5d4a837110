import Foundation
import Tensors
import Testing

@testable import CPUBackend
@testable import OperationChecks

@Suite struct NormTests {
    static let shapes = [(1, 1), (3, 7), (37, 131), (5, 384), (600, 16)]
    let epsilon = Double(Float(1e-6))

    static func rows(_ x: [Float], _ dim: Int, _ body: ([Double]) -> [Double]) -> [Double] {
        stride(from: 0, to: x.count, by: dim).flatMap { body(doubles(Array(x[$0..<$0 + dim]))) }
    }

    func normalised(_ row: [Double]) -> [Double] {
        let mean = row.reduce(0, +) / Double(row.count)
        let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(row.count)
        return row.map { ($0 - mean) / (variance + epsilon).squareRoot() }
    }

    @Test(arguments: backends, shapes) func layerNorms(_ backend: CPUBackend, _ shape: (rows: Int, dim: Int)) throws {
        let (n, dim) = shape
        var random = Values(seed: 9)
        // Far from zero, so that a variance taken as E[x^2] - E[x]^2 would show.
        let x = random.normal(n * dim).map { $0 + 30 }
        let (weight, bias) = (random.normal(dim), random.normal(dim))
        let (w, b) = (try Guarded(backend, [dim], weight), try Guarded(backend, [dim], bias))
        let input = try Guarded(backend, [n, dim], x)
        func check(_ run: (Tensor) -> Void, is expected: (Double, Int) -> Double) throws {
            let output = try Guarded(backend, [n, dim])
            run(output.tensor)
            let reference = Self.rows(x, dim) { normalised($0).enumerated().map { expected($1, $0) } }
            let values = output.values(backend)
            // One channel has no variance: its norm is 0, and only the weights are left to compare.
            #expect(
                relativeError(values, reference) < 3e-6
                    || (dim == 1 && zip(values, reference).allSatisfy { abs(Double($0) - $1) < 1e-6 }))
        }
        try check(
            { backend.layerNorm(input.tensor, weight: nil, bias: nil, epsilon: 1e-6, into: $0) }, is: { x, _ in x })
        try check(
            { backend.layerNorm(input.tensor, weight: w.tensor, bias: b.tensor, epsilon: 1e-6, into: $0) },
            is: {
                $0 * Double(weight[$1]) + Double(bias[$1])
            })
        try check(
            { backend.modulatedNorm(input.tensor, shift: b.tensor, scale: w.tensor, epsilon: 1e-6, into: $0) },
            is: {
                $0 * (1 + Double(weight[$1])) + Double(bias[$1])
            })
    }

    @Test(arguments: backends, shapes) func rms(_ backend: CPUBackend, _ shape: (rows: Int, dim: Int)) throws {
        let (n, dim) = shape
        var random = Values(seed: 10)
        let (x, weight) = (random.normal(n * dim, scale: 3), random.normal(dim))
        let w = try Guarded(backend, [dim], weight)
        let expected = Self.rows(x, dim) { row in
            let mean = row.reduce(0) { $0 + $1 * $1 } / Double(dim)
            return row.enumerated().map { $1 / (mean + epsilon).squareRoot() * Double(weight[$0]) }
        }
        let output = try Guarded(backend, [n, dim])
        backend.rmsNorm(try Guarded(backend, [n, dim], x).tensor, weight: w.tensor, epsilon: 1e-6, into: output.tensor)
        #expect(relativeError(output.values(backend), expected) < 5e-7)
        let inPlace = try Guarded(backend, [n, dim], x)
        backend.rmsNorm(inPlace.tensor, weight: w.tensor, epsilon: 1e-6, into: inPlace.tensor)
        #expect(relativeError(inPlace.values(backend), expected) < 5e-7)
    }

    @Test(arguments: backends, shapes) func channels(_ backend: CPUBackend, _ shape: (rows: Int, dim: Int)) throws {
        let (n, dim) = shape
        var random = Values(seed: 11)
        var x = random.normal(n * dim)
        for i in 0..<min(dim, x.count) where n > 1 { x[i] = 0 }  // a row of zeros stays zero
        let gamma = random.normal(dim)
        let g = try Guarded(backend, [dim], gamma)
        let plain = Self.rows(x, dim) { row in
            let length = max(1e-12, row.reduce(0) { $0 + $1 * $1 }.squareRoot())
            return row.enumerated().map { $1 / length * Double(dim).squareRoot() * Double(gamma[$0]) }
        }
        let cases: [(Activation?, (Double) -> Double)] = [
            (nil, { $0 }), (.silu, { $0 / (1 + exp(-$0)) }), (.geluTanh, gelu),
        ]
        for (activation, function) in cases {
            let output = try Guarded(backend, [n, 1, dim])
            backend.channelNorm(
                try Guarded(backend, [n, 1, dim], x).tensor, gamma: g.tensor, activation: activation,
                into: output.tensor)
            #expect(relativeError(output.values(backend), plain.map(function)) < 1e-6)
        }
    }

    @Test(arguments: backends) func rotates(_ backend: CPUBackend) throws {
        let (tokens, heads, dim) = (29, 3, 10)
        var random = Values(seed: 12)
        let x = random.normal(tokens * heads * dim)
        let angles = random.normal(tokens * dim / 2, scale: 3)
        let table = angles.flatMap { [cos($0), sin($0)] }
        let rotated = try Guarded(backend, [tokens, heads, dim], x)
        backend.rotate(rotated.tensor, table: try Guarded(backend, [tokens, dim / 2, 2], table).tensor)
        let expected = x.indices.map { i in
            let (token, pair) = (i / (heads * dim), i % dim / 2)
            let (c, s) = (Double(table[(token * dim / 2 + pair) * 2]), Double(table[(token * dim / 2 + pair) * 2 + 1]))
            return i % 2 == 0 ? Double(x[i]) * c - Double(x[i + 1]) * s : Double(x[i - 1]) * s + Double(x[i]) * c
        }
        #expect(relativeError(rotated.values(backend), expected) < 1e-6)
    }
}
