import CKernels
import Tensors

extension CPUBackend {
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
        precondition((scale ?? shift)?.elementCount ?? dim == dim && shift?.elementCount ?? dim == dim, "norm weights")
        let (from, to, kernels) = (x.floats, output.floats, self.kernels)
        let (weight, bias) = (scale.map { UnsafePointer($0.floats) }, shift.map { UnsafePointer($0.floats) })
        pool.ranges(rows, grain: rowGrain(dim)) {
            let start = $0.lowerBound * dim
            kernels.layer_norm(from + start, $0.count, dim, epsilon, weight, bias, modulated, to + start)
        }
    }

    public func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float, into output: Tensor) {
        let (rows, dim) = x.matrix
        precondition(x.shape == output.shape && weight.elementCount == dim, "norm of \(x.shape) into \(output.shape)")
        let (from, to, w, kernels) = (x.floats, output.floats, weight.floats, self.kernels)
        pool.ranges(rows, grain: rowGrain(dim)) {
            let start = $0.lowerBound * dim
            kernels.rms_norm(from + start, $0.count, dim, epsilon, w, to + start)
        }
    }

    public func channelNorm(_ x: Tensor, gamma: Tensor, activation: Activation?, into output: Tensor) {
        let (rows, dim) = x.matrix
        precondition(x.shape == output.shape && gamma.elementCount == dim, "norm of \(x.shape) into \(output.shape)")
        let (from, to, w, kernels) = (x.floats, output.floats, gamma.floats, self.kernels)
        let code = activation?.kernelCode ?? Int32(DK_STORE.rawValue)
        pool.ranges(rows, grain: rowGrain(dim)) {
            let start = $0.lowerBound * dim
            kernels.channel_norm(from + start, $0.count, dim, w, code, to + start)
        }
    }

    public func rotate(_ x: Tensor, table: Tensor) {
        precondition(x.shape.count == 3 && x.shape[2] % 2 == 0, "rotate \(x.shape)")
        let (tokens, heads, headDim) = (x.shape[0], x.shape[1], x.shape[2])
        precondition(table.shape == [tokens, headDim / 2, 2], "table \(table.shape) for \(x.shape)")
        let (from, angles, kernels) = (x.floats, table.floats, self.kernels)
        pool.ranges(tokens, grain: rowGrain(heads * headDim)) {
            kernels.rotate(
                from + $0.lowerBound * heads * headDim, $0.count, heads, headDim, angles + $0.lowerBound * headDim)
        }
    }

    /// Rows that are worth a thread's while.
    func rowGrain(_ dim: Int) -> Int { max(1, (1 << 14) / max(1, dim)) }
}
