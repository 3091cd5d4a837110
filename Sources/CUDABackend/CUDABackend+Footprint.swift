import CUDADriver
import Tensors

/// What stands in the files of the operations, in bytes: whoever changes what an operation allocates changes it here, too.
extension CUDABackend {
    public var fixedBytes: Int { products == nil ? 0 : MatrixProducts.workspaceBytes }

    public func footprint(of layer: LayerShape) -> LayerFootprint {
        let own = activationType.byteCount
        switch layer {
        case .linear(let output, let input, let stored, let hasBias, let precision):
            let count = output * input
            let blocks = (output + 127) / 128 * ((input + 127) / 128)
            let quantized = output * ((input + 127) / 128 * 128) + blocks * 4
            let bias = hasBias ? output * 4 : 0
            let narrowBias = hasBias && activationType == .bf16 && products != nil ? output * 2 : 0
            if precision == .int8 || precision == .fp8, suitsRows8(output: output, input: input) {
                let making = stored == .bf16 ? 0 : stored == .f32 ? 2 : stored == .i8 ? 3 : 4
                return LayerFootprint(
                    // Bounds take the least that is allocated.
                    held: count + output * 4 + bias + narrowBias + 16,
                    making: count * 2 + making * count + (stored == .i8 ? blocks * 4 : 0))
            }
            switch (stored, precision) {
            case (.i8, .float): return LayerFootprint(held: count * own + bias + narrowBias, making: count + blocks * 4)
            case (.i8, _): return LayerFootprint(held: quantized + bias)
            case (_, .int8):
                // In float32 first, from what the file has.
                return LayerFootprint(
                    held: quantized + bias,
                    making: max(count * 4 + (stored == .f32 ? 0 : count * stored.byteCount) - quantized, count * 4))
            default:
                let held = activationType == .bf16 || stored == .bf16 ? DType.bf16 : .f32
                return LayerFootprint(
                    held: count * held.byteCount + bias + narrowBias,
                    making: stored == held ? 0 : count * stored.byteCount)
            }
        case .convolution(let shape, let stored, let hasBias):
            let count = shape.reduce(1, *)
            return LayerFootprint(
                held: count * own + (hasBias ? shape[0] * 4 : 0),
                making: count * max(own, stored == activationType ? 0 : stored.byteCount))
        case .table(let count, let stored):
            return LayerFootprint(held: count * 4, making: stored == .f32 ? 0 : count * stored.byteCount)
        }
    }

    public func scratchBytes(of operation: OperationShape) -> Int {
        let own = activationType.byteCount
        switch operation {
        case .linear(let rows, let input, let output, let precision, let isGated):
            let (blocks, stride) = ((rows + 127) / 128 * ((input + 127) / 128), (input + 127) / 128 * 128)
            if precision == .int8 || precision == .fp8, suitsRows8(output: output, input: input) {
                return rows * input + rows * 4 + (isGated ? output * 6 : 0)
            }
            if precision == .int8 { return rows * stride + blocks * 4 }
            if isGated, takesGate(rows: rows, input: input) { return output * (input + 1) * own }
            return isGated && products != nil && activationType == .bf16 ? rows * output * own : 0
        case .feedForward(let rows, let atOnce, let dim, let hidden, let precision):
            if precision == .int8 || precision == .fp8, fusesFeedForward(dim: dim, hidden: hidden) {
                return rows * (dim + 12) + dim * 6
            }
            return OperationShape.layersOfFeedForward(atOnce: atOnce, dim: dim, hidden: hidden, precision: precision)
                .map { scratchBytes(of: $0) }.max() ?? 0
        case .attention(let queries, let keys, let heads, let dim):
            guard heads == 1, Self.isWideHead(dim, keys: keys) else { return 0 }
            let rows = min(queries, max(128, (32 << 20) / max(keys, 1) / 128 * 128))
            return dim * keys * 2 + rows * keys * 6
        case .sparseLinearAttention(let tokens, let heads, let dim, let options):
            return sparseBytes(tokens: tokens, heads: heads, dim: dim, options)
        case .write(let count): return activationType == .f32 ? 0 : count * 4
        }
    }

    private func sparseBytes(tokens: Int, heads: Int, dim: Int, _ options: SparseAttentionOptions) -> Int {
        let queryBlocks = (tokens + options.queryBlock - 1) / options.queryBlock
        let keyBlocks = (tokens + options.keyBlock - 1) / options.keyBlock
        let chosen = heads * queryBlocks * options.selectedBlocks(of: keyBlocks) * 4
        let means = heads * (queryBlocks + keyBlocks) * dim * 8
        let eight = suitsSage8(dim: dim, queryBlock: options.queryBlock, keyBlock: options.keyBlock)
        let codes =
            options.quantized && eight
            ? heads * dim * (2 * tokens + keyBlocks * options.keyBlock)
                + heads * (queryBlocks + keyBlocks + 2 * dim) * 4
            : options.quantized
                ? 3 * tokens * heads * dim * activationType.byteCount + heads * (queryBlocks + keyBlocks + 2 * dim) * 4
                : 0
        // Parts of the linear branch's state: at least one for 256 tokens, else some for each multiprocessor.
        let parts = min((tokens + 255) / 256, 2 * device.multiprocessors / max(heads, 1) + 1)
        let branch = heads * ((max(parts, 1) + 1) * dim * (dim + 1) + dim * dim) * 4
        // The branch's state stays beside the codes where attention adds it; codes of q are made first of all.
        let state = heads * (dim * (dim + 1) * 4 + dim * dim * 2)
        let own = options.quantized && eight ? heads * (tokens * dim + queryBlocks * 4) : 0
        return chosen + heads * dim * 12 + max(own + means, codes + state, own + branch)
    }
}
