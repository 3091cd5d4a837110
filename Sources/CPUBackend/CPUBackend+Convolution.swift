import CKernels
import Foundation
import Tensors

/// A convolution as the kernels read it: panels `[kt * kh * kw * in, out]`.
final class CPUConvolution: Convolution, @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: nothing is written after initialisation.
    let inputChannels: Int
    let outputChannels: Int
    let geometry: ConvolutionGeometry
    /// (time, height, width)
    let kernel: (t: Int, h: Int, w: Int)
    let panels: HostStorage
    let bias: [Float]?

    init(weight: HostTensor, bias: HostTensor?, geometry: ConvolutionGeometry, kernels: dk_kernels) throws {
        let shape = weight.shape.count == 4 ? [weight.shape[0], weight.shape[1], 1] + weight.shape[2...] : weight.shape
        guard shape.count == 5, shape.reduce(1, *) > 0, shape[2] * shape[3] * shape[4] <= 256 else {
            throw BackendError.unsupported("convolution weight \(weight.name) of shape \(weight.shape)")
        }
        (outputChannels, inputChannels) = (shape[0], shape[1])
        kernel = (shape[2], shape[3], shape[4])
        self.geometry = geometry
        self.bias = bias?.floats()
        let (taps, values) = (shape[2] * shape[3] * shape[4], weight.floats())
        // [out, in, taps] -> [out, taps, in]
        var ordered = [Float](repeating: 0, count: values.count)
        for out in 0..<outputChannels {
            for channel in 0..<inputChannels {
                for tap in 0..<taps {
                    ordered[(out * taps + tap) * inputChannels + channel] =
                        values[(out * inputChannels + channel) * taps + tap]
                }
            }
        }
        panels = CPULinear.panels(ordered, outputChannels, taps * inputChannels, kernels)
    }

    var byteCount: Int { panels.memory.count + (bias?.count ?? 0) * 4 }
}

extension CPUBackend {
    public func makeConvolution(weight: HostTensor, bias: HostTensor?, geometry: ConvolutionGeometry) throws
        -> any Convolution
    {
        try CPUConvolution(weight: weight, bias: bias, geometry: geometry, kernels: kernels)
    }

    public func convolve(
        _ x: Tensor, _ layer: any Convolution, history: Tensor?, residual: Tensor?, into output: Tensor
    ) {
        guard let layer = layer as? CPUConvolution else { preconditionFailure("a layer of another backend") }
        precondition(x.shape.count == 4 && output.shape.count == 4, "convolve \(x.shape) into \(output.shape)")
        var problem = geometry(of: layer, x, history, output)
        precondition(residual.map { $0.shape == output.shape } ?? true, "residual of \(output.shape)")
        problem.x = UnsafePointer(x.floats)
        problem.history = history.map { UnsafePointer($0.floats) }
        problem.residual = residual.map { UnsafePointer($0.floats) }
        problem.result = output.floats
        problem.panels = UnsafePointer(layer.panels.memory.floats)
        guard let bias = layer.bias else { return run(&problem) }
        bias.withUnsafeBufferPointer {
            problem.bias = $0.baseAddress
            run(&problem)
        }
    }

    private func geometry(of layer: CPUConvolution, _ x: Tensor, _ history: Tensor?, _ output: Tensor)
        -> dk_convolution
    {
        var problem = dk_convolution()
        let (g, kernel) = (layer.geometry, layer.kernel)
        (problem.frames, problem.height, problem.width, problem.in) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        (problem.out_frames, problem.out_height) = (output.shape[0], output.shape[1])
        (problem.out_width, problem.out) = (output.shape[2], output.shape[3])
        (problem.kt, problem.kh, problem.kw) = (kernel.t, kernel.h, kernel.w)
        (problem.stride_t, problem.stride_h, problem.stride_w) = (g.strideT, g.strideH, g.strideW)
        (problem.pad_top, problem.pad_left) = (g.padTop, g.padLeft)
        problem.history_frames = history?.shape[0] ?? 0
        problem.zero_frames =
            (problem.out_frames - 1) * g.strideT + kernel.t - problem.history_frames - problem.frames
        // Frames that the stride leaves over at the end are not read.
        let zeros = problem.zero_frames
        problem.zero_frames = max(0, zeros)
        precondition(
            problem.in == layer.inputChannels && problem.out == layer.outputChannels, "convolve \(x.shape)")
        precondition(
            problem.out_height == (problem.height + g.padTop + g.padBottom - kernel.h) / g.strideH + 1
                && problem.out_width == (problem.width + g.padLeft + g.padRight - kernel.w) / g.strideW + 1
                && zeros > -g.strideT && problem.out_frames > 0,
            "convolve \(x.shape) into \(output.shape)")
        precondition(history.map { $0.shape.dropFirst() == x.shape.dropFirst() } ?? true, "history of \(x.shape)")
        return problem
    }

    /// One task is a band of rows, over all output frames: what a band copies of an input frame serves `kt` of them.
    private func run(_ problem: inout dk_convolution) {
        let (kernels, pool) = (self.kernels, self.pool)
        let (height, length) = (problem.out_height, problem.out_frames)
        var (rows, frames) = (height, length)
        func tasks() -> Int { (height + rows - 1) / rows * ((length + frames - 1) / frames) }
        while rows > 4, kernels.convolution_scratch(&problem, rows) > 256 << 10 { rows = (rows + 1) / 2 }
        while tasks() < threadCount * 3, rows > 4 { rows = (rows + 1) / 2 }
        while tasks() < threadCount * 3, frames > 1 { frames = (frames + 1) / 2 }
        while tasks() < threadCount * 2, rows > 1 { rows = (rows + 1) / 2 }
        let bands = (height + rows - 1) / rows
        let (rowStep, frameStep) = (rows, frames)
        withUnsafePointer(to: &problem) { problem in
            let bytes = kernels.convolution_scratch(problem, rowStep)
            pool.run(tasks()) { index, worker in
                let (frame, row) = (index / bands * frameStep, index % bands * rowStep)
                kernels.convolve(
                    problem, frame, min(length, frame + frameStep), row,
                    min(height, row + rowStep), pool.scratch(worker, bytes))
            }
        }
    }
}
