import Foundation
import Tensors

/// The nearest e4m3 number, half to even, saturating at 448; from its definition.
private func e4m3(_ x: Float) -> Float {
    let magnitude = min(abs(x), 448)
    // Three bits follow the leading one; below 2^-6 the step stays 2^-9.
    let exponent = max(-6, magnitude == 0 ? -6 : Int(floor(log2(Double(magnitude)))))
    let step = Float(sign: .plus, exponent: exponent - 3, significand: 1)
    let rounded = min(448, (magnitude / step).rounded(.toNearestOrEven) * step)
    return x < 0 ? -rounded : rounded
}

/// Rows of x as their codes and scales say.
func rows8(_ x: [Float], _ rows: Int, _ columns: Int) -> [Float] {
    (0..<rows).flatMap { row in
        let values = x[row * columns..<(row + 1) * columns]
        let most = max(1e-12, values.map { abs($0) }.max() ?? 0)
        return values.map { e4m3($0 * (448 / most)) * (most / 448) }
    }
}

/// Layers of e4m3 with a scale a row: against the product of the rounded operands, and against what was meant.
func checkRows8(_ c: Check) throws {
    guard c.backend.quantizedPrecision == .fp8 else { return }
    for (m, k, n) in [
        (1, 16, 16), (7, 48, 32), (131, 256, 48), (300, 1536, 64), (513, 208, 384), (257, 2304, 80), (70, 8960, 48),
        (40, 13824, 32),
    ] {
        var random = Values(seed: 41)
        var x = random.normal(m * k)
        // Rows of very different sizes, one of zeros, and one whose values lie below the smallest normal number.
        for row in 0..<m {
            let size = [1, 1000, 1e-6, 0][row % 4 == 3 && row > 3 ? 3 : row % 3] as Float
            for column in 0..<k { x[row * k + column] *= size }
        }
        if m > 5 { for column in 1..<k { x[5 * k + column] *= 1e-5 } }
        x = c.rounded(x)
        let (w, b) = (random.normal(n * k, scale: 0.1).map(roundedToBF16), c.rounded(random.normal(n)))
        let layer = try c.backend.makeLinear(
            .dense(weight: bf16Tensor(w, [n, k]), bias: HostTensor(shape: [n], values: b)), precision: .fp8)
        let y = product(rows8(x, m, k), rows8(w, n, k), b, m, k, n)
        let meant = product(x, w, b, m, k, n)
        let input = try c.tensor([m, k], x)
        let (old, factor) = (c.rounded(random.normal(m * n)), c.rounded(random.normal(m * n)))
        let gate = random.normal(n)
        func check(_ what: String, _ epilogue: Epilogue, old: [Float]? = nil, is expected: [Double]) throws {
            let output = try c.tensor([m, n], old)
            c.backend.linear(input.tensor, layer, into: output.tensor, epilogue)
            c.compare("\(m) x \(k) -> \(n), \(what)", output, expected, 6e-3, bf16: 6e-3)
        }
        try check("codes", .none, is: y)
        try check("gelu", .activation(.geluTanh), is: y.map(gelu))
        try check("accumulate", .accumulate, old: old, is: zip(y, old).map { $0 + Double($1) })
        try check(
            "gated", .gated(try c.tensor([n], gate, .f32).tensor), old: old,
            is: y.indices.map { Double(old[$0]) + Double(gate[$0 % n]) * y[$0] })
        try check(
            "multiply", .multiply(try c.tensor([m, n], factor).tensor), is: zip(y, factor).map { $0 * Double($1) })
        let output = try c.tensor([m, n])
        c.backend.linear(input.tensor, layer, into: output.tensor, .none)
        c.compare("\(m) x \(k) -> \(n), against float", output, meant, 0.06, bf16: 0.06)
        let twice = [try c.tensor([m, n]), try c.tensor([m, n])]
        c.backend.linear(input.tensor, [layer, layer], into: twice.map(\.tensor))
        for (index, found) in twice.enumerated() {
            c.compare("\(m) x \(k) -> \(n), layer \(index) of one input", found, y, 6e-3, bf16: 6e-3)
        }
        try checkNormed(c, m, k, n, layer, w, b)
        let (codes, scale, blocks) = (quantize(w, n, k).codes, quantize(w, n, k).scale, (k + 127) / 128)
        let stored = LinearWeights.int8(
            weight: HostTensor(shape: [n, k], dtype: .i8, copying: codes.map { UInt8(bitPattern: Int8($0)) }),
            scale: HostTensor(shape: [(n + 127) / 128, blocks], values: scale),
            bias: HostTensor(shape: [n], values: b))
        let widened = (0..<n * k).map { Float(codes[$0]) * scale[$0 / k / 128 * blocks + $0 % k / 128] }
        let converted = try c.tensor([m, n])
        c.backend.linear(
            input.tensor, try c.backend.makeLinear(stored, precision: .fp8), into: converted.tensor, .none)
        c.compare(
            "\(m) x \(k) -> \(n), from int8 blocks", converted,
            product(rows8(x, m, k), rows8(widened, n, k), b, m, k, n), 6e-3, bf16: 6e-3)
    }
}

/// Norm and layers in one operation, affine and modulated.
private func checkNormed(_ c: Check, _ m: Int, _ k: Int, _ n: Int, _ layer: any Linear, _ w: [Float], _ b: [Float])
    throws
{
    guard k > 16 else { return }
    var random = Values(seed: 43)
    let x = c.rounded(random.normal(m * k).map { $0 * 3 + 1 })
    let (scale, shift) = (random.normal(k, scale: 0.3), random.normal(k, scale: 0.3))
    let (st, ht) = (try c.tensor([k], scale, .f32), try c.tensor([k], shift, .f32))
    for isModulated in [false, true] {
        let norm: RowNorm =
            isModulated
            ? .modulated(shift: ht.tensor, scale: st.tensor, epsilon: 1e-6)
            : .affine(weight: st.tensor, bias: ht.tensor, epsilon: 1e-6)
        let y = c.rounded(normed(x, m, k, factor: scale.map { isModulated ? 1 + $0 : $0 }, shift))
        let expected = product(rows8(y, m, k), rows8(w, n, k), b, m, k, n)
        let outputs = [try c.tensor([m, n]), try c.tensor([m, n])]
        c.backend.linear(
            normed: try c.tensor([m, k], x).tensor, by: norm, [layer, layer], into: outputs.map(\.tensor),
            .activation(.geluTanh), normed: try c.tensor([m, k]).tensor)
        for output in outputs {
            // A value that the norm's last bit moves across a code's edge moves by that code's step.
            c.compare(
                "\(m) x \(k) -> \(n), after a\(isModulated ? " modulated" : "n affine") norm", output,
                expected.map(gelu), 1e-2, bf16: 1e-2)
        }
    }
}

/// Rows of x less their mean, over their deviation, times `factor`, plus `shift`.
func normed(_ x: [Float], _ rows: Int, _ columns: Int, factor: [Float], _ shift: [Float]) -> [Float] {
    (0..<rows).flatMap { row in
        let values = x[row * columns..<(row + 1) * columns].map(Double.init)
        let mean = values.reduce(0, +) / Double(columns)
        let deviation = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns) + 1e-6).squareRoot()
        return values.enumerated().map { Float(($1 - mean) / deviation * Double(factor[$0]) + Double(shift[$0])) }
    }
}
