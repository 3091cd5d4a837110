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
        let mean = choose(q, k, sizes, into: chosen)
        var problem = KernelAttention(
            q: q.address, k: k.address, v: v.address, out: output.address, blocks: chosen.address,
            stride: Int32(sizes.heads * sizes.dim), dim: Int32(sizes.dim), queries: Int32(sizes.tokens),
            keys: Int32(sizes.tokens), queryBlock: Int32(sizes.queryBlock), keyBlock: Int32(sizes.keyBlock),
            selected: Int32(sizes.selected), scale: 1 / Float(sizes.dim).squareRoot())
        // The problem holds addresses: what they belong to must live until the launch.
        withExtendedLifetime(chosen) {
            if options.quantized {
                let codes = sageCodes(q, k, v, mean, sizes)
                withExtendedLifetime(codes) {
                    (problem.q, problem.k, problem.v) = (codes.q.address, codes.k.address, codes.v.address)
                    (problem.qScale, problem.kScale) = (codes.qScale.address, codes.kScale.address)
                    problem.vScale = codes.vScale.address
                    attendSparsely(problem, sizes, codes.q, codes.k, codes.v, output, quantized: true)
                }
            } else {
                attendSparsely(problem, sizes, q, k, v, output, quantized: false)
            }
        }
        if let projection {
            guard let layer = projection as? CUDALinear, case .dense(let weight) = layer.weights else {
                preconditionFailure("a layer of another backend, or in int8")
            }
            precondition(layer.inputSize == sizes.dim && layer.outputSize == sizes.dim, "projection of \(sizes.dim)")
            addLinearBranch(q, k, v, weight, layer.bias, sizes, to: output)
        }
    }

    private func attendSparsely(
        _ problem: KernelAttention, _ sizes: SparseAttentionSizes, _ q: Tensor, _ k: Tensor, _ v: Tensor,
        _ output: Tensor, quantized: Bool
    ) {
        guard sizes.dim == 128, [64, 128].contains(sizes.keyBlock), [64, 128].contains(sizes.queryBlock),
            canUseTensorCores([q, k, v, output])
        else {
            return attendPlainly(
                problem, heads: sizes.heads, kernel: "attend_plain_\(quantized ? "sage_" : "")\(q.dtype)")
        }
        let wide = sizes.keyBlock == 128
        let name = quantized ? "attend_tensor_sage" : "attend_tensor_128"
        launch(
            .attention, name + (wide ? "_wide" : ""), grid: (sizes.queryBlocks, sizes.heads),
            threads: sizes.queryBlock * 2, shared: (sizes.queryBlock + 256) * 256, problem)
    }

    /// The chosen key blocks, and the mean of k f64 `[heads, dim]`.
    private func choose(_ q: Tensor, _ k: Tensor, _ sizes: SparseAttentionSizes, into chosen: Tensor) -> Tensor {
        let queries = scratch([sizes.heads, sizes.queryBlocks, sizes.dim], .f64)
        let keys = scratch([sizes.heads, sizes.keyBlocks, sizes.dim], .f64)
        let mean = scratch([sizes.heads, sizes.dim], .f64)
        let (tokens, heads, dim) = (Int32(sizes.tokens), Int32(sizes.heads), Int32(sizes.dim))
        launch(
            .sparse, "block_means_\(q.dtype)", grid: (sizes.queryBlocks, sizes.heads), threads: 128, q, queries, tokens,
            heads, dim, Int32(sizes.queryBlock))
        launch(
            .sparse, "block_means_\(k.dtype)", grid: (sizes.keyBlocks, sizes.heads), threads: 128, k, keys, tokens,
            heads, dim, Int32(sizes.keyBlock))
        launch(
            .sparse, "center_means", grid: (sizes.heads, 1), threads: 1024, keys, mean, tokens, dim,
            Int32(sizes.keyBlock), Int32(sizes.keyBlocks))
        let shared = (sizes.dim + sizes.keyBlocks) * 8
        precondition(shared <= device.sharedMemoryPerBlock, "\(sizes.keyBlocks) key blocks")
        launch(
            .sparse, "choose_blocks", grid: (sizes.queryBlocks, sizes.heads), threads: 256, shared: shared, queries,
            keys, chosen, Int32(sizes.keyBlocks), dim, Int32(sizes.selected))
        return mean
    }

    /// `output += projection(phi(q) (phi(k)^T v) / (1e-5 + phi(q) . sum phi(k)))`.
    private func addLinearBranch(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, _ weight: Tensor, _ bias: Tensor?, _ sizes: SparseAttentionSizes,
        to output: Tensor
    ) {
        precondition(sizes.dim <= 128, "a linear branch of \(sizes.dim) channels")
        let (tokens, heads, dim) = (Int32(sizes.tokens), Int32(sizes.heads), Int32(sizes.dim))
        let chunk = 1024
        let chunks = (sizes.tokens + chunk - 1) / chunk
        let size = sizes.dim * (sizes.dim + 1)
        let parts = scratch([sizes.heads, chunks, size], .f32)
        let states = scratch([sizes.heads, size], .f32)
        let folded = scratch([sizes.heads, sizes.dim, sizes.dim], .f32)
        launch(
            .sparse, "branch_state_\(k.dtype)", grid: (chunks, sizes.heads), threads: 256, k, v, parts, tokens, heads,
            dim, Int32(chunk))
        launchElements(
            .sparse, "branch_sum", count: sizes.heads * size, parts, states, heads, Int32(chunks), Int32(size))
        launch(
            .sparse, "branch_fold_\(weight.dtype)", grid: (sizes.dim, sizes.heads), threads: 128, states, weight,
            folded,
            dim)
        launch(
            .sparse, "branch_apply_\(q.dtype)", grid: ((sizes.tokens + 63) / 64, sizes.heads), threads: 256,
            shared: (128 * 128 + 64 * 128 + 128 + 64) * 4, q, folded, states, bias, output, tokens, heads, dim)
    }

    /// SageSLA's codes, in the type of the inputs (which holds them exactly), and their scales.
    private func sageCodes(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, _ mean: Tensor, _ sizes: SparseAttentionSizes
    ) -> (q: Tensor, k: Tensor, v: Tensor, qScale: Tensor, kScale: Tensor, vScale: Tensor) {
        let (tokens, heads, dim) = (Int32(sizes.tokens), Int32(sizes.heads), Int32(sizes.dim))
        let width = sizes.heads * sizes.dim
        let (queries, keys) = (scratch(q.shape, q.dtype), scratch(k.shape, k.dtype))
        let values = scratch(v.shape, v.dtype)
        let qScale = scratch([sizes.heads, sizes.queryBlocks], .f32)
        let kScale = scratch([sizes.heads, sizes.keyBlocks], .f32)
        let (most, vScale) = (scratch([width], .f32), scratch([width], .f32))
        launch(
            .sparse, "sage_codes_\(q.dtype)", grid: (sizes.queryBlocks, sizes.heads), threads: 256, q, UInt64(0),
            queries, qScale, tokens, heads, dim, Int32(sizes.queryBlock))
        launch(
            .sparse, "sage_codes_\(k.dtype)", grid: (sizes.keyBlocks, sizes.heads), threads: 256, k, mean, keys, kScale,
            tokens, heads, dim, Int32(sizes.keyBlock))
        must { try stream.clear(most.address, most.byteCount) }
        launch(
            .sparse, "sage_maxima_\(v.dtype)", grid: ((sizes.tokens + 127) / 128, sizes.heads), threads: 128, v, most,
            tokens, heads, dim)
        launchElements(
            .sparse, "sage_values_\(v.dtype)", count: v.elementCount, v, most, values, Int64(v.elementCount),
            Int32(width))
        launchElements(.sparse, "sage_value_scale", count: width, most, vScale, Int32(width))
        return (queries, keys, values, qScale, kScale, vScale)
    }
}
