import Foundation
import Tensors
import Testing

@testable import CPUBackend
@testable import OperationChecks

@Suite struct SparseAttentionTests {
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
        let s = AttentionShape(tokens, tokens, heads, dim)
        let choice = chosenBlocks(q, k, s, c.options)
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
        let sparse = attention(
            q, k, v, s, scale: 1 / Double(dim).squareRoot(), bias: { _, _, _ in 0 },
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
        let linear = linearBranch(q, k, v, s, weight: weight, bias: bias)
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
