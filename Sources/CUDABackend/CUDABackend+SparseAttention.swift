import Tensors

/// The counts of one sparse attention.
struct SparseAttentionSizes {
    let tokens: Int
    let heads: Int
    let dim: Int
    let queryBlock: Int
    let keyBlock: Int
    let queryBlocks: Int
    let keyBlocks: Int
    let selected: Int

    init(_ q: Tensor, _ options: SparseAttentionOptions) {
        (tokens, heads, dim) = (q.shape[0], q.shape[1], q.shape[2])
        (queryBlock, keyBlock) = (options.queryBlock, options.keyBlock)
        queryBlocks = (tokens + queryBlock - 1) / queryBlock
        keyBlocks = (tokens + keyBlock - 1) / keyBlock
        selected = options.selectedBlocks(of: keyBlocks)
    }
}

extension CUDABackend {
    public func sparseLinearAttention(
        q: Tensor, k: Tensor, v: Tensor, projection: (any Linear)?, options: SparseAttentionOptions, blocks: Tensor?,
        into output: Tensor
    ) {
        precondition(q.shape.count == 3 && q.shape == k.shape && q.shape == v.shape, "attention \(q.shape) \(k.shape)")
        precondition(output.shape == q.shape && q.shape[0] > 0, "attention into \(output.shape)")
        precondition([k, v, output].allSatisfy { $0.dtype == q.dtype }, "attention of several types")
        let sizes = SparseAttentionSizes(q, options)
        let count = sizes.heads * sizes.queryBlocks * sizes.selected
        if let blocks {
            precondition(blocks.dtype == .i32 && blocks.elementCount == count, "blocks \(blocks.shape)")
        }
        let chosen = blocks ?? scratch([count], .i32)
        let layer = projection.map { projection in
            guard let layer = projection as? CUDALinear, case .dense = layer.weights else {
                preconditionFailure("a layer of another backend, or in int8")
            }
            return layer
        }
        let scale = 1 / Float(sizes.dim).squareRoot()
        let tensors = [q, k, v, output]
        let isEight = options.quantized && usesSage8(sizes, tensors)
        let isTurns = !options.quantized && takesTurns(sizes, tensors)
        var own = isEight ? codesAndMeans(of: q, sizes) : nil
        let mean = choose(q, k, sizes, queryMeans: own?.means, into: chosen)
        let queries = own.map { (codes: $0.codes, scale: $0.scale) }
        own = nil
        let most = isEight ? clearedMaxima(sizes) : nil
        var branch: LinearBranch?
        if let layer, isEight || isTurns, fastPaths.contains(.joined), takesBranchOnTensorCores(layer, sizes, tensors) {
            branch = linearBranch(k, v, layer, sizes, onTensorCores: true, maxima: most)
        }
        if let queries, let most {
            if branch == nil { takeMaxima(of: v, sizes, into: most) }
            attendInEightBits(
                q, queries, k, v, mean: mean, maxima: most, chosen, sizes, branch: branch, scale: scale, into: output)
        } else if isTurns {
            attendInTurns(
                q, k, v, blocks: chosen, selected: sizes.selected, branch: branch, scale: scale, into: output)
        } else {
            attendByBlocks(q, k, v, mean: mean, chosen, sizes, scale, output, quantized: options.quantized)
        }
        if let layer, branch == nil { addLinearBranch(q, k, v, layer, sizes, to: output) }
        // The problem holds addresses: what they belong to lives until the launch.
        withExtendedLifetime((chosen, branch)) {}
    }

    /// The blocks of SLA, 128 queries and 64 keys, by groups that take turns.
    private func takesTurns(_ sizes: SparseAttentionSizes, _ tensors: [Tensor]) -> Bool {
        sizes.dim == 128 && sizes.keyBlock == 64 && sizes.queryBlock == 128 && usesTurns && canUse(.attention, tensors)
    }

    private func attendByBlocks(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, mean: Tensor, _ chosen: Tensor, _ sizes: SparseAttentionSizes,
        _ scale: Float, _ output: Tensor, quantized: Bool
    ) {
        var problem = KernelAttention(
            q: q.address, k: k.address, v: v.address, out: output.address, blocks: chosen.address,
            stride: Int32(sizes.heads * sizes.dim), dim: Int32(sizes.dim), queries: Int32(sizes.tokens),
            keys: Int32(sizes.tokens), queryBlock: Int32(sizes.queryBlock), keyBlock: Int32(sizes.keyBlock),
            selected: Int32(sizes.selected), scale: scale)
        guard quantized else { return attendSparsely(problem, sizes, q, k, v, output, quantized: false) }
        let codes = sageCodes(q, k, v, mean: mean, sizes)
        withExtendedLifetime(codes) {
            (problem.q, problem.k, problem.v) = (codes.q.address, codes.k.address, codes.v.address)
            (problem.qScale, problem.kScale) = (codes.qScale.address, codes.kScale.address)
            problem.vScale = codes.vScale.address
            attendSparsely(problem, sizes, codes.q, codes.k, codes.v, output, quantized: true)
        }
    }

    private func attendSparsely(
        _ problem: KernelAttention, _ sizes: SparseAttentionSizes, _ q: Tensor, _ k: Tensor, _ v: Tensor,
        _ output: Tensor, quantized: Bool
    ) {
        guard sizes.dim == 128, [64, 128].contains(sizes.keyBlock), [64, 128].contains(sizes.queryBlock),
            canUse(.attention, [q, k, v, output])
        else {
            return attendPlainly(
                problem, heads: sizes.heads, kernel: "attend_plain_\(quantized ? "sage_" : "")\(q.dtype)")
        }
        if sizes.keyBlock == 64, sizes.queryBlock == 128, usesHopper {
            return launch(
                .attention, quantized ? "hopper_attention_sage" : "hopper_attention_128",
                grid: (sizes.queryBlocks, sizes.heads), threads: 256, shared: Self.hopperAttentionBytes, problem)
        }
        let isTall = sizes.keyBlock == 64 && sizes.queryBlock == 128 && prefersTallWarps
        let form = sizes.keyBlock == 128 ? "_wide" : isTall ? "_tall" : ""
        launch(
            .attention, (quantized ? "attend_tensor_sage" : "attend_tensor_128") + form,
            grid: (sizes.queryBlocks, sizes.heads), threads: isTall ? 128 : sizes.queryBlock * 2,
            shared: (sizes.queryBlock + 256) * 256, problem)
    }

    /// The chosen key blocks, and the mean of k f64 `[heads, dim]`.
    ///
    /// - Parameter queryMeans: of the blocks of q, if they were made before.
    private func choose(
        _ q: Tensor, _ k: Tensor, _ sizes: SparseAttentionSizes, queryMeans: Tensor?, into chosen: Tensor
    ) -> Tensor {
        let queries = queryMeans ?? scratch([sizes.heads, sizes.queryBlocks, sizes.dim], .f64)
        let keys = scratch([sizes.heads, sizes.keyBlocks, sizes.dim], .f64)
        let mean = scratch([sizes.heads, sizes.dim], .f64)
        let (tokens, dim) = (Int32(sizes.tokens), Int32(sizes.dim))
        if queryMeans == nil {
            takeMeans(of: q, sizes, blocks: sizes.queryBlocks, of: sizes.queryBlock, into: queries)
        }
        takeMeans(of: k, sizes, blocks: sizes.keyBlocks, of: sizes.keyBlock, into: keys)
        launch(
            .sparse, "center_means", grid: (sizes.heads, 1), threads: 1024, keys, mean, tokens, dim,
            Int32(sizes.keyBlock), Int32(sizes.keyBlocks))
        if sizes.dim == 128, fastPaths.contains(.choice),
            8 * sizes.keyBlocks * 8 + (10 << 10) <= device.sharedMemoryPerBlock
        {
            launch(
                .sparse, "choose_blocks_wide", grid: ((sizes.queryBlocks + 7) / 8, sizes.heads), threads: 256,
                shared: 8 * sizes.keyBlocks * 8, queries, keys, chosen, Int32(sizes.queryBlocks),
                Int32(sizes.keyBlocks), Int32(sizes.selected))
            return mean
        }
        // Beside a kilobyte of the kernel's own.
        let shared = (sizes.dim + sizes.keyBlocks) * 8
        precondition(shared + 2048 <= device.sharedMemoryPerBlock, "\(sizes.keyBlocks) key blocks")
        launch(
            .sparse, "choose_blocks", grid: (sizes.queryBlocks, sizes.heads), threads: 256, shared: shared, queries,
            keys, chosen, Int32(sizes.keyBlocks), dim, Int32(sizes.selected))
        return mean
    }

    private func takeMeans(of x: Tensor, _ sizes: SparseAttentionSizes, blocks: Int, of block: Int, into means: Tensor)
    {
        let grid = (blocks, sizes.heads)
        if sizes.dim == 128, canUse(.codes, [x]) {
            return launch(
                .sparse, "block_means_wide", grid: grid, threads: 256, x, means, Int32(sizes.tokens),
                Int32(sizes.heads), Int32(block))
        }
        launch(
            .sparse, "block_means_\(x.dtype)", grid: grid, threads: 128, x, means, Int32(sizes.tokens),
            Int32(sizes.heads), Int32(sizes.dim), Int32(block))
    }
}
