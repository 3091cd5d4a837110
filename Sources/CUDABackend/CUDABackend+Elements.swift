import Tensors

extension CUDABackend {
    public func gather(_ table: Tensor, ids: Tensor, into output: Tensor) {
        let (vocabulary, dim) = table.matrix
        precondition(ids.dtype == .i32 && output.matrix == (ids.elementCount, dim), "gather into \(output.shape)")
        launchElements(
            .elements, "gather_\(table.dtype)_\(output.dtype)", count: output.elementCount, table, ids, output,
            Int64(ids.elementCount), Int32(dim), Int32(vocabulary))
    }

    public func gatherColumns(_ table: Tensor, ids: Tensor, into output: Tensor) {
        let ((rows, columns), count) = (table.matrix, ids.elementCount)
        precondition(
            ids.dtype == .i32 && table.dtype == .f32 && output.dtype == .f32 && output.elementCount == columns * count,
            "gather into \(output.shape)")
        precondition(output.elementCount < 1 << 32, "gather into \(output.shape)")
        launchElements(
            .elements, "gather_columns_f32", count: output.elementCount, table, ids, output, Int64(count),
            Int32(columns), Int32(rows))
    }

    public func add(_ y: Tensor, to x: Tensor) {
        precondition(
            y.elementCount == x.elementCount || y.elementCount == x.matrix.columns, "add \(y.shape) to \(x.shape)")
        launchElements(
            .elements, "add_\(x.dtype)_\(y.dtype)", count: x.elementCount, x, y, Int64(x.elementCount),
            Int64(y.elementCount))
    }

    public func multiply(_ x: Tensor, by y: Tensor) {
        precondition(y.elementCount == x.elementCount && y.dtype == x.dtype, "multiply \(x.shape) by \(y.shape)")
        launchElements(.elements, "multiply_\(x.dtype)", count: x.elementCount, x, y, Int64(x.elementCount))
    }

    public func addGated(_ y: Tensor, gate: Tensor, to x: Tensor) {
        let dim = x.matrix.columns
        precondition(
            y.elementCount == x.elementCount && y.dtype == x.dtype && gate.elementCount == dim && gate.dtype == .f32,
            "add \(y.shape) to \(x.shape)")
        if x.dtype == .bf16, dim % 8 == 0, [x, y, gate].allSatisfy({ $0.isAligned(16) }) {
            let groups = x.elementCount / 8
            return launchElements(
                .elements, "add_gated_bf16x8", count: groups, x, y, gate, Int64(groups), Int32(dim / 8))
        }
        launchElements(
            .elements, "add_gated_\(x.dtype)", count: x.elementCount, x, y, gate, Int64(x.elementCount), Int32(dim))
    }

    public func activate(_ x: Tensor, _ activation: Activation) {
        launchElements(
            .elements, "activate_\(x.dtype)", count: x.elementCount, x, Int64(x.elementCount),
            activation.kernelKind.rawValue)
    }

    public func permute(_ source: Tensor, axes: [Int], into output: Tensor) {
        var plan = PermutationPlan(source, axes: axes, into: output)
        guard source.elementCount > 0 else { return }
        // Where the innermost axis stays, 16 bytes move at once.
        var size = source.dtype.byteCount
        let last = plan.extents.count - 1
        let wide = 16 / size
        if plan.steps[last] == 1, plan.extents[last] % wide == 0, plan.steps.dropLast().allSatisfy({ $0 % wide == 0 }),
            source.isAligned(16), output.isAligned(16)
        {
            plan.extents[last] /= wide
            for axis in 0..<last { plan.steps[axis] /= wide }
            size = 16
        }
        let count = plan.extents.reduce(1, *)
        precondition(plan.extents.allSatisfy { $0 < 1 << 31 }, "permute \(source.shape)")
        launchElements(
            .elements, "permute_\(size)", count: count, source, output, Int64(count),
            KernelPermutation(extents: plan.extents, steps: plan.steps))
    }

    public func upsampleNearest(_ x: Tensor, into output: Tensor) {
        precondition(x.shape.count == 4, "upsample \(x.shape)")
        let (frames, height, width, channels) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        precondition(
            output.shape == [frames, 2 * height, 2 * width, channels] && output.dtype == x.dtype,
            "upsample into \(output.shape)")
        let bytes = channels * x.dtype.byteCount
        let size = bytes % 16 == 0 && x.isAligned(16) && output.isAligned(16) ? 16 : x.dtype.byteCount
        launchElements(
            .elements, "upsample_\(size)", count: output.byteCount / size, x, output, Int64(frames * height),
            Int32(width), Int32(bytes / size))
    }

    public func quantizeFrames(_ x: Tensor, into output: Tensor) {
        precondition(x.elementCount == output.elementCount && output.dtype == .u8, "frames \(x.shape)")
        launchElements(
            .elements, "quantize_frames_\(x.dtype)", count: x.elementCount, x, output, Int64(x.elementCount))
    }
}

extension Activation {
    var kernelKind: KernelEpilogue.Kind {
        switch self {
        case .silu: .silu
        case .geluTanh: .geluTanh
        }
    }
}
