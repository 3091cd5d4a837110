import Tensors

extension CUDABackend {
    public func makeLinear(_ weights: LinearWeights, precision: LinearPrecision) throws -> any Linear {
        let size = weights.size
        if precision == .fp8, let layer = try makeRows8(weights) { return layer }
        let precision = precision == .fp8 ? .int8 : precision
        switch (weights, precision) {
        case (.dense(let weight, let bias), .int8):
            let values = try upload(weight.reshaped([size.output, size.input]), as: .f32)
            let (codes, scale, stride) = quantized(values)
            return CUDALinear(
                size: size, precision: .int8, weights: .int8(codes: codes, scale: scale, stride: stride),
                bias: try uploaded(bias), source: nil)
        case (.dense(let weight, let bias), _):
            // In float32 bf16 weights stay as they are; in bf16 everything becomes bf16.
            let dtype: DType = activationType == .bf16 || weight.dtype == .bf16 ? .bf16 : .f32
            let isRounded = dtype == .bf16 && weight.dtype != .bf16
            return CUDALinear(
                size: size, precision: .float,
                weights: .dense(try upload(weight.reshaped([size.output, size.input]), as: dtype)),
                bias: try uploaded(bias), narrowBias: try narrowed(bias),
                source: isRounded ? weight.reshaped([size.output, size.input]) : nil)
        case (.int8(let weight, let scale, let bias), .float):
            let codes = try upload(weight, as: .i8)
            let factors = try upload(scale, as: .f32)
            let values = try allocate([size.output, size.input], activationType)
            launchElements(
                .int8, "dequantize_\(activationType)", count: values.elementCount, codes, factors, values,
                Int32(size.output), Int32(size.input))
            return CUDALinear(
                size: size, precision: .float, weights: .dense(values), bias: try uploaded(bias),
                narrowBias: try narrowed(bias), source: nil)
        case (.int8(let weight, let scale, let bias), _):
            let stride = (size.input + 127) / 128 * 128
            let codes = try allocate([size.output, stride], .i8)
            if stride == size.input {
                must { try send(weight.bytes, to: codes.address) }
            } else {
                var padded = [UInt8](repeating: 0, count: size.output * stride)
                for row in 0..<size.output {
                    padded.replaceSubrange(
                        row * stride..<row * stride + size.input,
                        with: weight.bytes[row * size.input..<(row + 1) * size.input])
                }
                must { try padded.withUnsafeBytes { try send($0, to: codes.address) } }
            }
            return CUDALinear(
                size: size, precision: .int8,
                weights: .int8(codes: codes, scale: try upload(scale, as: .f32), stride: stride),
                bias: try uploaded(bias), source: nil)
        }
    }

    func uploaded(_ bias: HostTensor?) throws -> Tensor? { try bias.map { try upload($0, as: .f32) } }

    func narrowed(_ bias: HostTensor?) throws -> Tensor? {
        guard activationType == .bf16, products != nil else { return nil }
        return try bias.map { try upload($0, as: .bf16) }
    }

    /// Codes `[rows, stride]` and scales of x `[rows, columns]`, in blocks of 128 x 128.
    private func quantized(_ x: Tensor) -> (codes: Tensor, scale: Tensor, stride: Int) {
        let (rows, columns) = x.matrix
        let blocks = ((rows + 127) / 128, (columns + 127) / 128)
        let codes = scratch([rows, blocks.1 * 128], .i8)
        let scale = scratch([blocks.0, blocks.1], .f32)
        let isWide = columns % 8 == 0 && canUse(.codes, [x]) && codes.isAligned(16)
        launch(
            .int8, isWide ? "quantize_wide" : "quantize_\(x.dtype)", grid: (blocks.1, blocks.0),
            threads: isWide ? 1024 : 256, x, codes, scale, Int32(rows), Int32(columns), Int32(blocks.1 * 128))
        return (codes, scale, blocks.1 * 128)
    }

    /// What layers of eight bits are given of one input, made by the first that wants it.
    private struct InputCodes {
        var rows8: Rows8?
        var blocks: (codes: Tensor, scale: Tensor, stride: Int)?
    }

    public func linear(_ x: Tensor, _ layer: any Linear, into output: Tensor, _ epilogue: Epilogue) {
        var codes = InputCodes()
        linear(x, layer, into: output, epilogue, &codes)
    }

    public func linear(_ x: Tensor, _ layers: [any Linear], into outputs: [Tensor]) {
        precondition(layers.count == outputs.count, "\(layers.count) layers into \(outputs.count) outputs")
        var codes = InputCodes()
        for (layer, output) in zip(layers, outputs) { linear(x, layer, into: output, .none, &codes) }
    }

    private func linear(
        _ x: Tensor, _ layer: any Linear, into output: Tensor, _ epilogue: Epilogue, _ known: inout InputCodes
    ) {
        guard let layer = layer as? CUDALinear else { preconditionFailure("a layer of another backend") }
        let (m, k) = x.matrix
        let n = layer.outputSize
        precondition(
            k == layer.inputSize && output.matrix == (m, n),
            "linear \(layer.inputSize) -> \(n): \(x.shape) -> \(output.shape)")
        guard m > 0, n > 0 else { return }
        var finish = kernelEpilogue(epilogue, rows: m, output: output)
        finish.bias = layer.bias.address
        switch layer.weights {
        case .int8(let codes, let scale, let stride):
            let input = known.blocks ?? quantized(x)
            known.blocks = input
            finish.roundsFirst = activationType == .bf16 ? 1 : 0
            launch(
                .int8, "int8_linear_\(output.dtype)", grid: ((m + 127) / 128 * ((n + 127) / 128), 1), threads: 256,
                shared: 128 * 132 * 4, input.codes, input.scale, codes, scale, output, Int64(m), Int32(n),
                Int32(stride), finish)
        case .rows8:
            let input = known.rows8 ?? rows8(x)
            known.rows8 = input
            multiplyRows8(input, layer, into: output, epilogue, finish)
        case .dense(let stored):
            if multiply(x, stored, layer.narrowBias, wideBias: layer.bias, into: output, epilogue) { return }
            product(x, x.dtype == .f32 ? layer.exactWeight(stored, self) : stored, into: output, finish)
        }
    }

    /// `output [m, n] = epilogue(x [m, k] w[n, k]^T)`.
    func product(_ x: Tensor, _ w: Tensor, into output: Tensor, _ epilogue: KernelEpilogue) {
        let (m, k) = x.matrix
        let n = w.shape[0]
        if k % 8 == 0, canUse(.products, [x, w]) {
            return launch(
                .gemm, "tensor_linear_\(output.dtype)", grid: ((m + 127) / 128 * ((n + 127) / 128), 1), threads: 256,
                shared: 3 * 256 * 128, x, w, output, Int64(m), Int32(n), Int32(k), epilogue)
        }
        launch(
            .gemm, "plain_linear_\(x.dtype)_\(w.dtype)_\(output.dtype)", grid: ((m + 63) / 64 * ((n + 63) / 64), 1),
            threads: 256, x, w, output, Int64(m), Int32(n), Int32(k), epilogue)
    }

    func kernelEpilogue(_ epilogue: Epilogue, rows: Int, output: Tensor) -> KernelEpilogue {
        let n = output.matrix.columns
        switch epilogue {
        case .none: return KernelEpilogue()
        case .activation(let activation): return KernelEpilogue(kind: activation.kernelKind.rawValue)
        case .accumulate: return KernelEpilogue(kind: KernelEpilogue.Kind.accumulate.rawValue)
        case .gated(let gate):
            precondition(gate.elementCount == n && gate.dtype == .f32, "gate \(gate.shape) of \(n) outputs")
            return KernelEpilogue(operand: gate.address, kind: KernelEpilogue.Kind.gated.rawValue)
        case .multiply(let factor):
            precondition(
                factor.elementCount == rows * n && factor.dtype == output.dtype, "factor \(factor.shape)")
            return KernelEpilogue(operand: factor.address, kind: KernelEpilogue.Kind.multiply.rawValue)
        }
    }
}
