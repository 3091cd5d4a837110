import Foundation
import Tensors
import Testing

@testable import CPUBackend

@Suite struct SparseAttentionTests {
    /// The chosen key blocks of each head and query block.
    static func choice(_ q: [Float], _ k: [Float], _ tokens: Int, _ heads: Int, _ dim: Int, _ o: SparseAttentionOptions)
        -> [[[Int]]]
    {
        func at(_ x: [Float], _ token: Int, _ head: Int, _ c: Int) -> Double {
            Double(x[(token * heads + head) * dim + c])
        }
        return (0..<heads).map { h in
            let mean = (0..<dim).map { c in (0..<tokens).reduce(0.0) { $0 + at(k, $1, h, c) } / Double(tokens) }
            func pooled(_ block: Int, _ value: (Int, Int) -> Double) -> [[Double]] {
                stride(from: 0, to: tokens, by: block).map { first in
                    let range = first..<min(tokens, first + block)
                    return (0..<dim).map { c in range.reduce(0.0) { $0 + value($1, c) } / Double(range.count) }
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
    static func branch(
        _ q: [Float], _ k: [Float], _ v: [Float], _ tokens: Int, _ heads: Int, _ dim: Int, weight: [Float],
        bias: [Float]
    ) -> [Double] {
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

    @Test(
        arguments: backends,
        [
            (201, 2, SparseAttentionOptions(topK: 0.5, queryBlock: 128, keyBlock: 64)),
            (97, 1, SparseAttentionOptions(topK: 0.01, queryBlock: 16, keyBlock: 24)),
            (33, 1, SparseAttentionOptions(topK: 1, queryBlock: 64, keyBlock: 128)),
        ]) func exact(_ backend: CPUBackend, _ c: (tokens: Int, heads: Int, options: SparseAttentionOptions)) throws
    {
        let (tokens, heads, dim) = (c.tokens, c.heads, 32)
        var random = Values(seed: 19)
        let count = tokens * heads * dim
        let (q, k, v) = (random.normal(count), random.normal(count).map { $0 + 2 }, random.normal(count))
        let (weight, bias) = (random.normal(dim * dim, scale: 0.2), random.normal(dim))
        let layer = try backend.makeLinear(
            .dense(
                weight: HostTensor(shape: [dim, dim], values: weight), bias: HostTensor(shape: [dim], values: bias)),
            precision: .float)
        let choice = Self.choice(q, k, tokens, heads, dim, c.options)
        let shape = [tokens, heads, dim]
        let (qt, kt) = (try Guarded(backend, shape, q), try Guarded(backend, shape, k))
        let vt = try Guarded(backend, shape, v)
        let chosen = choice.flatMap { $0.flatMap { $0 } }
        let blocks = try backend.allocate([heads, choice[0].count, choice[0][0].count], .i32)
        let output = try Guarded(backend, shape)
        backend.sparseLinearAttention(
            q: qt.tensor, k: kt.tensor, v: vt.tensor, projection: nil, options: c.options, blocks: blocks,
            into: output.tensor)
        #expect(backend.download(blocks) == chosen.map { Float($0) })
        let sparse = AttentionTests.reference(
            q, k, v, .init(tokens, tokens, heads, dim), scale: 1 / Double(dim).squareRoot(), bias: { _, _, _ in 0 },
            visible: { head, token in
                choice[head][token / c.options.queryBlock].flatMap {
                    $0 * c.options.keyBlock..<min(tokens, ($0 + 1) * c.options.keyBlock)
                }
            })
        #expect(relativeError(output.values(backend), sparse) < 2e-6)
        let whole = try Guarded(backend, shape)
        backend.sparseLinearAttention(
            q: qt.tensor, k: kt.tensor, v: vt.tensor, projection: layer, options: c.options, blocks: nil,
            into: whole.tensor)
        let linear = Self.branch(q, k, v, tokens, heads, dim, weight: weight, bias: bias)
        #expect(relativeError(whole.values(backend), zip(sparse, linear).map { $0 + $1 }) < 2e-6)
    }

    /// Equal scores: the earlier block.
    @Test func tiesGoToTheEarlierBlock() throws {
        let backend = CPUBackend(threads: 1)
        let zeros = try backend.upload(
            HostTensor(shape: [64, 1, 8], values: [Float](repeating: 0, count: 512)), as: .f32)
        let blocks = try backend.allocate([1, 2, 2], .i32)
        let output = try backend.allocate([64, 1, 8], .f32)
        backend.sparseLinearAttention(
            q: zeros, k: zeros, v: zeros, projection: nil,
            options: .init(topK: 0.5, queryBlock: 32, keyBlock: 16), blocks: blocks, into: output)
        #expect(backend.download(blocks) == [0, 1, 0, 1])
    }

    @Test(arguments: backends) func golden(_ backend: CPUBackend) throws {
        let inputs = try GoldenFile("sla/s1_inputs.safetensors")
        let expected = try GoldenFile("sla/s1_q128_k64_topk0_5.safetensors")
        let linear = try GoldenFile("sla/s1_linear.safetensors")
        try check(
            backend, inputs, heads: 2, options: .init(topK: 0.5, queryBlock: 128, keyBlock: 64), step: 3,
            blocks: expected["block_index"].floats(), sparse: expected["o_s"].floats(), whole: expected["o"].floats(),
            tolerance: 2e-5)
        #expect(linear["o_l"].shape == [1, 2, 67, 128])
    }

    @Test(arguments: backends) func goldenSage(_ backend: CPUBackend) throws {
        let inputs = try GoldenFile("sagesla/a_inputs.safetensors")
        let expected = try GoldenFile("sagesla/a_q64_k128_topk0_5.safetensors")
        try check(
            backend, inputs, heads: 1, options: .init(topK: 0.5, queryBlock: 64, keyBlock: 128, quantized: true),
            step: 4, blocks: expected["block_index"].floats(), sparse: expected["o_s_f32"].floats(),
            whole: expected["o"].floats(), tolerance: 0.005)
    }

    private func check(
        _ backend: CPUBackend, _ inputs: GoldenFile, heads: Int, options: SparseAttentionOptions, step: Int,
        blocks: [Float], sparse: [Float], whole: [Float], tolerance: Double
    ) throws {
        let tokens = inputs["q"].shape[2]
        let shape = [tokens, heads, 128]
        func input(_ name: String) throws -> Guarded {
            try Guarded(backend, shape, exchanged(inputs[name].floats(), heads, tokens, 128))
        }
        let (q, k, v) = (try input("q"), try input("k"), try input("v"))
        let layer = try backend.makeLinear(
            .dense(weight: inputs["proj_l_weight"], bias: inputs["proj_l_bias"]), precision: .stored)
        let queryBlocks = (tokens + options.queryBlock - 1) / options.queryBlock
        let chosen = try backend.allocate([heads, queryBlocks, blocks.count / heads / queryBlocks], .i32)
        for (projection, expected) in [(nil, sparse), (layer, whole)] {
            let output = try Guarded(backend, shape)
            backend.sparseLinearAttention(
                q: q.tensor, k: k.tensor, v: v.tensor, projection: projection, options: options, blocks: chosen,
                into: output.tensor)
            let byHead = exchanged(output.values(backend), tokens, heads, 128)
            var kept: [Float] = []
            for head in 0..<heads {
                for token in stride(from: 0, to: tokens, by: step) {
                    let start = (head * tokens + token) * 128
                    kept += byHead[start..<start + 128]
                }
            }
            #expect(relativeError(kept, doubles(expected)) < tolerance)
            #expect(backend.download(chosen) == blocks)
        }
    }

    @Test func goldenCounts() throws {
        struct Table: Decodable { let rows: [[Double]] }
        let table = try JSONDecoder().decode(
            Table.self, from: Data(contentsOf: GoldenFile.folder.appending(path: "sla/topk_count.json")))
        #expect(table.rows.count > 100)
        for row in table.rows {
            let options = SparseAttentionOptions(topK: row[1])
            // Where upstream takes none, one block is taken.
            #expect(options.selectedBlocks(of: Int(row[0])) == max(1, Int(row[2])), "\(row)")
        }
    }
}
