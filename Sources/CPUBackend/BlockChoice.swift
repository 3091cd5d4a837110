import CKernels

/// Which key blocks each query block attends to.
///
/// score = (mean of the query block) . (mean of the key block of k - mean k), no 1 / sqrt(d); the best `selected`
/// blocks, of equals the earlier one, ascending. A last partial block divides by its real size. In double precision.
/// Source: TurboDiffusion SLA/core.py, utils.py `get_block_map`.
struct BlockChoice {
    private let sizes: SparseAttentionSizes
    private let dim: Int
    private let kernels: dk_kernels
    /// `[queryBlocks, dim]` and `[keyBlocks, dim]`.
    private var queries: [Double]
    private var keys: [Double]

    /// - Parameters:
    ///   - q, k: the first token of one head, `stride` floats from token to token.
    init(
        q: UnsafePointer<Float>, k: UnsafePointer<Float>, stride: Int, tokens: Int, dim: Int,
        sizes: SparseAttentionSizes, kernels: dk_kernels
    ) {
        (self.sizes, self.dim, self.kernels) = (sizes, dim, kernels)
        queries = [Double](repeating: 0, count: sizes.queryBlocks * dim)
        keys = [Double](repeating: 0, count: sizes.keyBlocks * dim)
        kernels.block_means(q, stride, tokens, dim, sizes.queryBlock, &queries)
        kernels.block_means(k, stride, tokens, dim, sizes.keyBlock, &keys)
        var mean = [Double](repeating: 0, count: dim)
        for block in 0..<sizes.keyBlocks {
            let share = Double(min(sizes.keyBlock, tokens - block * sizes.keyBlock)) / Double(tokens)
            for i in 0..<dim { mean[i] += keys[block * dim + i] * share }
        }
        for block in 0..<sizes.keyBlocks {
            for i in 0..<dim { keys[block * dim + i] -= mean[i] }
        }
    }

    /// Writes the blocks of one query block, `selected` of them.
    func choose(_ query: Int, into out: UnsafeMutablePointer<Int32>) {
        var scores = [Double](repeating: 0, count: sizes.keyBlocks)
        queries.withUnsafeBufferPointer { queries in
            guard let base = queries.baseAddress else { return }
            kernels.block_scores(base + query * dim, keys, sizes.keyBlocks, dim, &scores)
        }
        let best = scores.indices.sorted { (scores[$0], $1) > (scores[$1], $0) }
        for (n, block) in best.prefix(sizes.selected).sorted().enumerated() { out[n] = Int32(block) }
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
