import Foundation
import Tensors

func checkNorms(_ c: Check) throws {
    let epsilon = Double(Float(1e-6))
    for (n, dim) in [
        (1, 1), (3, 7), (37, 131), (19, 384), (600, 16), (67, 96), (35, 192), (13, 1536), (6, 5120), (3, 6000),
    ] {
        var random = Values(seed: 9)
        // Far from zero, so that a variance taken as E[x^2] - E[x]^2 would show.
        let x = c.rounded(random.normal(n * dim).map { $0 + 30 })
        let (weight, bias) = (random.normal(dim), random.normal(dim))
        let (w, b) = (try c.tensor([dim], weight, .f32), try c.tensor([dim], bias, .f32))
        let input = try c.tensor([n, dim], x)
        func rows(_ x: [Float], _ body: ([Double]) -> [Double]) -> [Double] {
            stride(from: 0, to: x.count, by: dim).flatMap { body(doubles(Array(x[$0..<$0 + dim]))) }
        }
        func normalised(_ row: [Double]) -> [Double] {
            let mean = row.reduce(0, +) / Double(row.count)
            let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(row.count)
            return row.map { ($0 - mean) / (variance + epsilon).squareRoot() }
        }
        func check(_ what: String, _ run: (Tensor) -> Void, is expected: (Double, Int) -> Double) throws {
            for dtype in Set([c.type, .f32]) {
                let output = try c.tensor([n, dim], nil, dtype)
                run(output.tensor)
                let reference = rows(x) { normalised($0).enumerated().map { expected($1, $0) } }
                c.compare("\(what) \(n) x \(dim) to \(dtype)", output, reference, 4e-6)
            }
        }
        try check(
            "layer norm", { c.backend.layerNorm(input.tensor, weight: nil, bias: nil, epsilon: 1e-6, into: $0) },
            is: { x, _ in x })
        try check(
            "affine norm",
            { c.backend.layerNorm(input.tensor, weight: w.tensor, bias: b.tensor, epsilon: 1e-6, into: $0) },
            is: { $0 * Double(weight[$1]) + Double(bias[$1]) })
        try check(
            "modulated norm",
            { c.backend.modulatedNorm(input.tensor, shift: b.tensor, scale: w.tensor, epsilon: 1e-6, into: $0) },
            is: { $0 * (1 + Double(weight[$1])) + Double(bias[$1]) })

        let wide = c.rounded(random.normal(n * dim, scale: 3))
        let rms = rows(wide) { row in
            let mean = row.reduce(0) { $0 + $1 * $1 } / Double(dim)
            return row.enumerated().map { $1 / (mean + epsilon).squareRoot() * Double(weight[$0]) }
        }
        let output = try c.tensor([n, dim])
        c.backend.rmsNorm(try c.tensor([n, dim], wide).tensor, weight: w.tensor, epsilon: 1e-6, into: output.tensor)
        c.compare("rms norm \(n) x \(dim)", output, rms, 1e-6)
        let inPlace = try c.tensor([n, dim], wide)
        c.backend.rmsNorm(inPlace.tensor, weight: w.tensor, epsilon: 1e-6, into: inPlace.tensor)
        c.compare("rms norm in place \(n) x \(dim)", inPlace, rms, 1e-6)

        var channels = wide
        for i in 0..<dim where n > 1 { channels[i] = 0 }  // a row of zeros stays zero
        let plain = rows(channels) { row in
            let length = max(1e-12, row.reduce(0) { $0 + $1 * $1 }.squareRoot())
            return row.enumerated().map { $1 / length * Double(dim).squareRoot() * Double(weight[$0]) }
        }
        for (activation, function) in [(nil, { $0 }), (Activation.silu, silu), (.geluTanh, gelu)]
            as [(Activation?, (Double) -> Double)]
        {
            let output = try c.tensor([n, 1, dim])
            c.backend.channelNorm(
                try c.tensor([n, 1, dim], channels).tensor, gamma: w.tensor, activation: activation, into: output.tensor
            )
            c.compare(
                "channel norm \(n) x \(dim), \(activation?.rawValue ?? "no activation")", output, plain.map(function),
                2e-6)
        }
    }
}

func checkRotate(_ c: Check) throws {
    for (tokens, heads, dim) in [(29, 3, 10), (67, 12, 128)] {
        var random = Values(seed: 12)
        let x = c.rounded(random.normal(tokens * heads * dim))
        let table = random.normal(tokens * dim / 2, scale: 3).flatMap { [cos($0), sin($0)] }
        let rotated = try c.tensor([tokens, heads, dim], x)
        c.backend.rotate(rotated.tensor, table: try c.tensor([tokens, dim / 2, 2], table, .f32).tensor)
        c.compare(
            "\(tokens) tokens, \(heads) heads of \(dim)", rotated,
            x.indices.map { i in
                let (token, pair) = (i / (heads * dim), i % dim / 2)
                let turn = (
                    Double(table[(token * dim / 2 + pair) * 2]), Double(table[(token * dim / 2 + pair) * 2 + 1])
                )
                return i % 2 == 0
                    ? Double(x[i]) * turn.0 - Double(x[i + 1]) * turn.1
                    : Double(x[i - 1]) * turn.1 + Double(x[i]) * turn.0
            }, 1e-6)
    }
    try checkNormedRotation(c)
}

/// The norm over all heads of a token, then the rotation.
private func checkNormedRotation(_ c: Check) throws {
    for (tokens, heads, dim) in [(5, 3, 10), (67, 12, 128), (13, 40, 128)] {
        var random = Values(seed: 13)
        let width = heads * dim
        let x = c.rounded(random.normal(tokens * width))
        let weight = random.normal(width)
        let table = random.normal(tokens * dim / 2, scale: 3).flatMap { [cos($0), sin($0)] }
        let found = try c.tensor([tokens, heads, dim], x)
        c.backend.rmsNormRotated(
            found.tensor, weight: try c.tensor([width], weight, .f32).tensor, epsilon: 1e-6,
            table: try c.tensor([tokens, dim / 2, 2], table, .f32).tensor)
        var expected = [Double](repeating: 0, count: x.count)
        for token in 0..<tokens {
            let row = x[token * width..<(token + 1) * width].map(Double.init)
            let factor = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(width) + 1e-6).squareRoot()
            let normed = row.indices.map { row[$0] * factor * Double(weight[$0]) }
            for i in stride(from: 0, to: width, by: 2) {
                let at = (token * dim / 2 + i % dim / 2) * 2
                let (cosine, sine) = (Double(table[at]), Double(table[at + 1]))
                expected[token * width + i] = normed[i] * cosine - normed[i + 1] * sine
                expected[token * width + i + 1] = normed[i] * sine + normed[i + 1] * cosine
            }
        }
        c.compare("after the norm, \(tokens) tokens, \(heads) heads of \(dim)", found, expected, 2e-6)
    }
}
