import CKernels
import Foundation
import Tensors

/// The values of SageSLA's codes of some heads, `[heads, tokens, dim]` each, and their scales.
final class SageHeads: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: written only in `init`, by tasks that touch disjoint heads.
    private let storage: HostStorage
    private let tokens: Int
    private let dim: Int
    private let keyBlocks: Int
    private let queryBlocks: Int
    private let qScale: UnsafeMutablePointer<Float>
    private let kScale: UnsafeMutablePointer<Float>
    private let vScale: UnsafeMutablePointer<Float>
    private let q: UnsafeMutablePointer<Float>
    let k: UnsafeMutablePointer<Float>
    let v: UnsafeMutablePointer<Float>

    init(_ p: SparseProblem, _ heads: Range<Int>, _ pool: ThreadPool) {
        (tokens, dim) = (p.tokens, p.dim)
        (keyBlocks, queryBlocks) = (p.sizes.keyBlocks, p.sizes.queryBlocks)
        let size = p.tokens * p.dim
        storage = HostStorage(byteCount: heads.count * (3 * size + keyBlocks + queryBlocks + dim) * 4)
        q = storage.memory.floats
        k = q + heads.count * size
        v = k + heads.count * size
        qScale = v + heads.count * size
        kScale = qScale + heads.count * queryBlocks
        vScale = kScale + heads.count * keyBlocks
        pool.run(heads.count) { local, _ in
            let head = heads.lowerBound + local
            let queries = SageQuantizer.codes(
                p.matrix(p.q, head: head), channels: dim, block: p.sizes.queryBlock)
            let keys = SageQuantizer.codes(
                SageQuantizer.smoothed(p.matrix(p.k, head: head), channels: dim), channels: dim,
                block: p.sizes.keyBlock)
            let values = SageQuantizer.values(p.matrix(p.v, head: head), channels: dim)
            let table = (0..<256).map { floatFromE4M3(UInt8($0)) }
            for i in 0..<size {
                q[local * size + i] = Float(queries.codes[i])
                k[local * size + i] = Float(keys.codes[i])
                v[local * size + i] = table[Int(values.bits[i])]
            }
            (qScale + local * queryBlocks).update(from: queries.scale, count: queryBlocks)
            (kScale + local * keyBlocks).update(from: keys.scale, count: keyBlocks)
            (vScale + local * dim).update(from: values.scale, count: dim)
        }
    }

    func set(_ problem: inout dk_attention, head: Int, queryBlock: Int) {
        problem.q = UnsafePointer(q + head * tokens * dim)
        problem.q_stride = dim
        problem.q_scale = qScale[head * queryBlocks + queryBlock]
        problem.k_scale = UnsafePointer(kScale + head * keyBlocks)
        problem.v_scale = UnsafePointer(vScale + head * dim)
    }
}
