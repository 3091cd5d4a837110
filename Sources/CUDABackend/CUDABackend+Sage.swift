import Tensors

/// SageSLA's codes as numbers, in the type of the inputs (which holds them exactly), and their scales, f32.
struct SageCodes {
    /// int8 numbers `[tokens, heads, dim]`.
    let q: Tensor
    let k: Tensor
    /// e4m3 numbers.
    let v: Tensor
    /// `[heads, blocks]`.
    let qScale: Tensor
    let kScale: Tensor
    /// `[heads, dim]`.
    let vScale: Tensor
}

extension CUDABackend {
    /// - Parameter mean: of k, f64 `[heads, dim]`.
    func sageCodes(_ q: Tensor, _ k: Tensor, _ v: Tensor, mean: Tensor, _ sizes: SparseAttentionSizes) -> SageCodes {
        let width = sizes.heads * sizes.dim
        let codes = SageCodes(
            q: scratch(q.shape, q.dtype), k: scratch(k.shape, k.dtype), v: scratch(v.shape, v.dtype),
            qScale: scratch([sizes.heads, sizes.queryBlocks], .f32),
            kScale: scratch([sizes.heads, sizes.keyBlocks], .f32), vScale: scratch([width], .f32))
        encode(q, mean: nil, into: codes.q, codes.qScale, sizes, block: sizes.queryBlock, blocks: sizes.queryBlocks)
        encode(k, mean: mean, into: codes.k, codes.kScale, sizes, block: sizes.keyBlock, blocks: sizes.keyBlocks)
        let most = scratch([width], .f32)
        must { try stream.clear(most.address, most.byteCount) }
        if width % 8 == 0, canUse(.codes, [v]) {
            let grid = ((width / 8 + 127) / 128, (sizes.tokens + 63) / 64)
            launch(
                .sage, "sage_maxima_wide", grid: grid, threads: 128, v, most, Int32(sizes.tokens), Int32(width / 8))
            launch(
                .sage, "sage_values_wide", grid: grid, threads: 128, v, most, codes.v, Int32(sizes.tokens),
                Int32(width / 8))
        } else {
            launch(
                .sage, "sage_maxima_\(v.dtype)", grid: ((sizes.tokens + 127) / 128, sizes.heads), threads: 128, v,
                most, Int32(sizes.tokens), Int32(sizes.heads), Int32(sizes.dim))
            launchElements(
                .sage, "sage_values_\(v.dtype)", count: v.elementCount, v, most, codes.v, Int64(v.elementCount),
                Int32(width))
        }
        launchElements(.sage, "sage_value_scale", count: width, most, codes.vScale, Int32(width))
        return codes
    }

    private func encode(
        _ x: Tensor, mean: Tensor?, into codes: Tensor, _ scale: Tensor, _ sizes: SparseAttentionSizes, block: Int,
        blocks: Int
    ) {
        let (tokens, heads) = (Int32(sizes.tokens), Int32(sizes.heads))
        if sizes.dim == 128, block <= 128, canUse(.codes, [x, codes]) {
            return launch(
                .sage, "sage_codes_numbers", grid: (blocks, sizes.heads), threads: 256, x, mean, codes, scale, tokens,
                heads, Int32(block))
        }
        launch(
            .sage, "sage_codes_\(x.dtype)", grid: (blocks, sizes.heads), threads: 256, x, mean, codes, scale, tokens,
            heads, Int32(sizes.dim), Int32(block))
    }
}
