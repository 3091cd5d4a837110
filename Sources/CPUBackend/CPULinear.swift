import CKernels
import Foundation
import Tensors

/// A linear layer as the kernels read it.
final class CPULinear: Linear, @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: nothing is written after initialisation.
    enum Weights {
        /// Panels of the transposed weight, f32.
        case panels(HostStorage)
        /// `[out, in]`, where the checkpoint lies.
        case bf16(HostTensor)
        /// Codes `[out, in]` and scales.
        case int8(HostTensor, scale: [Float])
    }

    let inputSize: Int
    let outputSize: Int
    let precision: LinearPrecision
    let weights: Weights
    let bias: [Float]?

    init(_ source: LinearWeights, precision: LinearPrecision, kernels: dk_kernels) throws {
        (outputSize, inputSize) = source.size
        switch (source, precision) {
        case (.dense(let weight, let bias), .int8):
            self.precision = .int8
            self.bias = bias?.floats()
            let quantized = Int8Matrix(quantizing: weight.floats(), rows: outputSize, columns: inputSize, kernels)
            weights = .int8(
                HostTensor(
                    name: weight.name, shape: [outputSize, inputSize], dtype: .i8,
                    copying: quantized.codes.map { UInt8(bitPattern: $0) }), scale: quantized.scale)
        case (.dense(let weight, let bias), _):
            self.precision = .float
            self.bias = bias?.floats()
            let aligned = UInt(bitPattern: weight.bytes.baseAddress) % 2 == 0
            weights =
                weight.dtype == .bf16 && aligned
                ? .bf16(weight) : .panels(Self.panels(weight.floats(), outputSize, inputSize, kernels))
        case (.int8(let weight, let scale, let bias), .float):
            self.precision = .float
            self.bias = bias?.floats()
            var values = weight.floats()
            let (factors, columns) = (scale.floats(), (inputSize + 127) / 128)
            for row in 0..<outputSize {
                for column in 0..<inputSize {
                    values[row * inputSize + column] *= factors[row / 128 * columns + column / 128]
                }
            }
            weights = .panels(Self.panels(values, outputSize, inputSize, kernels))
        case (.int8(let weight, let scale, let bias), _):
            self.precision = .int8
            self.bias = bias?.floats()
            weights = .int8(weight, scale: scale.floats())
        }
    }

    static func panels(_ values: [Float], _ rows: Int, _ columns: Int, _ kernels: dk_kernels) -> HostStorage {
        let storage = HostStorage(byteCount: max(4, kernels.panel_floats(columns, rows) * 4))
        values.withUnsafeBufferPointer {
            guard let base = $0.baseAddress else { return }
            kernels.pack_f32(base, columns, columns, rows, storage.memory.floats)
        }
        return storage
    }

    var byteCount: Int {
        let own =
            switch weights {
            case .panels(let storage): storage.memory.count
            case .bf16(let tensor): tensor.bytes.count
            case .int8(let tensor, let scale): tensor.bytes.count + scale.count * 4
            }
        return own + (bias?.count ?? 0) * 4
    }

    var tensors: [Tensor] { [] }

    func replacing(_ tensors: [Tensor]) -> any Linear {
        precondition(tensors.isEmpty, "a layer of the CPU has no device memory")
        return self
    }

    /// All weights `[out, in]` as panels.
    func floatPanels(_ kernels: dk_kernels) -> HostStorage {
        switch weights {
        case .panels(let storage): return storage
        case .bf16(let tensor): return Self.panels(tensor.floats(), outputSize, inputSize, kernels)
        case .int8(let tensor, let scale):
            var values = tensor.floats()
            for row in 0..<outputSize {
                for column in 0..<inputSize {
                    values[row * inputSize + column] *= scale[row / 128 * ((inputSize + 127) / 128) + column / 128]
                }
            }
            return Self.panels(values, outputSize, inputSize, kernels)
        }
    }
}

extension UnsafeMutableRawBufferPointer {
    var floats: UnsafeMutablePointer<Float> { baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: Float.self) }
}
