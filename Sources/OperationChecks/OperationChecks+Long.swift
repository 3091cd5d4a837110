import Tensors

/// Sparse attention over as many keys as films have: what a kernel keeps in shared memory grows with them.
///
/// The choice is compared whole, the attention for three blocks of queries.
func checkLongSparseAttention(_ c: Check) throws {
    guard c.margin == 64 else { return }
    // 81 frames at 480p and at 720p.
    for tokens in [32_760, 75_600] {
        let dim = 128
        var random = Values(seed: 31)
        func values() -> [Float] { c.rounded((0..<tokens * dim).map { _ in Float(random.uniform() * 4 - 2) }) }
        let (q, k, v) = (values(), values(), values())
        let all = AttentionShape(tokens, tokens, 1, dim)
        let shape = [tokens, 1, dim]
        let (qt, kt, vt) = (try c.tensor(shape, q), try c.tensor(shape, k), try c.tensor(shape, v))
        for quantized in [false, true] {
            // SageSLA's blocks are others.
            let options = SparseAttentionOptions(
                topK: 0.1, queryBlock: quantized ? 64 : 128, keyBlock: quantized ? 128 : 64, quantized: quantized)
            let choice = chosenBlocks(q, k, all, options)[0]
            let blocks = try c.backend.allocate([1, choice.count, choice[0].count], .i32)
            let output = try c.tensor(shape)
            c.backend.sparseLinearAttention(
                q: qt.tensor, k: kt.tensor, v: vt.tensor, projection: nil, options: options, blocks: blocks,
                into: output.tensor)
            let what = "\(tokens) tokens\(quantized ? ", quantised" : "")"
            c.same(what + ", chosen", c.backend.download(blocks), choice.flatMap { $0 }.map { Float($0) })
            let found = output.values()
            for block in [0, choice.count / 2, choice.count - 1] {
                let rows = block * options.queryBlock..<min(tokens, (block + 1) * options.queryBlock)
                let keys = choice[block].flatMap {
                    Array($0 * options.keyBlock..<min(tokens, ($0 + 1) * options.keyBlock))
                }
                let part = rows.lowerBound * dim..<rows.upperBound * dim
                let expected = attention(
                    Array(q[part]), k, v, AttentionShape(rows.count, tokens, 1, dim),
                    scale: 1 / Double(dim).squareRoot(), bias: { _, _, _ in 0 }, visible: { _, _ in keys })
                c.compare(
                    "\(what), queries \(rows)", Array(found[part]), edgesAreWhole: output.edgesAreWhole, expected,
                    quantized ? 0.08 : 4e-6, bf16: quantized ? 0.08 : 6e-3)
            }
        }
    }
}
