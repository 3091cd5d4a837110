import Tensors

/// Norm, two layers with GELU between them, and a gated residual: in one operation, in parts of fewer rows, with channels that
/// stand out, and rows of very different sizes.
func checkFeedForward(_ c: Check) throws {
    for (m, k, n) in [
        (1, 16, 16), (7, 48, 32), (131, 256, 80), (300, 1536, 208), (257, 400, 528), (41, 208, 2304), (130, 640, 1040),
    ] {
        var random = Values(seed: 47)
        var x = random.normal(m * k, scale: 0.1)
        for row in stride(from: 2, to: m, by: 3) { for i in 0..<k { x[row * k + i] *= 4 } }
        x = c.rounded(x)
        let first = random.normal(n * k, scale: 1 / Double(k).squareRoot()).map(roundedToBF16)
        let second = random.normal(k * n, scale: 2 / Double(n).squareRoot()).map(roundedToBF16)
        let biases = (c.rounded(random.normal(n, scale: 0.5)), c.rounded(random.normal(k)))
        var scale = random.normal(k, scale: 0.3)
        scale[k / 2] = 20
        let (shift, gate) = (random.normal(k, scale: 0.3), random.normal(k).map { $0 + 2 })
        let (scales, shifts) = (try c.tensor([k], scale, .f32), try c.tensor([k], shift, .f32))
        let norm = RowNorm.modulated(shift: shifts.tensor, scale: scales.tensor, epsilon: 1e-6)
        let input = c.rounded(normed(x, m, k, factor: scale.map { 1 + $0 }, shift))
        for precision in [.float, c.backend.quantizedPrecision] where precision != .int8 {
            let layers = try [(first, biases.0, n, k), (second, biases.1, k, n)].map {
                try c.backend.makeLinear(
                    .dense(weight: bf16Tensor($0.0, [$0.2, $0.3]), bias: HostTensor(shape: [$0.2], values: $0.1)),
                    precision: precision)
            }
            func stored(_ x: [Float], _ rows: Int, _ columns: Int) -> [Float] {
                precision == .fp8 ? rows8(x, rows, columns) : x
            }
            let hidden = product(stored(input, m, k), stored(first, n, k), biases.0, m, k, n).map { Float(gelu($0)) }
            let added = product(hidden, stored(second, k, n), biases.1, m, n, k)
            let expected = added.enumerated().map { Double(x[$0]) + Double(gate[$0 % k]) * $1 }
            for atOnce in m == 1 ? [1] : [m, (m + 1) / 2] {
                let output = try c.tensor([m, k], x)
                let (middle, normed) = (try c.tensor([atOnce, n]), try c.tensor([m, k]))
                let gates = try c.tensor([k], gate, .f32)
                c.backend.feedForward(
                    output.tensor, by: norm, layers[0], layers[1], gate: gates.tensor, hidden: middle.tensor,
                    normed: normed.tensor)
                c.compare(
                    "\(m) x \(k) -> \(n) -> \(k), \(precision), \(atOnce) rows at once", output, expected, 1e-5,
                    bf16: precision == .fp8 ? 0.04 : 1e-2)
                if !middle.edgesAreWhole || !normed.edgesAreWhole {
                    c.same("\(m) x \(k) -> \(n) -> \(k), wrote outside its memory", [1], [0])
                }
            }
        }
    }
}
