import Foundation
import Tensors

func checkAttention(_ c: Check) throws {
    let shapes = [
        AttentionShape(1, 1, 1, 1), .init(5, 131, 2, 16), .init(101, 300, 1, 40), .init(33, 129, 3, 7),
        .init(1, 1, 1, 128), .init(200, 67, 2, 128), .init(131, 333, 1, 128), .init(70, 70, 3, 64),
        .init(257, 130, 2, 64), .init(50, 90, 1, 384), .init(150, 88, 1, 384), .init(131, 200, 1, 192),
        .init(70, 300, 2, 128), .init(260, 32, 1, 128),
    ]
    for s in shapes {
        var random = Values(seed: 7)
        let q = c.rounded(random.normal(s.queries * s.heads * s.dim, scale: s.dim >= 64 ? 1 : 2))
        let k = c.rounded(random.normal(s.keys * s.heads * s.dim, scale: s.dim >= 64 ? 1 : 2))
        let v = c.rounded(random.normal(s.keys * s.heads * s.dim))
        let wide = random.normal(s.heads * s.queries * s.keys)
        let shared = random.normal(s.keys)
        let scale: Float = s.dim >= 64 ? 0.088 : 0.37
        let biases: [(String, Guarded?, (Int, Int, Int) -> Double)] = [
            ("no bias", nil, { _, _, _ in 0 }),
            (
                "a bias for each pair", try c.tensor([s.heads, s.queries, s.keys], wide, .f32),
                { Double(wide[($0 * s.queries + $1) * s.keys + $2]) }
            ),
            ("a bias for each key", try c.tensor([s.keys], shared, .f32), { Double(shared[$2]) }),
        ]
        for (what, bias, value) in biases {
            let output = try c.tensor([s.queries, s.heads, s.dim])
            c.backend.attention(
                q: try c.tensor([s.queries, s.heads, s.dim], q).tensor,
                k: try c.tensor([s.keys, s.heads, s.dim], k).tensor,
                v: try c.tensor([s.keys, s.heads, s.dim], v).tensor, scale: scale, bias: bias?.tensor,
                into: output.tensor)
            let expected = attention(q, k, v, s, scale: Double(scale), bias: value)
            c.compare("\(s.text), \(what)", output, expected, 3e-6, bf16: 6e-3)
        }
    }
    // Keys masked by the lowest float do not count, whole blocks of them neither.
    for (queries, dim) in [(9, 8), (9, 128), (133, 128)] {
        let s = AttentionShape(queries, 300, 1, dim)
        var random = Values(seed: 8)
        let (q, k) = (c.rounded(random.normal(s.queries * dim)), c.rounded(random.normal(s.keys * dim)))
        let v = c.rounded(random.normal(s.keys * dim))
        for range in [0..<3, 200..<260, 299..<300] {
            let bias = (0..<s.keys).map { range.contains($0) ? Float(0) : -.greatestFiniteMagnitude }
            let output = try c.tensor([s.queries, 1, dim])
            c.backend.attention(
                q: try c.tensor([s.queries, 1, dim], q).tensor, k: try c.tensor([s.keys, 1, dim], k).tensor,
                v: try c.tensor([s.keys, 1, dim], v).tensor, scale: 1, bias: try c.tensor([s.keys], bias, .f32).tensor,
                into: output.tensor)
            c.compare(
                "only keys \(range) of \(s.text)", output,
                attention(q, k, v, s, scale: 1, bias: { _, _, _ in 0 }, visible: { _, _ in Array(range) }), 3e-6,
                bf16: 6e-3)
        }
    }
}

/// The chosen key blocks of each head and query block.
func chosenBlocks(_ q: [Float], _ k: [Float], _ s: AttentionShape, _ o: SparseAttentionOptions) -> [[[Int]]] {
    func at(_ x: [Float], _ token: Int, _ head: Int, _ c: Int) -> Double {
        Double(x[(token * s.heads + head) * s.dim + c])
    }
    return (0..<s.heads).map { h in
        let mean = (0..<s.dim).map { c in (0..<s.keys).reduce(0.0) { $0 + at(k, $1, h, c) } / Double(s.keys) }
        func pooled(_ block: Int, _ value: (Int, Int) -> Double) -> [[Double]] {
            stride(from: 0, to: s.keys, by: block).map { first in
                let range = first..<min(s.keys, first + block)
                return (0..<s.dim).map { c in range.reduce(0.0) { $0 + value($1, c) } / Double(range.count) }
            }
        }
        let keys = pooled(o.keyBlock) { at(k, $0, h, $1) - mean[$1] }
        return pooled(o.queryBlock) { at(q, $0, h, $1) }.map { query in
            let scores = keys.map { zip($0, query).reduce(0.0) { $0 + $1.0 * $1.1 } }
            let order = scores.indices.sorted { scores[$0] > scores[$1] }
            return order.prefix(o.selectedBlocks(of: keys.count)).sorted()
        }
    }
}

/// `projection` of the linear branch, `[tokens, heads, dim]`.
func linearBranch(
    _ q: [Float], _ k: [Float], _ v: [Float], _ s: AttentionShape, weight: [Float], bias: [Float]
) -> [Double] {
    let (tokens, heads, dim) = (s.keys, s.heads, s.dim)
    func phi(_ x: [Float], _ token: Int, _ head: Int) -> [Double] {
        let row = x[(token * heads + head) * dim..<(token * heads + head + 1) * dim].map(Double.init)
        let top = row.max() ?? 0
        let e = row.map { exp($0 - top) }
        let total = e.reduce(0, +)
        return e.map { $0 / total }
    }
    var out = [Double](repeating: 0, count: q.count)
    for h in 0..<heads {
        var state = [Double](repeating: 0, count: dim * dim)
        var sum = [Double](repeating: 0, count: dim)
        for t in 0..<tokens {
            let p = phi(k, t, h)
            for i in 0..<dim {
                sum[i] += p[i]
                for j in 0..<dim { state[i * dim + j] += p[i] * Double(v[(t * heads + h) * dim + j]) }
            }
        }
        for t in 0..<tokens {
            let p = phi(q, t, h)
            let below = 1e-5 + zip(p, sum).reduce(0.0) { $0 + $1.0 * $1.1 }
            let linear = (0..<dim).map { j in (0..<dim).reduce(0.0) { $0 + p[$1] * state[$1 * dim + j] } / below }
            for j in 0..<dim {
                out[(t * heads + h) * dim + j] =
                    (0..<dim).reduce(Double(bias[j])) { $0 + Double(weight[j * dim + $1]) * linear[$1] }
            }
        }
    }
    return out
}

func checkSparseAttention(_ c: Check) throws {
    let cases: [(Int, Int, Int, SparseAttentionOptions)] = [
        (201, 2, 32, .init(topK: 0.5, queryBlock: 128, keyBlock: 64)),
        (97, 1, 32, .init(topK: 0.01, queryBlock: 16, keyBlock: 24)),
        (33, 1, 32, .init(topK: 1, queryBlock: 64, keyBlock: 128)),
        (467, 2, 128, .init(topK: 0.3, queryBlock: 128, keyBlock: 64)),
        (300, 1, 128, .init(topK: 0.5, queryBlock: 64, keyBlock: 128)),
        (705, 2, 128, .init(topK: 0.4, queryBlock: 64, keyBlock: 128)),
        (131, 1, 128, .init(topK: 1, queryBlock: 128, keyBlock: 128)),
        // As many key blocks as 81 frames at 720p have, of two keys each.
        (2364, 1, 32, .init(topK: 0.1, queryBlock: 128, keyBlock: 2)),
    ]
    for (tokens, heads, dim, options) in cases {
        let s = AttentionShape(tokens, tokens, heads, dim)
        var random = Values(seed: 19)
        let count = tokens * heads * dim
        let (q, v) = (c.rounded(random.normal(count)), c.rounded(random.normal(count)))
        let k = c.rounded(random.normal(count).map { $0 + 2 })
        let weight = c.rounded(random.normal(dim * dim, scale: 0.2))
        let bias = random.normal(dim)
        let layer = try c.backend.makeLinear(
            .dense(
                weight: HostTensor(shape: [dim, dim], values: weight), bias: HostTensor(shape: [dim], values: bias)),
            precision: .float)
        let choice = chosenBlocks(q, k, s, options)
        let shape = [tokens, heads, dim]
        let (qt, kt, vt) = (try c.tensor(shape, q), try c.tensor(shape, k), try c.tensor(shape, v))
        let what = "\(tokens) tokens, \(heads) heads of \(dim), blocks of \(options.queryBlock) and \(options.keyBlock)"
        func run(_ what: String, _ projection: (any Linear)?, _ options: SparseAttentionOptions) throws -> Guarded {
            let blocks = try c.backend.allocate([heads, choice[0].count, choice[0][0].count], .i32)
            let output = try c.tensor(shape)
            c.backend.sparseLinearAttention(
                q: qt.tensor, k: kt.tensor, v: vt.tensor, projection: projection, options: options, blocks: blocks,
                into: output.tensor)
            c.same(
                what + ", chosen", c.backend.download(blocks), choice.flatMap { $0.flatMap { $0 } }.map { Float($0) })
            return output
        }
        let sparse = attention(
            q, k, v, s, scale: 1 / Double(dim).squareRoot(), bias: { _, _, _ in 0 },
            visible: { head, token in
                choice[head][token / options.queryBlock].flatMap {
                    $0 * options.keyBlock..<min(tokens, ($0 + 1) * options.keyBlock)
                }
            })
        c.compare(what, try run(what, nil, options), sparse, 4e-6, bf16: 6e-3)
        let linear = linearBranch(q, k, v, s, weight: weight, bias: bias)
        c.compare(
            what + ", linear branch", try run(what, layer, options), zip(sparse, linear).map { $0 + $1 }, 4e-6,
            bf16: 8e-3)
        var quantized = options
        quantized.quantized = true
        // Eight bits leave a few per cent; the reference cases of SageSLA are sharper.
        c.compare(what + ", quantised", try run(what, nil, quantized), sparse, 0.08, bf16: 0.08)
        // The branch is not quantised: what it adds is as exact as without.
        let both = zip(try run(what, layer, quantized).values(), try run(what, nil, quantized).values())
        c.compare(
            what + ", what the linear branch adds to it", both.map { $0 - $1 }, edgesAreWhole: true, linear, 4e-6,
            bf16: 1.2e-2)
    }
    // Equal scores: the earlier block.
    let zeros = try c.tensor([64, 1, 8], [Float](repeating: 0, count: 512))
    let blocks = try c.backend.allocate([1, 2, 2], .i32)
    c.backend.sparseLinearAttention(
        q: zeros.tensor, k: zeros.tensor, v: zeros.tensor, projection: nil,
        options: .init(topK: 0.5, queryBlock: 32, keyBlock: 16), blocks: blocks,
        into: try c.tensor([64, 1, 8]).tensor)
    c.same("ties", c.backend.download(blocks), [0, 1, 0, 1])
}
