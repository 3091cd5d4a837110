import CUDADriver
import Tensors

/// `Attention8` of sage8.cu.
struct KernelAttention8: BitwiseCopyable {
    var q: TensorMap
    var k: TensorMap
    var v: TensorMap
    var out: TensorMap
    var queries: TensorMap
    var folded: TensorMap
    var blocks: DeviceAddress
    var qScale: DeviceAddress
    var kScale: DeviceAddress
    var vScale: DeviceAddress
    var states: DeviceAddress
    var shift: DeviceAddress
    var heads: Int32
    var tokens: Int32
    var selected: Int32
    var scale: Float
}

/// What is made of the queries in one pass.
struct QueryCodes {
    /// int8 `[tokens, heads, dim]`.
    let codes: Tensor
    /// f32 `[heads, query blocks]`.
    let scale: Tensor
    /// f64 `[heads, query blocks, dim]`.
    let means: Tensor
}

extension CUDABackend {
    /// SageSLA's own blocks on Hopper, 64 queries and 128 keys.
    func usesSage8(_ sizes: SparseAttentionSizes, _ tensors: [Tensor]) -> Bool {
        suitsSage8(dim: sizes.dim, queryBlock: sizes.queryBlock, keyBlock: sizes.keyBlock)
            && sizes.keyBlocks <= 2048 && tensors.allSatisfy { $0.dtype == .bf16 && $0.isAligned(16) }
    }

    func suitsSage8(dim: Int, queryBlock: Int, keyBlock: Int) -> Bool {
        fastPaths.contains(.sage8) && usesHopper && stream.makesTensorMaps && dim == 128 && queryBlock == 64
            && keyBlock == 128
    }

    /// q's codes, and what its blocks are chosen by.
    func codesAndMeans(of q: Tensor, _ sizes: SparseAttentionSizes) -> QueryCodes {
        let made = QueryCodes(
            codes: scratch(q.shape, .i8), scale: scratch([sizes.heads, sizes.queryBlocks], .f32),
            means: scratch([sizes.heads, sizes.queryBlocks, sizes.dim], .f64))
        launch(
            .sage, "sage_codes_means", grid: (sizes.queryBlocks, sizes.heads), threads: 256, q, made.codes, made.scale,
            made.means, Int32(sizes.tokens), Int32(sizes.heads), Int32(sizes.queryBlock))
        return made
    }

    /// The greatest |v| of each channel, f32 `[heads, dim]`, all zero before.
    func clearedMaxima(_ sizes: SparseAttentionSizes) -> Tensor {
        let most = scratch([sizes.heads * sizes.dim], .f32)
        must { try stream.clear(most.address, most.byteCount) }
        return most
    }

    func takeMaxima(of v: Tensor, _ sizes: SparseAttentionSizes, into most: Tensor) {
        launch(
            .sage, "sage_maxima_heads", grid: ((sizes.tokens + 511) / 512, sizes.heads), threads: 256, v, most,
            Int32(sizes.tokens), Int32(sizes.heads))
    }

    /// - Parameters:
    ///   - own: codes of q and their scale.
    ///   - mean: of k, f64 `[heads, dim]`.
    ///   - most: the greatest |v| of each channel.
    ///   - branch: what is added to the result.
    func attendInEightBits(
        _ q: Tensor, _ own: (codes: Tensor, scale: Tensor), _ k: Tensor, _ v: Tensor, mean: Tensor, maxima most: Tensor,
        _ chosen: Tensor, _ sizes: SparseAttentionSizes, branch: LinearBranch?, scale: Float, into output: Tensor
    ) {
        let (tokens, heads, width) = (Int32(sizes.tokens), Int32(sizes.heads), sizes.heads * sizes.dim)
        let padded = sizes.keyBlocks * sizes.keyBlock
        let codes = (k: scratch(k.shape, .i8), v: scratch([sizes.heads, sizes.dim, padded], .u8))
        let scales = (k: scratch([sizes.heads, sizes.keyBlocks], .f32), v: scratch([width], .f32))
        launch(
            .sage, "sage_codes_bytes", grid: (sizes.keyBlocks, sizes.heads), threads: 256, k, Tensor?.some(mean),
            codes.k, scales.k, tokens, heads, Int32(sizes.keyBlock))
        launch(
            .sage8, "sage8_values", grid: (sizes.keyBlocks, sizes.heads), threads: 256, v, most, codes.v, tokens,
            heads, Int32(padded))
        launchElements(.sage, "sage_value_scale", count: width, most, scales.v, Int32(width))
        must {
            func bytes(_ x: Tensor, rows: Int) throws -> TensorMap {
                try stream.tensorMap(x.address, tokens: x.shape[0], heads: sizes.heads, element: .byte, rows: rows)
            }
            let queries = try stream.tensorMap(q.address, tokens: sizes.tokens, heads: sizes.heads)
            let folded = try branch.map { try stream.tensorMap($0.folded.address, tokens: width, heads: 1, rows: 128) }
            let problem = KernelAttention8(
                q: try bytes(own.codes, rows: 64), k: try bytes(codes.k, rows: 128),
                v: try stream.tensorMap(
                    codes.v.address, tokens: width, heads: 1, width: padded, element: .byte, rows: 128),
                out: try stream.tensorMap(output.address, tokens: sizes.tokens, heads: sizes.heads), queries: queries,
                folded: folded ?? queries, blocks: chosen.address, qScale: own.scale.address,
                kScale: scales.k.address, vScale: scales.v.address, states: branch?.states.address ?? 0,
                shift: branch?.bias.address ?? 0, heads: heads, tokens: tokens, selected: Int32(sizes.selected),
                scale: scale)
            launchWhole(
                .sage8, branch == nil ? "sage8_attention" : "sage8_attention_branch",
                blocks: min(device.multiprocessors, (sizes.queryBlocks + 1) / 2 * sizes.heads), threads: 384,
                shared: Self.sage8Bytes, problem)
        }
        withExtendedLifetime((own, codes, scales, chosen, branch)) {}
    }
    /// Queries twice, rows that come and go, five tiles of keys and values, what the producer notes, and barriers.
    static let sage8Bytes = 1024 + 4 * 64 * 128 + 2 * 64 * 256 + 5 * (2 * 128 * 128 + 8 + 32) + 16 + 96
}
