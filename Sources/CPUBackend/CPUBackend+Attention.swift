import CKernels
import Foundation
import Tensors

extension CPUBackend {
    /// Keys that are scored at once.
    static let denseKeyBlock = 128
    /// Queries of one task.
    static let queryRows = 96

    public func attention(q: Tensor, k: Tensor, v: Tensor, scale: Float, bias: Tensor?, into output: Tensor) {
        precondition(q.shape.count == 3 && k.shape.count == 3 && k.shape == v.shape, "attention \(q.shape) \(k.shape)")
        let (queries, heads, dim) = (q.shape[0], q.shape[1], q.shape[2])
        let keys = k.shape[0]
        precondition(output.shape == q.shape && k.shape[1...] == q.shape[1...], "attention into \(output.shape)")
        precondition(keys > 0, "attention without keys")
        let perQuery = bias.map { $0.elementCount != keys || $0.shape.count == 3 } ?? false
        if let bias, perQuery {
            precondition(bias.elementCount == heads * queries * keys, "bias \(bias.shape)")
        }
        let blockCount = (keys + Self.denseKeyBlock - 1) / Self.denseKeyBlock
        let headsAtOnce = max(1, min(heads, (32 << 20) / (keys * dim * 8)))
        let (pool, kernels) = (self.pool, self.kernels)
        var first = 0
        while first < heads {
            let count = min(headsAtOnce, heads - first)
            let packed = PackedKeys(
                k: k.floats + first * dim, v: v.floats + first * dim, stride: heads * dim, heads: count, keys: keys,
                dim: dim, block: Self.denseKeyBlock, backend: self)
            let rowTasks = (queries + Self.queryRows - 1) / Self.queryRows
            let (qs, out, biases) = (q.floats, output.floats, bias?.floats)
            let start = first
            pool.run(count * rowTasks) { index, worker in
                let (local, task) = (index / rowTasks, index % rowTasks)
                let head = start + local
                var problem = packed.problem(head: local)
                problem.q = UnsafePointer(qs + head * dim)
                problem.q_stride = heads * dim
                problem.queries = queries
                problem.scale = scale
                problem.out = out + head * dim
                problem.out_stride = heads * dim
                if let biases {
                    problem.bias = UnsafePointer(biases + (perQuery ? head * queries * keys : 0))
                    problem.bias_stride = perQuery ? keys : 0
                }
                let rows = task * Self.queryRows..<min(queries, (task + 1) * Self.queryRows)
                kernels.attend(
                    &problem, rows.lowerBound, rows.upperBound, nil, blockCount,
                    pool.scratch(worker, kernels.attention_scratch(&problem, rows.count)))
            }
            first += count
        }
    }
}

/// Keys and values of some heads in the panels that the attention kernel reads.
final class PackedKeys: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: written only in `init`, by tasks that touch disjoint blocks.
    let storage: HostStorage
    let keys: Int
    let dim: Int
    let block: Int
    let blockCount: Int
    private let kStride: Int
    private let vStride: Int

    init(
        k: UnsafePointer<Float>, v: UnsafePointer<Float>, stride: Int, headStride: Int? = nil, heads: Int, keys: Int,
        dim: Int, block: Int, backend: CPUBackend
    ) {
        let kernels = backend.kernels
        self.keys = keys
        self.dim = dim
        self.block = block
        blockCount = (keys + block - 1) / block
        kStride = kernels.panel_floats(dim, block)
        vStride = kernels.panel_floats(block, dim)
        let headFloats = blockCount * (kStride + vStride)
        storage = HostStorage(byteCount: max(1, heads * headFloats) * 4)
        let (memory, blockCount, kStride, vStride) = (
            storage.memory.floats, self.blockCount, self.kStride, self.vStride
        )
        let perHead = headStride ?? dim
        backend.pool.run(heads * blockCount) { index, _ in
            let (head, block) = (index / blockCount, index % blockCount)
            let first = block * self.block
            let count = min(self.block, keys - first)
            let kOut = memory + head * headFloats + block * kStride
            let vOut = memory + head * headFloats + blockCount * kStride + block * vStride
            kernels.pack_f32(k + head * perHead + first * stride, stride, dim, count, kOut)
            kernels.pack_rows(v + head * perHead + first * stride, stride, count, dim, vOut)
        }
    }

    /// What of the attention of one head is known here.
    func problem(head: Int) -> dk_attention {
        var problem = dk_attention()
        let base = UnsafePointer(storage.memory.floats) + head * blockCount * (kStride + vStride)
        problem.keys = keys
        problem.dim = dim
        problem.key_block = block
        problem.k_panels = base
        problem.v_panels = base + blockCount * kStride
        problem.k_block_stride = kStride
        problem.v_block_stride = vStride
        return problem
    }
}
