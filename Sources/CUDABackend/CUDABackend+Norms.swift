import Tensors

extension CUDABackend {
    public func layerNorm(_ x: Tensor, weight: Tensor?, bias: Tensor?, epsilon: Float, into output: Tensor) {
        normalise(x, scale: weight, shift: bias, epsilon: epsilon, modulated: 0, into: output)
    }

    public func modulatedNorm(_ x: Tensor, shift: Tensor, scale: Tensor, epsilon: Float, into output: Tensor) {
        normalise(x, scale: scale, shift: shift, epsilon: epsilon, modulated: 1, into: output)
    }

    private func normalise(
        _ x: Tensor, scale: Tensor?, shift: Tensor?, epsilon: Float, modulated: Int32, into output: Tensor
    ) {
        let (rows, dim) = x.matrix
        precondition(x.shape == output.shape, "norm of \(x.shape) into \(output.shape)")
        for weights in [scale, shift].compactMap({ $0 }) {
            precondition(weights.elementCount == dim && weights.dtype == .f32, "norm weights \(weights.shape)")
        }
        if isWide([x, output], dim), ([scale, shift].compactMap { $0 }).allSatisfy({ $0.isAligned(16) }) {
            let form = normForm(rows: rows, dim: dim)
            return launch(
                .norms, "layer_norm_wide_\(form.name)", grid: (form.blocks, 1), threads: 128, x, scale, shift, output,
                Int32(rows), Int32(dim), epsilon, modulated)
        }
        launch(
            .norms, "layer_norm_\(x.dtype)_\(output.dtype)", grid: (rows, 1), threads: rowThreads(dim), x, scale, shift,
            output, Int32(dim), epsilon, modulated)
    }

    public func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float, into output: Tensor) {
        let (rows, dim) = x.matrix
        precondition(
            x.shape == output.shape && x.dtype == output.dtype && weight.elementCount == dim && weight.dtype == .f32,
            "norm of \(x.shape) into \(output.shape)")
        if isWide([x, output], dim), weight.isAligned(16) {
            let form = normForm(rows: rows, dim: dim)
            return launch(
                .norms, "rms_norm_wide_\(form.name)", grid: (form.blocks, 1), threads: 128, x, weight, output,
                Int32(rows), Int32(dim), epsilon)
        }
        launch(
            .norms, "rms_norm_\(x.dtype)", grid: (rows, 1), threads: rowThreads(dim), x, weight, output, Int32(dim),
            epsilon)
    }

    public func channelNorm(_ x: Tensor, gamma: Tensor, activation: Activation?, into output: Tensor) {
        let (rows, dim) = x.matrix
        precondition(
            x.shape == output.shape && x.dtype == output.dtype && gamma.elementCount == dim && gamma.dtype == .f32,
            "norm of \(x.shape) into \(output.shape)")
        let kind = (activation?.kernelKind ?? .store).rawValue
        let limit = device.multiprocessors * 16
        if isWide([x, output], dim), [96, 192, 384].contains(dim), gamma.isAligned(16) {
            let rowsTogether = 256 / (dim / 24)
            return launch(
                .norms, "channel_norm_\(dim)", grid: ((rows + rowsTogether - 1) / rowsTogether, 1), threads: 256, x,
                gamma,
                output, Int64(rows), kind)
        }
        if isWide([x, output], dim), dim <= 256, gamma.isAligned(16) {
            var lanes = 1
            while lanes * 8 < dim { lanes *= 2 }
            return launch(
                .norms, "channel_norm_wide", grid: (min(limit, (rows * lanes + 255) / 256), 1), threads: 256, x, gamma,
                output, Int64(rows), Int32(dim), kind, Int32(lanes))
        }
        launch(
            .norms, "channel_norm_\(x.dtype)", grid: (min(limit, (rows + 7) / 8), 1), threads: 256, x, gamma, output,
            Int64(rows), Int32(dim), kind)
    }

    public func rotate(_ x: Tensor, table: Tensor) {
        precondition(x.shape.count == 3 && x.shape[2] % 2 == 0, "rotate \(x.shape)")
        let (tokens, heads, headDim) = (x.shape[0], x.shape[1], x.shape[2])
        precondition(
            table.shape == [tokens, headDim / 2, 2] && table.dtype == .f32, "table \(table.shape) for \(x.shape)")
        let pairs = x.elementCount / 2
        launchElements(
            .norms, "rotate_\(x.dtype)", count: pairs, x, table, Int64(pairs), Int32(heads), Int32(headDim / 2))
    }

    public func rmsNormRotated(_ x: Tensor, weight: Tensor, epsilon: Float, table: Tensor) {
        precondition(x.shape.count == 3, "norm and rotation of \(x.shape)")
        let (tokens, dim, headDim) = (x.shape[0], x.shape[1] * x.shape[2], x.shape[2])
        let rows = x.reshaped([tokens, dim])
        guard isWide([x], dim), headDim % 8 == 0, weight.isAligned(16), table.isAligned(16) else {
            rmsNorm(rows, weight: weight, epsilon: epsilon, into: rows)
            return rotate(x, table: table)
        }
        precondition(
            weight.elementCount == dim && weight.dtype == .f32 && table.shape == [tokens, headDim / 2, 2]
                && table.dtype == .f32, "norm and rotation of \(x.shape)")
        let form = normForm(rows: tokens, dim: dim)
        launch(
            .norms, "rms_norm_rotate_wide_\(form.name)", grid: (form.blocks, 1), threads: 128, x, weight, table,
            Int32(tokens), Int32(dim), Int32(headDim / 2), epsilon)
    }

    /// A warp holds a row where registers suffice; else a block does.
    func normForm(rows: Int, dim: Int) -> (name: String, blocks: Int) {
        dim <= 1536 ? ("short", (rows + 3) / 4) : ("long", rows)
    }

    /// Whether rows of bf16 can be read 8 values at a time and held in a warp's registers.
    func isWide(_ tensors: [Tensor], _ dim: Int) -> Bool {
        dim % 8 == 0 && dim <= 5120 && tensors.allSatisfy { $0.dtype == .bf16 && $0.isAligned(16) }
    }

    private func rowThreads(_ dim: Int) -> Int { min(256, (dim + 31) / 32 * 32) }
}
