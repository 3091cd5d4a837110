import Tensors

/// A convolution in the GPU's memory.
final class CUDAConvolution: Convolution, @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: nothing is written after initialisation.
    let inputChannels: Int
    let outputChannels: Int
    let geometry: ConvolutionGeometry
    /// (time, height, width)
    let kernel: (t: Int, h: Int, w: Int)
    /// `[out, taps * in]`, in the backend's activation type.
    let weight: Tensor
    /// f32 `[out]`.
    let bias: Tensor?

    init(
        shape: [Int], geometry: ConvolutionGeometry, weight: Tensor, bias: Tensor?
    ) {
        (outputChannels, inputChannels) = (shape[0], shape[1])
        kernel = (shape[2], shape[3], shape[4])
        (self.geometry, self.weight, self.bias) = (geometry, weight, bias)
    }

    var byteCount: Int { weight.byteCount + (bias?.byteCount ?? 0) }

    /// Whether the kernels for several frames at once can compute it.
    var suitsFrames: Bool {
        (kernel == (3, 3, 3) || kernel == (1, 3, 3)) && geometry == .same(1) && inputChannels % 32 == 0
            && outputChannels % 96 == 0
    }
}

extension CUDABackend {
    public func makeConvolution(weight: HostTensor, bias: HostTensor?, geometry: ConvolutionGeometry) throws
        -> any Convolution
    {
        let shape = weight.shape.count == 4 ? [weight.shape[0], weight.shape[1], 1] + weight.shape[2...] : weight.shape
        guard shape.count == 5, shape.reduce(1, *) > 0, shape[2] * shape[3] * shape[4] <= 256 else {
            throw BackendError.unsupported("convolution weight \(weight.name) of shape \(weight.shape)")
        }
        let taps = shape[2] * shape[3] * shape[4]
        let given = try upload(weight.reshaped([shape[0], shape[1], taps]), as: activationType)
        let ordered = try allocate([shape[0], taps, shape[1]], activationType)
        permute(given, axes: [0, 2, 1], into: ordered)
        return CUDAConvolution(
            shape: shape, geometry: geometry, weight: ordered.reshaped([shape[0], taps * shape[1]]),
            bias: try bias.map { try upload($0, as: .f32) })
    }

    public func convolve(
        _ x: Tensor, _ layer: any Convolution, history: Tensor?, residual: Tensor?, into output: Tensor
    ) {
        guard let layer = layer as? CUDAConvolution else { preconditionFailure("a layer of another backend") }
        precondition(x.shape.count == 4 && output.shape.count == 4, "convolve \(x.shape) into \(output.shape)")
        let types = [x.dtype, output.dtype, history?.dtype, residual?.dtype].compactMap { $0 }
        precondition(types.allSatisfy { $0 == activationType }, "convolve \(types)")
        precondition(residual.map { $0.shape == output.shape } ?? true, "residual of \(output.shape)")
        let window = window(of: layer, x, history, output)
        let epilogue = KernelEpilogue(
            bias: layer.bias.address, operand: residual.address,
            kind: (residual == nil ? KernelEpilogue.Kind.store : .residual).rawValue)
        let (m, n, k) = (output.elementCount / layer.outputChannels, layer.outputChannels, layer.weight.shape[1])
        let frames = x.shape[0] + (history?.shape[0] ?? 0) + layer.kernel.t
        let isSmall = frames * x.shape[1] * x.shape[2] * x.shape[3] < 1 << 31 && layer.kernel.h * layer.kernel.w <= 32
        let isTensor = fastPaths.contains(.convolution) && x.dtype == .bf16 && isSmall
        let width = n <= 32 ? 32 : 96
        let blocks = (m + 127) / 128 * ((n + width - 1) / width)
        if isTensor, layer.inputChannels % 8 == 0, x.isAligned(16), history?.isAligned(16) ?? true {
            if usesHopper, let tile = filmTile(layer, output, residual) {
                return launch(
                    .frames, "frames_convolution_\(tile.name)",
                    grid: (min(tile.count(output), device.multiprocessors), 1), threads: 384, shared: tile.sharedBytes,
                    x, layer.weight, output, Int32(output.shape[0]), Int32(n), Int32(k), epilogue, window)
            }
            if usesHopper, let tile = haloTile(layer, output) {
                return launch(
                    .halo, "halo_convolution_\(tile.columns)_\(tile.part)_\(tile.groups)",
                    grid: (tile.count(output.shape), 1), threads: 128 * tile.groups, shared: tile.sharedBytes, x,
                    layer.weight, output, Int32(n), Int32(k), epilogue, window)
            }
            if n > 48, usesHopper {
                let tile = hopperTile(rows: m, columns: n)
                return launch(
                    .gemm, "hopper_convolution_\(tile.columns)", grid: (tile.count(rows: m, columns: n), 1),
                    threads: 2 * tile.rows, shared: 1024 + 4 * (tile.rows + tile.columns) * 128, x, layer.weight,
                    output, Int64(m), Int32(n), Int32(k), epilogue, window)
            }
            return launch(
                .gemm, "tensor_convolution_\(width)", grid: (blocks, 1), threads: 256, shared: 3 * (128 + width) * 128,
                x, layer.weight, output, Int64(m), Int32(n), Int32(k), epilogue, window)
        }
        if isTensor, fastPaths.contains(.narrow) {
            return launch(
                .gemm, "narrow_convolution_\(width)", grid: (blocks, 1), threads: 256, shared: 3 * (128 + width) * 128,
                x, layer.weight, output, Int64(m), Int32(n), Int32(k), epilogue, window)
        }
        launch(
            .gemm, "plain_convolution_\(x.dtype)", grid: ((m + 63) / 64 * ((n + 63) / 64), 1), threads: 256, x,
            layer.weight, output, Int64(m), Int32(n), Int32(k), epilogue, window)
    }

    /// What a block of the kernel for several frames takes at once.
    private struct FilmTile {
        let frames: Int
        /// In time.
        let taps: Int

        var name: String { "\(frames)_\(taps)" }

        /// Two inputs of 18 x 10 pixels and 32 channels of every frame it sees, and four places for weights.
        var sharedBytes: Int {
            let halo = ((frames + taps - 1) * 180 * 64 + 1023) / 1024 * 1024
            return 1024 + 2 * halo + 4 * taps * 96 * 64 + 128
        }

        func count(_ output: Tensor) -> Int {
            let (down, across) = ((output.shape[1] + 7) / 8, (output.shape[2] + 15) / 16)
            return (output.shape[0] + frames - 1) / frames * down * across * output.shape[3] / 96
        }
    }

    /// nil where that kernel does not suit. Whether it does is not for the number of frames to say, so that a frame gets the
    /// same bits alone as beside others.
    private func filmTile(_ layer: CUDAConvolution, _ output: Tensor, _ residual: Tensor?) -> FilmTile? {
        let frames = output.shape[0]
        let one = FilmTile(frames: 1, taps: layer.kernel.t)
        guard fastPaths.contains(.frames), layer.suitsFrames, output.isAligned(16), residual?.isAligned(16) ?? true,
            output.elementCount < 1 << 31, layer.weight.elementCount < 1 << 31,
            one.count(output) / frames >= 2 * device.multiprocessors
        else { return nil }
        return FilmTile(frames: frames > 2 ? 4 : frames, taps: layer.kernel.t)
    }

    /// What a block of the kernel that reads each input once takes: columns of the output, channels of the input at a time,
    /// groups of 8 x 8 pixels.
    private struct HaloTile {
        let columns: Int
        let part: Int
        let groups: Int

        /// Two inputs of 18 pixels in width and four places for weights, or the finished tile over them.
        var sharedBytes: Int {
            let halo = (18 * (4 * groups + 2) * 128 + 1023) / 1024 * 1024
            return 1024 + max(2 * halo + 4 * columns * 128, 64 * groups * (columns + 4) * 4)
        }

        func count(_ output: [Int]) -> Int {
            let (down, across) = ((output[1] + 4 * groups - 1) / (4 * groups), (output[2] + 15) / 16)
            return output[0] * down * across * ((output[3] + columns - 1) / columns)
        }
    }

    private struct HopperTile {
        let rows: Int
        let columns: Int

        func count(rows m: Int, columns n: Int) -> Int { (m + rows - 1) / rows * ((n + columns - 1) / columns) }
    }

    /// nil where that kernel does not suit: it is for 3 x 3 pixels around each, 48 or 64 channels at a time; at 96 columns
    /// it is slower, and at 192 where its squares leave more of a last round of blocks idle.
    private func haloTile(_ layer: CUDAConvolution, _ output: Tensor) -> HaloTile? {
        let (input, n) = (layer.inputChannels, layer.outputChannels)
        guard fastPaths.contains(.halo), (layer.kernel.h, layer.kernel.w) == (3, 3), layer.geometry == .same(1),
            input % 64 == 0 || input % 48 == 0
        else { return nil }
        let part = input % 64 == 0 ? 64 : 48
        if n <= 8 { return HaloTile(columns: 8, part: part, groups: 2) }
        // As for four frames, however many there are: a frame gets the same bits beside others as alone.
        let shape = [4] + output.shape.dropFirst()
        let rows = shape.dropLast().reduce(1, *)
        let (tile, other) = (HaloTile(columns: 192, part: part, groups: 4), hopperTile(rows: rows, columns: n))
        guard other.columns == 192 else { return nil }
        func rounds(_ blocks: Int) -> Int { (blocks + device.multiprocessors - 1) / device.multiprocessors }
        return rounds(tile.count(shape)) <= rounds(other.count(rows: rows, columns: n)) ? tile : nil
    }

    /// Large tiles read less a product, but must be enough to keep the GPU busy; of small ones two run at once. A round of
    /// large ones takes 17/9 of the time of a round of small ones (measured on an H200).
    private func hopperTile(rows: Int, columns: Int) -> HopperTile {
        let (large, small) = (HopperTile(rows: 256, columns: 192), HopperTile(rows: 128, columns: 96))
        func rounds(_ tile: HopperTile, atOnce: Int) -> Int {
            (tile.count(rows: rows, columns: columns) + atOnce - 1) / atOnce
        }
        let largeCost = 17 * rounds(large, atOnce: device.multiprocessors)
        let smallCost = 9 * rounds(small, atOnce: 2 * device.multiprocessors)
        return columns % 192 == 0 && largeCost <= smallCost ? large : small
    }

    private func window(of layer: CUDAConvolution, _ x: Tensor, _ history: Tensor?, _ output: Tensor) -> KernelWindow {
        let (g, kernel) = (layer.geometry, layer.kernel)
        let (frames, height, width) = (x.shape[0], x.shape[1], x.shape[2])
        let historyFrames = history?.shape[0] ?? 0
        // Frames that the stride leaves over at the end are not read.
        let zeros = (output.shape[0] - 1) * g.strideT + kernel.t - historyFrames - frames
        precondition(
            x.shape[3] == layer.inputChannels && output.shape[3] == layer.outputChannels, "convolve \(x.shape)")
        precondition(
            output.shape[1] == (height + g.padTop + g.padBottom - kernel.h) / g.strideH + 1
                && output.shape[2] == (width + g.padLeft + g.padRight - kernel.w) / g.strideW + 1
                && zeros > -g.strideT && output.shape[0] > 0,
            "convolve \(x.shape) into \(output.shape)")
        precondition(history.map { $0.shape.dropFirst() == x.shape.dropFirst() } ?? true, "history of \(x.shape)")
        return KernelWindow(
            history: history.address, historyFrames: Int32(historyFrames), frames: Int32(frames),
            height: Int32(height), width: Int32(width), input: Int32(layer.inputChannels),
            kernelHeight: Int32(kernel.h), kernelWidth: Int32(kernel.w), strideT: Int32(g.strideT),
            strideH: Int32(g.strideH), strideW: Int32(g.strideW), first: Int32(-max(0, zeros)), top: Int32(-g.padTop),
            left: Int32(-g.padLeft), outHeight: Int32(output.shape[1]), outWidth: Int32(output.shape[2]))
    }
}
