import Tensors

extension CUDABackend {
    public func attention(q: Tensor, k: Tensor, v: Tensor, scale: Float, bias: Tensor?, into output: Tensor) {
        precondition(q.shape.count == 3 && k.shape.count == 3 && k.shape == v.shape, "attention \(q.shape) \(k.shape)")
        let (queries, heads, dim) = (q.shape[0], q.shape[1], q.shape[2])
        let keys = k.shape[0]
        precondition(output.shape == q.shape && k.shape[1...] == q.shape[1...], "attention into \(output.shape)")
        precondition(keys > 0, "attention without keys")
        precondition([k, v, output].allSatisfy { $0.dtype == q.dtype }, "attention of several types")
        let perQuery = bias.map { $0.elementCount != keys || $0.shape.count == 3 } ?? false
        if let bias {
            precondition(bias.dtype == .f32 && (!perQuery || bias.elementCount == heads * queries * keys), "bias")
        }
        if bias == nil, heads == 1, attendByProducts(q, k, v, scale: scale, into: output) { return }
        let isTensor = (dim == 64 || dim == 128) && scale > 0 && canUse(.attention, [q, k, v, output])
        let problem = KernelAttention(
            q: q.address, k: k.address, v: v.address, out: output.address, bias: bias.address,
            biasHead: perQuery ? Int64(queries * keys) : 0, biasQuery: perQuery ? Int64(keys) : 0,
            stride: Int32(heads * dim), dim: Int32(dim), queries: Int32(queries), keys: Int32(keys),
            queryBlock: isTensor ? 128 : 16, keyBlock: 64, scale: scale)
        if isTensor, dim == 128, bias == nil || !perQuery, queries > 64, usesTurns {
            return attendInTurns(q, k, v, blocks: nil, bias: bias, scale: scale, into: output)
        }
        if isTensor, dim == 128, bias == nil || !perQuery, queries > 64, keys >= 64, usesHopper {
            return launch(
                .attention, "hopper_attention_128\(bias == nil ? "" : "_bias")", grid: ((queries + 127) / 128, heads),
                threads: 256,
                shared: Self.hopperAttentionBytes, problem)
        }
        if isTensor {
            let rows = queries <= 64 ? 64 : 128
            let isTall = dim == 128 && rows == 128 && prefersTallWarps
            return launch(
                .attention, "attend_tensor_\(dim)\(isTall ? "_tall" : "")", grid: ((queries + rows - 1) / rows, heads),
                threads: isTall ? 128 : rows * 2, shared: (rows + 4 * 64) * dim * 2, problem)
        }
        attendPlainly(problem, heads: heads, kernel: "attend_plain_\(q.dtype)")
    }

    /// Whether one head is attended to by products: where the kernels for 64 and 128 channels do not suit it.
    static func isWideHead(_ dim: Int, keys: Int) -> Bool {
        dim % 8 == 0 && (dim > 128 || (dim >= 32 && dim != 64 && dim != 128 && keys >= 64))
    }

    /// One wide head in bf16 (the VAE's): scores, softmax and sums as three passes, for some queries at a time.
    private func attendByProducts(_ q: Tensor, _ k: Tensor, _ v: Tensor, scale: Float, into output: Tensor) -> Bool {
        let (queries, keys, dim) = (q.shape[0], k.shape[0], q.shape[2])
        guard Self.isWideHead(dim, keys: keys), keys % 8 == 0, scale > 0, canUse(.products, [q, k, v, output]) else {
            return false
        }
        let values = scratch([dim, keys], .bf16)
        permute(v.reshaped([keys, dim]), axes: [1, 0], into: values)
        let rows = min(queries, max(128, (32 << 20) / keys / 128 * 128))
        let scores = scratch([rows, keys], .f32)
        let shares = scratch([rows, keys], .bf16)
        for first in stride(from: 0, to: queries, by: rows) {
            let count = min(rows, queries - first)
            let (s, p) = (scores.rows(0..<count), shares.rows(0..<count))
            let range = first..<first + count
            product(q.reshaped([queries, dim]).rows(range), k.reshaped([keys, dim]), into: s, KernelEpilogue())
            launch(.attention, "softmax_rows", grid: (count, 1), threads: 256, s, p, Int32(keys), scale)
            product(p, values, into: output.reshaped([queries, dim]).rows(range), KernelEpilogue())
        }
        return true
    }

    /// Any dim up to 700 or so, what shared memory holds.
    func attendPlainly(_ problem: KernelAttention, heads: Int, kernel: String) {
        let (dim, queries) = (Int(problem.dim), Int(problem.queries))
        var rows = dim > 256 ? 8 : 16
        while Int(problem.queryBlock) % rows != 0 { rows /= 2 }
        let shared = (rows * (2 * dim + Int(problem.keyBlock)) + 16 * (dim + 1) + 3 * rows) * 4
        precondition(shared <= device.sharedMemoryPerBlock, "heads of \(dim) channels")
        launch(
            .attention, kernel, grid: ((queries + rows - 1) / rows, heads), threads: 128, shared: shared, problem,
            Int32(rows))
    }

    /// Whether the instructions that only Hopper has may be used.
    var usesHopper: Bool { fastPaths.contains(.hopper) && device.architecture == "90a" }

    /// Queries, two tiles of keys and two of values, at a multiple of 1024.
    static let hopperAttentionBytes = 1024 + (128 + 4 * 64) * 256

    /// Where two blocks of 96 KiB fit on a multiprocessor, warps of 32 queries are faster than twice as many of 16.
    var prefersTallWarps: Bool { fastPaths.contains(.tall) && device.sharedMemoryPerBlock >= 200 << 10 }

    /// Whether a way in bf16 by 16 bytes at a time is allowed, and `tensors` suit it.
    func canUse(_ path: FastPath, _ tensors: [Tensor]) -> Bool {
        fastPaths.contains(path) && tensors.allSatisfy { $0.dtype == .bf16 && $0.isAligned(16) }
    }
}
