import Tensors

/// What the linear branch adds to a token's attention: `phi(q) folded / (1e-5 + phi(q) . sum of phi(k)) + bias`.
struct LinearBranch {
    /// phi(k)^T v and the sum of phi(k), f32 `[heads, dim (dim + 1)]`.
    let states: Tensor
    /// The projection applied to phi(k)^T v: bf16 on tensor cores, else f32, `[heads, dim, dim]`.
    let folded: Tensor
    let bias: Tensor?
}

extension CUDABackend {
    /// `output += projection(phi(q) (phi(k)^T v) / (1e-5 + phi(q) . sum phi(k)))`, phi = softmax over the channels.
    func addLinearBranch(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, _ layer: CUDALinear, _ sizes: SparseAttentionSizes, to output: Tensor
    ) {
        let isTensor = takesBranchOnTensorCores(layer, sizes, [q, k, v, output])
        let branch = linearBranch(k, v, layer, sizes, onTensorCores: isTensor)
        let (tokens, heads, dim) = (Int32(sizes.tokens), Int32(sizes.heads), Int32(sizes.dim))
        if isTensor {
            let turns = 4
            launch(
                .branch16, "branch_apply_tensor", grid: ((sizes.tokens + 128 * turns - 1) / (128 * turns), sizes.heads),
                threads: 256, shared: 2 * 128 * 256, q, branch.folded, branch.states, branch.bias, output, tokens,
                heads,
                Int32(turns))
        } else {
            launch(
                .branch, "branch_apply_\(q.dtype)", grid: ((sizes.tokens + 63) / 64, sizes.heads), threads: 256,
                shared: (128 * 128 + 64 * 128 + 128 + 64) * 4, q, branch.folded, branch.states, branch.bias, output,
                tokens, heads, dim)
        }
    }

    func takesBranchOnTensorCores(_ layer: CUDALinear, _ sizes: SparseAttentionSizes, _ tensors: [Tensor]) -> Bool {
        guard case .dense(let weight) = layer.weights else { return false }
        return sizes.dim == 128 && weight.dtype == .bf16 && canUse(.branch, tensors + [weight])
    }

    /// The projection is applied to the state, once a head, not to every token.
    ///
    /// - Parameter most: also to be made: the greatest |v| of each channel, f32 `[heads, dim]`; on Hopper's tensor cores only.
    /// - Precondition: `layer` is dense, `[dim, dim]`, dim at most 128.
    func linearBranch(
        _ k: Tensor, _ v: Tensor, _ layer: CUDALinear, _ sizes: SparseAttentionSizes, onTensorCores isTensor: Bool,
        maxima most: Tensor? = nil
    ) -> LinearBranch {
        guard case .dense(let weight) = layer.weights else { preconditionFailure("a layer in int8") }
        precondition(layer.inputSize == sizes.dim && layer.outputSize == sizes.dim, "projection of \(sizes.dim)")
        precondition(sizes.dim <= 128, "a linear branch of \(sizes.dim) channels")
        let (tokens, heads, dim) = (Int32(sizes.tokens), Int32(sizes.heads), Int32(sizes.dim))
        let chunk = isTensor ? tensorChunk(sizes) : 1024
        let chunks = (sizes.tokens + chunk - 1) / chunk
        let size = sizes.dim * (sizes.dim + 1)
        let states = scratch([sizes.heads, size], .f32)
        let folded = scratch([sizes.heads, sizes.dim, sizes.dim], isTensor ? .bf16 : .f32)
        let parts = scratch([sizes.heads, chunks, size], .f32)
        let grid = (chunks, sizes.heads)
        if isTensor, usesHopper {
            launch(
                .branch16, "branch_state_hopper", grid: grid, threads: 256, shared: 1024 + 4 * 64 * 256, k, v, parts,
                most,
                tokens, heads, Int32(chunk))
        } else if isTensor {
            launch(
                .branch16, "branch_state_tensor", grid: grid, threads: 256, shared: 4 * 64 * 256, k, v, parts, tokens,
                heads, Int32(chunk))
        } else {
            launch(
                .branch, "branch_state_\(k.dtype)", grid: grid, threads: 256, k, v, parts, tokens, heads, dim,
                Int32(chunk))
        }
        launchElements(
            .branch, "branch_sum", count: sizes.heads * size, parts, states, heads, Int32(chunks), Int32(size))
        if isTensor {
            launch(
                .branch16, "branch_fold_tensor", grid: (128, sizes.heads), threads: 256, states, weight, folded)
        } else {
            launch(
                .branch, "branch_fold_\(weight.dtype)", grid: (sizes.dim, sizes.heads), threads: 128, states, weight,
                folded, dim)
        }
        return LinearBranch(states: states, folded: folded, bias: layer.bias)
    }

    /// Tokens of a block, in turns of 64: all blocks at once, two on each multiprocessor.
    private func tensorChunk(_ sizes: SparseAttentionSizes) -> Int {
        let blocks = max(1, 2 * device.multiprocessors / sizes.heads)
        return max(256, ((sizes.tokens + blocks - 1) / blocks + 63) / 64 * 64)
    }
}
