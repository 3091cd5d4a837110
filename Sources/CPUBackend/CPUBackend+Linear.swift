import CKernels
import Foundation
import Tensors

extension CPUBackend {
    public func makeLinear(_ weights: LinearWeights, precision: LinearPrecision) throws -> any Linear {
        try CPULinear(weights, precision: precision, kernels: kernels)
    }

    public func linear(_ x: Tensor, _ layer: any Linear, into output: Tensor, _ epilogue: Epilogue) {
        guard let layer = layer as? CPULinear else { preconditionFailure("a layer of another backend") }
        let (m, k) = x.matrix
        precondition(
            k == layer.inputSize && output.matrix == (m, layer.outputSize),
            "linear \(layer.inputSize) -> \(layer.outputSize): \(x.shape) -> \(output.shape)")
        guard m > 0 else { return }
        withKernelLinear(layer) { problem in
            problem.x = UnsafePointer(x.floats)
            problem.out = output.floats
            problem.m = m
            set(epilogue, of: &problem, rows: m)
            if layer.precision == .int8 {
                runInt8(&problem)
            } else {
                runLinear(&problem)
            }
        }
    }

    private func withKernelLinear(_ layer: CPULinear, _ body: (inout dk_linear) -> Void) {
        var problem = dk_linear()
        problem.k = layer.inputSize
        problem.n = layer.outputSize
        func withBias(_ body: (inout dk_linear) -> Void) {
            guard let bias = layer.bias else { return body(&problem) }
            bias.withUnsafeBufferPointer {
                problem.bias = $0.baseAddress
                body(&problem)
            }
        }
        switch layer.weights {
        case .panels(let storage):
            problem.panels = UnsafePointer(storage.memory.floats)
            withBias(body)
        case .bf16(let tensor):
            problem.bf16 = tensor.bytes.baseAddress?.assumingMemoryBound(to: UInt16.self)
            withBias(body)
        case .int8(let tensor, let scale):
            problem.int8 = tensor.bytes.baseAddress?.assumingMemoryBound(to: Int8.self)
            scale.withUnsafeBufferPointer {
                problem.weight_scale = $0.baseAddress
                withBias(body)
            }
        }
    }

    private func set(_ epilogue: Epilogue, of problem: inout dk_linear, rows: Int) {
        switch epilogue {
        case .none: problem.epilogue = Int32(DK_STORE.rawValue)
        case .activation(let activation): problem.epilogue = activation.kernelCode
        case .accumulate: problem.epilogue = Int32(DK_ACCUMULATE.rawValue)
        case .gated(let gate):
            precondition(gate.elementCount == problem.n, "gate \(gate.shape) of \(problem.n) outputs")
            problem.epilogue = Int32(DK_GATED.rawValue)
            problem.operand = UnsafePointer(gate.floats)
        case .multiply(let factor):
            precondition(factor.elementCount == rows * problem.n, "factor \(factor.shape)")
            problem.epilogue = Int32(DK_MULTIPLY.rawValue)
            problem.operand = UnsafePointer(factor.floats)
        }
    }

    /// Quantises the input, block row by block row, then multiplies.
    private func runInt8(_ problem: inout dk_linear) {
        let blocks = (problem.k + 127) / 128
        let blockRows = (problem.m + 127) / 128
        let codeBytes = blocks * 128 * kernels.code_bytes
        let codes = UnsafeMutableRawPointer.allocate(byteCount: problem.m * codeBytes, alignment: 64)
        let scale = UnsafeMutablePointer<Float>.allocate(capacity: blockRows * blocks)
        defer {
            codes.deallocate()
            scale.deallocate()
        }
        let (x, m, k, kernels) = (problem.x.unsafelyUnwrapped, problem.m, problem.k, self.kernels)
        pool.run(blockRows) { block, _ in
            let row = block * 128
            kernels.pack_codes(
                x + row * k, min(128, m - row), k, blocks * 128, codes + row * codeBytes, scale + block * blocks)
        }
        problem.codes = UnsafeRawPointer(codes)
        problem.code_stride = blocks * 128
        problem.x_scale = UnsafePointer(scale)
        runLinear(&problem)
    }

    /// Cuts the output into rectangles: wide enough to use the packed weights, enough of them for every thread.
    private func runLinear(_ problem: inout dk_linear) {
        let (m, n, nr) = (problem.m, problem.n, kernels.nr)
        let wanted = threadCount == 1 ? 1 : threadCount * 4
        var columns = min((n + nr - 1) / nr * nr, max(nr, 128 / nr * nr))
        var rows = min(m, 768)
        func tasks() -> Int { (m + rows - 1) / rows * ((n + columns - 1) / columns) }
        while tasks() < wanted, columns > 2 * nr || rows > 96 {
            if rows > 96, problem.panels != nil || rows >= 384 || columns <= 2 * nr {
                rows = max(96, (rows + 1) / 2)
            } else if columns > 2 * nr {
                columns = max(2 * nr, columns / 2 / nr * nr)
            } else {
                break
            }
        }
        let (rowStep, columnStep) = (rows, columns)
        let across = (n + columnStep - 1) / columnStep
        let (pool, kernels) = (self.pool, self.kernels)
        withUnsafePointer(to: &problem) { problem in
            let bytes = kernels.linear_scratch(problem, rowStep, columnStep)
            pool.run(tasks()) { index, worker in
                let (row, column) = (index / across * rowStep, index % across * columnStep)
                kernels.linear(
                    problem, row, min(m, row + rowStep), column, min(n, column + columnStep),
                    pool.scratch(worker, bytes))
            }
        }
    }
}

extension Activation {
    var kernelCode: Int32 {
        switch self {
        case .silu: Int32(DK_SILU.rawValue)
        case .geluTanh: Int32(DK_GELU.rawValue)
        }
    }
}
