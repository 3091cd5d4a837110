import Foundation
import Tensors

func bf16Tensor(_ values: [Float], _ shape: [Int]) -> HostTensor {
    HostTensor(
        shape: shape, dtype: .bf16,
        copying: values.flatMap { [UInt8($0.bitPattern >> 16 & 0xFF), UInt8($0.bitPattern >> 24)] })
}

func checkLinear(_ c: Check) throws {
    let shapes = [
        (1, 1, 1), (7, 13, 5), (67, 131, 37), (13, 400, 70), (130, 33, 259), (1, 256, 96), (128, 64, 128),
        (129, 72, 136), (300, 1536, 64), (257, 200, 384), (805, 8, 300), (515, 192, 256),
    ]
    for (m, k, n) in shapes {
        var random = Values(seed: 1)
        let x = random.normal(m * k).map(roundedToBF16)
        let (w, b) = (random.normal(n * k).map(roundedToBF16), random.normal(n))
        let expected = product(x, w, b, m, k, n)
        for (kind, weight) in [("f32", HostTensor(shape: [n, k], values: w)), ("bf16", bf16Tensor(w, [n, k]))] {
            let layer = try c.backend.makeLinear(
                .dense(weight: weight, bias: HostTensor(shape: [n], values: b)), precision: .stored)
            for (input, target) in Set([[c.type, c.type], [.f32, .f32], [c.type, .f32]]).map({ ($0[0], $0[1]) }) {
                let output = try c.tensor([m, n], nil, target)
                c.backend.linear(try c.tensor([m, k], x, input).tensor, layer, into: output.tensor, .none)
                c.compare("\(m) x \(k) -> \(n), \(kind) weights, \(input) to \(target)", output, expected, 2e-6)
            }
        }
    }
    // Float32 inputs meet the weights as they were stored, not what bf16 leaves of them.
    var random = Values(seed: 20)
    let (x, w) = (random.normal(3 * 40), random.normal(24 * 40))
    let layer = try c.backend.makeLinear(
        .dense(weight: HostTensor(shape: [24, 40], values: w), bias: nil), precision: .stored)
    let output = try c.tensor([3, 24], nil, .f32)
    c.backend.linear(try c.tensor([3, 40], x, .f32).tensor, layer, into: output.tensor, .none)
    c.compare("float32 throughout", output, product(x, w, nil, 3, 40, 24), 2e-6, bf16: 2e-6)
    for (m, k, n) in [(19, 45, 41), (150, 128, 200), (300, 64, 136)] { try checkEpilogues(c, m, k, n) }
}

private func checkEpilogues(_ c: Check, _ m: Int, _ k: Int, _ n: Int) throws {
    var random = Values(seed: 2)
    let x = c.rounded(random.normal(m * k))
    let (w, b) = (random.normal(n * k, scale: 0.3).map(roundedToBF16), random.normal(n))
    let (old, factor) = (c.rounded(random.normal(m * n)), c.rounded(random.normal(m * n)))
    let gate = random.normal(n)
    let y = product(x, w, b, m, k, n)
    let layer = try c.backend.makeLinear(
        .dense(weight: HostTensor(shape: [n, k], values: w), bias: HostTensor(shape: [n], values: b)), precision: .float
    )
    let input = try c.tensor([m, k], x)
    func check(_ what: String, _ epilogue: Epilogue, old: [Float]? = nil, is expected: [Double]) throws {
        let output = try c.tensor([m, n], old)
        c.backend.linear(input.tensor, layer, into: output.tensor, epilogue)
        c.compare("\(m) x \(k) -> \(n), \(what)", output, expected, 2e-6)
    }
    try check("silu", .activation(.silu), is: y.map(silu))
    try check("gelu", .activation(.geluTanh), is: y.map(gelu))
    try check("accumulate", .accumulate, old: old, is: zip(y, old).map { $0 + Double($1) })
    try check(
        "gated", .gated(try c.tensor([n], gate, .f32).tensor), old: old,
        is: y.indices.map { Double(old[$0]) + Double(gate[$0 % n]) * y[$0] })
    try check("multiply", .multiply(try c.tensor([m, n], factor).tensor), is: zip(y, factor).map { $0 * Double($1) })
}

/// Codes and scales of blocks of 128 x 128, by the formulas alone.
func quantize(_ x: [Float], _ rows: Int, _ columns: Int) -> (codes: [Int], scale: [Float]) {
    let blocks = (columns + 127) / 128
    var codes = [Int](repeating: 0, count: x.count)
    var scale = [Float](repeating: 0, count: (rows + 127) / 128 * blocks)
    for block in scale.indices {
        let (r, c) = (block / blocks * 128, block % blocks * 128)
        let cells = (r..<min(rows, r + 128)).flatMap { row in (c..<min(columns, c + 128)).map { row * columns + $0 } }
        let most = max(1e-8, cells.map { abs(x[$0]) }.max() ?? 0)
        scale[block] = most / 128
        for cell in cells { codes[cell] = Int(max(-128, min(127, (x[cell] * (128 / most)).rounded(.toNearestOrEven)))) }
    }
    return (codes, scale)
}

/// `x w^T + bias` from codes and scales of both, x `[m, k]`, w `[n, k]`.
func int8Product(_ x: [Float], _ w: [Float], _ bias: [Float]?, _ m: Int, _ k: Int, _ n: Int) -> [Double] {
    let ((qx, sx), (qw, sw), blocks) = (quantize(x, m, k), quantize(w, n, k), (k + 127) / 128)
    var y = [Double](repeating: 0, count: m * n)
    for i in 0..<m {
        for j in 0..<n {
            for b in 0..<blocks {
                var dot = 0
                for p in b * 128..<min(k, b * 128 + 128) { dot += qx[i * k + p] * qw[j * k + p] }
                y[i * n + j] += Double(dot) * Double(sx[i / 128 * blocks + b]) * Double(sw[j / 128 * blocks + b])
            }
            y[i * n + j] += Double(bias?[j] ?? 0)
        }
    }
    return y
}

func checkInt8(_ c: Check) throws {
    for (m, k, n) in [(1, 128, 5), (131, 256, 37), (13, 200, 150), (7, 390, 33), (260, 384, 300)] {
        var random = Values(seed: 5)
        var (x, w) = (c.rounded(random.normal(m * k)), random.normal(n * k))
        // The greatest magnitudes negative: code -128 on both sides.
        for i in stride(from: 0, to: x.count, by: 3) { x[i] = -9 }
        for i in stride(from: 0, to: w.count, by: 3) { w[i] = -7 }
        let bias = c.rounded(random.normal(n))
        let ((qw, sw), blocks) = (quantize(w, n, k), (k + 127) / 128)
        let y = int8Product(x, w, bias, m, k, n)
        let input = try c.tensor([m, k], x)
        let stored = LinearWeights.int8(
            weight: HostTensor(shape: [n, k], dtype: .i8, copying: qw.map { UInt8(bitPattern: Int8($0)) }),
            scale: HostTensor(shape: [(n + 127) / 128, blocks], values: sw), bias: HostTensor(shape: [n], values: bias))
        let dense = LinearWeights.dense(
            weight: HostTensor(shape: [n, k], values: w), bias: HostTensor(shape: [n], values: bias))
        for (what, weights) in [("codes as stored", stored), ("codes made at load", dense)] {
            let layer = try c.backend.makeLinear(weights, precision: .int8)
            let output = try c.tensor([m, n])
            c.backend.linear(input.tensor, layer, into: output.tensor, .none)
            c.compare("\(m) x \(k) -> \(n), \(what)", output, y, 1e-6)
        }
        let widened = try c.tensor([m, n])
        c.backend.linear(input.tensor, try c.backend.makeLinear(stored, precision: .float), into: widened.tensor, .none)
        let values = (0..<n * k).map { Float(qw[$0]) * sw[$0 / k / 128 * blocks + $0 % k / 128] }
        c.compare("\(m) x \(k) -> \(n), widened codes", widened, product(x, values, bias, m, k, n), 2e-6, bf16: 5e-3)
    }
}
