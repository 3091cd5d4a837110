import Tensors

extension CUDABackend {
    /// Tokens that one block of threads sums up; the sums are added in order.
    private static let branchChunk = 1024

    /// `output += projection(phi(q) (phi(k)^T v) / (1e-5 + phi(q) . sum phi(k)))`, phi = softmax over the channels.
    ///
    /// The projection is applied to the state, once a head, not to every token.
    func addLinearBranch(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, _ weight: Tensor, _ bias: Tensor?, _ sizes: SparseAttentionSizes,
        to output: Tensor
    ) {
        precondition(sizes.dim <= 128, "a linear branch of \(sizes.dim) channels")
        let (tokens, heads, dim) = (Int32(sizes.tokens), Int32(sizes.heads), Int32(sizes.dim))
        let chunks = (sizes.tokens + Self.branchChunk - 1) / Self.branchChunk
        let size = sizes.dim * (sizes.dim + 1)
        let parts = scratch([sizes.heads, chunks, size], .f32)
        let states = scratch([sizes.heads, size], .f32)
        let folded = scratch([sizes.heads, sizes.dim, sizes.dim], .f32)
        let isTensor = sizes.dim == 128 && canUse(.branch, [q, k, v, output])
        let grid = (chunks, sizes.heads)
        if isTensor {
            launch(
                .sparse, "branch_state_tensor", grid: grid, threads: 256, k, v, parts, tokens, heads,
                Int32(Self.branchChunk))
        } else {
            launch(
                .sparse, "branch_state_\(k.dtype)", grid: grid, threads: 256, k, v, parts, tokens, heads, dim,
                Int32(Self.branchChunk))
        }
        launchElements(
            .sparse, "branch_sum", count: sizes.heads * size, parts, states, heads, Int32(chunks), Int32(size))
        launch(
            .sparse, "branch_fold_\(weight.dtype)", grid: (sizes.dim, sizes.heads), threads: 128, states, weight,
            folded, dim)
        if isTensor {
            launch(
                .sparse, "branch_apply_tensor", grid: ((sizes.tokens + 127) / 128, sizes.heads), threads: 256,
                shared: 2 * 128 * 256 + 128 * 4, q, folded, states, bias, output, tokens, heads)
        } else {
            launch(
                .sparse, "branch_apply_\(q.dtype)", grid: ((sizes.tokens + 63) / 64, sizes.heads), threads: 256,
                shared: (128 * 128 + 64 * 128 + 128 + 64) * 4, q, folded, states, bias, output, tokens, heads, dim)
        }
    }
}
