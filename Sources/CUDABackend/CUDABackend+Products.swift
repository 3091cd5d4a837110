import CUDADriver
import Tensors

extension CUDABackend {
    /// Rows from which the library's products are worth their launch.
    private static let libraryRows = 256

    /// `output = epilogue(x w^T + bias)` by cuBLASLt, what it cannot fuse in a kernel after it.
    ///
    /// - Returns: false if this product is not for the library; nothing was done then.
    func multiply(
        _ x: Tensor, _ w: Tensor, _ bias: Tensor?, wideBias: Tensor?, into output: Tensor, _ epilogue: Epilogue
    ) -> Bool {
        let (m, k) = x.matrix
        let n = output.matrix.columns
        guard let products, m >= Self.libraryRows, n >= 32, k % 8 == 0, n % 8 == 0, (wideBias == nil) == (bias == nil),
            [x, w, output].allSatisfy({ $0.dtype == .bf16 && $0.isAligned(16) })
        else { return false }
        func run(
            _ w: Tensor, _ epilogue: MatrixProducts.Epilogue, accumulates: Bool, into target: Tensor
        ) -> Bool {
            must(else: true) {
                try products.multiply(
                    x: x.address, w: w.address, into: target.address, m: m, n: n, k: k, epilogue: epilogue,
                    accumulates: accumulates)
            }
        }
        if case .gated(let gate) = epilogue, takesGate(rows: m, input: k) {
            let gated = (w: scratch([n, k], .bf16), bias: scratch([n], .bf16))
            launchElements(
                .elements, "gate_weights", count: n * k / 8, w, wideBias, gate, gated.w, gated.bias, Int32(n), Int32(k))
            let plain: MatrixProducts.Epilogue = bias != nil ? .bias(gated.bias.address) : .none
            return run(gated.w, plain, accumulates: true, into: output)
        }
        return finish(output, epilogue, bias: bias) { run(w, $0, accumulates: $1, into: $2) }
    }

    /// Whether a gate in bf16 is taken into the weights: they are fewer than what it would else be multiplied with.
    func takesGate(rows: Int, input: Int) -> Bool {
        fastPaths.contains(.gates) && products != nil && activationType == .bf16 && rows >= max(input, Self.libraryRows)
    }

    /// Has `run` multiply with what the library can fuse of `epilogue`, and does the rest after it.
    ///
    /// - Parameters:
    ///   - bias: bf16 `[n]`.
    ///   - run: takes the library's epilogue, whether the target is added to, and the target `[m, n]`; false if the library
    ///     has no way, and nothing was done then.
    func finish(
        _ output: Tensor, _ epilogue: Epilogue, bias: Tensor?,
        run: (MatrixProducts.Epilogue, Bool, Tensor) -> Bool
    ) -> Bool {
        let (m, n) = output.matrix
        let plain = bias.map { MatrixProducts.Epilogue.bias($0.address) } ?? .none
        switch epilogue {
        case .none: return run(plain, false, output)
        case .accumulate: return run(plain, true, output)
        case .activation(let activation):
            if activation == .geluTanh, let bias { return run(.biasThenGELU(bias.address), false, output) }
            guard run(plain, false, output) else { return false }
            activate(output, activation)
            return true
        case .multiply(let factor):
            precondition(factor.elementCount == m * n, "factor \(factor.shape)")
            guard run(plain, false, output) else { return false }
            multiply(output.reshaped([m, n]), by: factor.reshaped([m, n]))
            return true
        case .gated(let gate):
            let result = scratch([m, n], .bf16)
            guard run(plain, false, result) else { return false }
            addGated(result, gate: gate, to: output.reshaped([m, n]))
            return true
        }
    }
}
