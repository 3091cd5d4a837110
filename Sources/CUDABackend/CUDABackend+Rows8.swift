import CUDADriver
import Tensors

/// Rows of e4m3 codes, u8 `[rows, columns]`, and what each row is multiplied with, f32 `[rows]`.
struct Rows8 {
    let codes: Tensor
    let scale: Tensor
}

extension CUDABackend {
    /// e4m3 with a scale a row where the library multiplies it at twice the speed of bf16, else int8.
    public var quantizedPrecision: LinearPrecision { usesRows8 ? .fp8 : .int8 }

    /// Hopper alone: earlier cards have no e4m3, and the library takes scales a row on no later ones.
    private var usesRows8: Bool {
        fastPaths.contains(.rows8) && activationType == .bf16 && device.architecture == "90a"
            && (products?.hasRows8 ?? false)
    }

    /// A layer of e4m3 codes; nil where this backend or the layer's size does not suit.
    func makeRows8(_ weights: LinearWeights) throws -> CUDALinear? {
        let size = weights.size
        guard suitsRows8(output: size.output, input: size.input) else { return nil }
        let (values, bias): (Tensor, HostTensor?)
        switch weights {
        case .dense(let weight, let given):
            let isNarrow = weight.dtype == .bf16
            (values, bias) = (
                try upload(weight.reshaped([size.output, size.input]), as: isNarrow ? .bf16 : .f32), given
            )
        case .int8(let weight, let scale, let given):
            let (codes, factors) = (try upload(weight, as: .i8), try upload(scale, as: .f32))
            let widened = try allocate([size.output, size.input], .f32)
            launchElements(
                .int8, "dequantize_f32", count: widened.elementCount, codes, factors, widened, Int32(size.output),
                Int32(size.input))
            (values, bias) = (widened, given)
        }
        let rows = rows8(values)
        let (wide, bounds) = (try uploaded(bias), try allocate([2], .f32))
        fill(bounds, with: 0)
        launch(
            .fp8, "row_bounds", grid: ((size.output + 3) / 4, 1), threads: 128, rows.codes, rows.scale, wide, bounds,
            Int32(size.output), Int32(size.input))
        return CUDALinear(
            size: size, precision: .fp8, weights: .rows8(codes: rows.codes, scale: rows.scale), bias: wide,
            narrowBias: try narrowed(bias), bounds: bounds, source: nil)
    }

    /// Whether a layer of that size becomes e4m3 when eight bits are asked for.
    func suitsRows8(output: Int, input: Int) -> Bool {
        usesRows8 && input % 16 == 0 && output % 16 == 0 && input <= 16_384
    }

    /// - Parameter x: `[rows, columns]`, bf16 or f32, columns a multiple of 8 and at most 16,384.
    func rows8(_ x: Tensor) -> Rows8 {
        let (rows, columns) = x.matrix
        var source = x
        if !x.isAligned(16) {
            source = scratch(x.shape, x.dtype)
            copy(x, into: source)
        }
        let result = Rows8(codes: scratch([rows, columns], .u8), scale: scratch([rows], .f32))
        let isShort = columns <= 2048 && x.dtype == .bf16
        launch(
            .fp8, "quantize_rows_\(x.dtype)_\(isShort ? "short" : "long")", grid: (isShort ? (rows + 3) / 4 : rows, 1),
            threads: 128, source, result.codes, result.scale, Int32(rows), Int32(columns))
        return result
    }

    /// `output = epilogue(x w^T + bias)` from codes of both.
    func multiplyRows8(
        _ x: Rows8, _ layer: CUDALinear, into output: Tensor, _ epilogue: Epilogue, _ finish: KernelEpilogue
    ) {
        guard case .rows8(let codes, let scale) = layer.weights else { preconditionFailure("a layer of other weights") }
        let (m, k) = x.codes.matrix
        let n = layer.outputSize
        if case .gated(let gate) = epilogue, addRows8(x, layer, codes, scale, gate: gate, to: output) { return }
        let isWhole = output.dtype == .bf16 && output.isAligned(16) && (layer.bias == nil) == (layer.narrowBias == nil)
        let finished =
            isWhole
            && self.finish(output, epilogue, bias: layer.narrowBias) { epilogue, accumulates, target in
                guard let products else { return false }
                return must(else: true) {
                    try products.multiply(
                        x: x.codes.address, w: codes.address, into: target.address, m: m, n: n, k: k,
                        epilogue: epilogue, accumulates: accumulates,
                        scales: .init(x: x.scale.address, w: scale.address))
                }
            }
        if finished { return }
        precondition(output.dtype == .bf16, "e4m3 layers into \(output.dtype)")
        launchElements(
            .fp8, "rows8_linear_bf16", count: 32 * m * n, x.codes, x.scale, codes, scale, output, Int64(m), Int32(n),
            Int32(k), finish)
    }

    /// `output += gate * (x w^T + bias)`, the gate taken into the channels' scales: one product, nothing beside it.
    private func addRows8(
        _ x: Rows8, _ layer: CUDALinear, _ codes: Tensor, _ scale: Tensor, gate: Tensor, to output: Tensor
    ) -> Bool {
        let ((m, k), n) = (x.codes.matrix, layer.outputSize)
        guard let products, output.dtype == .bf16, output.isAligned(16) else { return false }
        let gated = (scale: scratch([n], .f32), bias: scratch([n], .bf16))
        launchElements(
            .fp8, "gate_rows8", count: n, scale, layer.bias, gate, gated.scale, gated.bias, Int32(n))
        let plain: MatrixProducts.Epilogue = layer.bias == nil ? .none : .bias(gated.bias.address)
        return must(else: true) {
            try products.multiply(
                x: x.codes.address, w: codes.address, into: output.address, m: m, n: n, k: k, epilogue: plain,
                accumulates: true, scales: .init(x: x.scale.address, w: gated.scale.address))
        }
    }

    func suitsNormedRows8(_ x: Tensor, _ norm: RowNorm) -> Bool {
        let (rows, dim) = x.matrix
        return rows > 0 && isWide([x], dim)
            && [norm.scale, norm.shift].compactMap { $0 }.allSatisfy { $0.isAligned(16) && $0.elementCount == dim }
    }

    /// Codes of the norm of x.
    /// - Parameter lengths: f32 `[rows]`, if given receives the lengths of the norm's rows.
    func normedRows8(_ x: Tensor, _ norm: RowNorm, lengths: Tensor? = nil) -> Rows8 {
        let (rows, dim) = x.matrix
        let result = Rows8(codes: scratch([rows, dim], .u8), scale: scratch([rows], .f32))
        let form = normForm(rows: rows, dim: dim)
        launch(
            .norms, "layer_norm_rows8_\(form.name)", grid: (form.blocks, 1), threads: 128, x, norm.scale, norm.shift,
            result.codes, result.scale, lengths, Int32(rows), Int32(dim), norm.epsilon,
            Int32(norm.isModulated ? 1 : 0))
        return result
    }

    public func linear(
        normed x: Tensor, by norm: RowNorm, _ layers: [any Linear], into outputs: [Tensor], _ epilogue: Epilogue,
        normed: Tensor
    ) {
        let (rows, dim) = x.matrix
        let ours = layers.compactMap { $0 as? CUDALinear }.filter {
            guard case .rows8 = $0.weights else { return false }
            return $0.inputSize == dim
        }
        guard ours.count == layers.count, suitsNormedRows8(x, norm) else {
            return linearAfterNorm(x, norm, layers, into: outputs, epilogue, normed: normed)
        }
        let input = normedRows8(x, norm)
        for (layer, output) in zip(ours, outputs) {
            precondition(output.matrix == (rows, layer.outputSize), "linear of \(x.shape) into \(output.shape)")
            var finish = kernelEpilogue(epilogue, rows: rows, output: output)
            finish.bias = layer.bias.address
            multiplyRows8(input, layer, into: output, epilogue, finish)
        }
    }
}
