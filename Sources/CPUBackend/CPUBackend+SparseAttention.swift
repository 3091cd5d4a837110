import CKernels
import Foundation
import Tensors

extension CPUBackend {
    public func sparseLinearAttention(
        q: Tensor, k: Tensor, v: Tensor, projection: (any Linear)?, options: SparseAttentionOptions, blocks: Tensor?,
        into output: Tensor
    ) {
        precondition(q.shape.count == 3 && q.shape == k.shape && q.shape == v.shape, "attention \(q.shape) \(k.shape)")
        precondition(output.shape == q.shape, "attention into \(output.shape)")
        let (tokens, heads, dim) = (q.shape[0], q.shape[1], q.shape[2])
        let keyBlocks = (tokens + options.keyBlock - 1) / options.keyBlock
        let sizes = SparseAttentionSizes(
            queryBlock: options.queryBlock, keyBlock: options.keyBlock,
            queryBlocks: (tokens + options.queryBlock - 1) / options.queryBlock, keyBlocks: keyBlocks,
            selected: options.selectedBlocks(of: keyBlocks))
        if let blocks {
            precondition(
                blocks.dtype == .i32 && blocks.elementCount == heads * sizes.queryBlocks * sizes.selected,
                "blocks \(blocks.shape)")
        }
        let problem = SparseProblem(
            q: q.floats, k: k.floats, v: v.floats, out: output.floats, tokens: tokens, heads: heads, dim: dim,
            sizes: sizes)
        var chosen = [Int32](repeating: 0, count: heads * sizes.queryBlocks * sizes.selected)
        chosen.withUnsafeMutableBufferPointer { chosen in
            guard let base = chosen.baseAddress else { return }
            choose(problem, into: base)
            if let blocks { memcpy(blocks.pointer, base, chosen.count * 4) }
            let headsAtOnce = max(1, min(heads, (64 << 20) / (tokens * dim * 8)))
            for first in stride(from: 0, to: heads, by: headsAtOnce) {
                attendSparsely(problem, first..<min(heads, first + headsAtOnce), base, quantized: options.quantized)
            }
        }
        if let projection {
            guard let layer = projection as? CPULinear else { preconditionFailure("a layer of another backend") }
            precondition(layer.inputSize == dim && layer.outputSize == dim, "projection of \(dim) channels")
            addLinearBranch(problem, layer)
        }
    }

    private func choose(_ p: SparseProblem, into chosen: UnsafeMutablePointer<Int32>) {
        let (pool, kernels) = (self.pool, self.kernels)
        let choices = UnsafeMutablePointer<BlockChoice?>.allocate(capacity: p.heads)
        choices.initialize(repeating: nil, count: p.heads)
        defer {
            choices.deinitialize(count: p.heads)
            choices.deallocate()
        }
        pool.run(p.heads) { head, _ in
            choices[head] = BlockChoice(
                q: p.q + head * p.dim, k: p.k + head * p.dim, stride: p.stride, tokens: p.tokens, dim: p.dim,
                sizes: p.sizes, kernels: kernels)
        }
        pool.run(p.heads * p.sizes.queryBlocks) { index, _ in
            choices[index / p.sizes.queryBlocks]?.choose(
                index % p.sizes.queryBlocks, into: chosen + index * p.sizes.selected)
        }
    }

    private func attendSparsely(
        _ p: SparseProblem, _ heads: Range<Int>, _ chosen: UnsafePointer<Int32>, quantized: Bool
    ) {
        let sage = quantized ? SageHeads(p, heads, pool) : nil
        let packed =
            if let sage {
                PackedKeys(
                    k: sage.k, v: sage.v, stride: p.dim, headStride: p.tokens * p.dim, heads: heads.count,
                    keys: p.tokens, dim: p.dim, block: p.sizes.keyBlock, backend: self)
            } else {
                PackedKeys(
                    k: p.k + heads.lowerBound * p.dim, v: p.v + heads.lowerBound * p.dim, stride: p.stride,
                    heads: heads.count, keys: p.tokens, dim: p.dim, block: p.sizes.keyBlock, backend: self)
            }
        let (pool, kernels) = (self.pool, self.kernels)
        let (queryBlock, queryBlocks, selected) = (p.sizes.queryBlock, p.sizes.queryBlocks, p.sizes.selected)
        pool.run(heads.count * queryBlocks) { index, worker in
            let (local, block) = (index / queryBlocks, index % queryBlocks)
            let head = heads.lowerBound + local
            var problem = packed.problem(head: local)
            problem.queries = p.tokens
            problem.scale = 1 / Float(p.dim).squareRoot()
            problem.q = p.q + head * p.dim
            problem.q_stride = p.stride
            problem.out = p.out + head * p.dim
            problem.out_stride = p.stride
            if let sage { sage.set(&problem, head: local, queryBlock: block) }
            let rows = block * queryBlock..<min(p.tokens, (block + 1) * queryBlock)
            kernels.attend(
                &problem, rows.lowerBound, rows.upperBound, chosen + (head * queryBlocks + block) * selected, selected,
                pool.scratch(worker, kernels.attention_scratch(&problem, rows.count)))
        }
    }

    /// `output += projection(phi(q) (phi(k)^T v) / (1e-5 + phi(q) . sum phi(k)))`.
    private func addLinearBranch(_ p: SparseProblem, _ layer: CPULinear) {
        let (pool, kernels, dim) = (self.pool, self.kernels, p.dim)
        let width = kernels.panel_floats(1, dim)
        let chunk = 1024
        let chunks = (p.tokens + chunk - 1) / chunk
        let (stateSize, partSize) = (dim * width, dim * width + dim)
        let parts = HostStorage(byteCount: p.heads * chunks * partSize * 4)
        let sums = parts.memory.floats
        pool.run(p.heads * chunks) { index, worker in
            let (head, first) = (index / chunks, index % chunks * chunk)
            let part = sums + index * partSize
            let at = first * p.stride + head * dim
            kernels.branch_state(
                p.k + at, p.stride, p.v + at, p.stride, min(chunk, p.tokens - first), dim, part, part + stateSize,
                pool.scratch(worker, kernels.branch_scratch(dim, 1)))
        }
        let states = HostStorage(byteCount: p.heads * stateSize * 4)
        pool.run(p.heads) { head, _ in
            let total = sums + head * chunks * partSize
            for part in 1..<max(chunks, 1) { kernels.add(total, total + part * partSize, partSize) }
            kernels.pack_rows(total, width, dim, dim, states.memory.floats + head * stateSize)
        }
        let weights = layer.floatPanels(kernels)
        let rowTasks = (p.tokens + Self.queryRows - 1) / Self.queryRows
        let bias = layer.bias ?? [Float](repeating: 0, count: dim)
        bias.withUnsafeBufferPointer { bias in
            pool.run(p.heads * rowTasks) { index, worker in
                let (head, task) = (index / rowTasks, index % rowTasks)
                var problem = dk_linear_branch()
                problem.q = p.q + head * dim
                problem.q_stride = p.stride
                problem.dim = dim
                problem.state_panels = UnsafePointer(states.memory.floats) + head * stateSize
                problem.key_sum = UnsafePointer(sums) + head * chunks * partSize + stateSize
                problem.projection = UnsafePointer(weights.memory.floats)
                problem.bias = bias.baseAddress
                problem.out = p.out + head * dim
                problem.out_stride = p.stride
                let rows = task * Self.queryRows..<min(p.tokens, (task + 1) * Self.queryRows)
                kernels.branch(
                    &problem, rows.lowerBound, rows.upperBound,
                    pool.scratch(worker, kernels.branch_scratch(dim, rows.count)))
            }
        }
    }
}

/// Pointers and sizes of one sparse attention; tokens are `stride` floats apart.
struct SparseProblem {
    let q: UnsafePointer<Float>
    let k: UnsafePointer<Float>
    let v: UnsafePointer<Float>
    let out: UnsafeMutablePointer<Float>
    let tokens: Int
    let heads: Int
    let dim: Int
    let sizes: SparseAttentionSizes
    var stride: Int { heads * dim }

    init(
        q: UnsafeMutablePointer<Float>, k: UnsafeMutablePointer<Float>, v: UnsafeMutablePointer<Float>,
        out: UnsafeMutablePointer<Float>, tokens: Int, heads: Int, dim: Int, sizes: SparseAttentionSizes
    ) {
        self.q = UnsafePointer(q)
        self.k = UnsafePointer(k)
        self.v = UnsafePointer(v)
        self.out = out
        self.tokens = tokens
        self.heads = heads
        self.dim = dim
        self.sizes = sizes
    }

    /// One head of `x` as `[tokens, dim]`.
    func matrix(_ x: UnsafePointer<Float>, head: Int) -> [Float] {
        [Float](unsafeUninitializedCapacity: tokens * dim) { values, count in
            for token in 0..<tokens {
                values.baseAddress.unsafelyUnwrapped.advanced(by: token * dim)
                    .update(from: x + token * stride + head * dim, count: dim)
            }
            count = tokens * dim
        }
    }
}
