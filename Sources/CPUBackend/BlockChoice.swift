import CKernels

/// Which key blocks each query block attends to.
///
/// score = (mean of the query block) . (mean of the key block of k - mean k), no 1 / sqrt(d); the best `selected`
/// blocks, of equals the earlier one, ascending. A last partial block divides by its real size.
/// Source: TurboDiffusion SLA/core.py, utils.py `get_block_map`.
enum BlockChoice {
    /// - Parameters:
    ///   - q, k: the first token of one head, `stride` floats from token to token.
    ///   - out: `[queryBlocks, selected]`.
    static func choose(
        q: UnsafePointer<Float>, k: UnsafePointer<Float>, stride: Int, tokens: Int, dim: Int,
        options: SparseAttentionSizes, into out: UnsafeMutablePointer<Int32>
    ) {
        let queries = means(q, stride: stride, tokens: tokens, dim: dim, block: options.queryBlock)
        var keys = means(k, stride: stride, tokens: tokens, dim: dim, block: options.keyBlock)
        var mean = [Double](repeating: 0, count: dim)
        for block in 0..<options.keyBlocks {
            let size = min(options.keyBlock, tokens - block * options.keyBlock)
            for i in 0..<dim { mean[i] += keys[block * dim + i] * Double(size) / Double(tokens) }
        }
        for i in keys.indices { keys[i] -= mean[i % dim] }
        var scores = [Double](repeating: 0, count: options.keyBlocks)
        for query in 0..<options.queryBlocks {
            for key in 0..<options.keyBlocks {
                var sum = 0.0
                for i in 0..<dim { sum += queries[query * dim + i] * keys[key * dim + i] }
                scores[key] = sum
            }
            let best = scores.indices.sorted { (scores[$0], $1) > (scores[$1], $0) }
            for (n, block) in best.prefix(options.selected).sorted().enumerated() {
                out[query * options.selected + n] = Int32(block)
            }
        }
    }

    private static func means(_ x: UnsafePointer<Float>, stride: Int, tokens: Int, dim: Int, block: Int) -> [Double] {
        let blocks = (tokens + block - 1) / block
        var result = [Double](repeating: 0, count: blocks * dim)
        result.withUnsafeMutableBufferPointer { result in
            for token in 0..<tokens {
                let (row, base) = (x + token * stride, token / block * dim)
                for i in 0..<dim { result[base + i] += Double(row[i]) }
            }
            for i in result.indices {
                let size = min(block, tokens - i / dim * block)
                result[i] /= Double(size)
            }
        }
        return result
    }
}

/// The counts of one sparse attention.
struct SparseAttentionSizes {
    let queryBlock: Int
    let keyBlock: Int
    let queryBlocks: Int
    let keyBlocks: Int
    let selected: Int
}
