import Tensors

/// Takes a checkpoint's tensors by name, checks their shapes and hands them to a backend.
///
/// Errors are the user's (`WanError` "weights"): they name file, tensor, expected and found shape.
public struct WeightReader: Sendable {
    /// Canonical Wan names -> tensors.
    public let tensors: [String: HostTensor]
    public let backend: any Backend
    /// The file's name, for errors.
    public let source: String

    public init(_ tensors: [String: HostTensor], backend: any Backend, source: String) {
        self.tensors = tensors
        self.backend = backend
        self.source = source
    }

    public func contains(_ key: String) -> Bool { tensors[key] != nil }

    /// The tensor `key`, which must have this shape.
    public func tensor(_ key: String, shape: [Int]) throws -> HostTensor {
        let tensor = try tensor(key)
        guard tensor.shape == shape else { throw misshapen(key, expected: "\(shape)", found: tensor.shape) }
        return tensor
    }

    /// A float32 vector of `count` values, whatever leading or trailing ones its shape has.
    public func vector(_ key: String, _ count: Int) throws -> Tensor {
        let tensor = try tensor(key)
        guard tensor.elementCount == count, tensor.shape.filter({ $0 != 1 }).count <= 1 else {
            throw misshapen(key, expected: "[\(count)]", found: tensor.shape)
        }
        return try backend.upload(tensor.reshaped([count]), as: .f32)
    }

    /// The linear layer `key.weight` (or `key.int8_weight` and `key.scale`) with `key.bias`.
    ///
    /// A weight `[out, in, 1, 2, 2]` of a convolution over whole patches is the same layer `[out, in * 4]`.
    public func linear(
        _ key: String, _ input: Int, _ output: Int, bias: Bool = true, precision: LinearPrecision = .stored
    ) throws -> any Linear {
        let bias = bias ? try tensor(key + ".bias", shape: [output]) : nil
        if contains(key + ".int8_weight") {
            let weight = try tensor(key + ".int8_weight", shape: [output, input])
            let scale = try tensor(key + ".scale", shape: [(output + 127) / 128, (input + 127) / 128])
            guard weight.dtype == .i8 else { throw mistyped(key + ".int8_weight", "i8", weight.dtype) }
            return try backend.makeLinear(.int8(weight: weight, scale: scale, bias: bias), precision: precision)
        }
        let weight = try matrix(key + ".weight", input, output)
        return try backend.makeLinear(.dense(weight: weight, bias: bias), precision: precision)
    }

    /// A matrix `[output, input]`, also from a shape with trailing dimensions that multiply to `input`.
    public func matrix(_ key: String, _ input: Int, _ output: Int) throws -> HostTensor {
        let weight = try tensor(key)
        guard weight.shape.first == output, weight.shape.dropFirst().reduce(1, *) == input else {
            throw misshapen(key, expected: "[\(output), \(input)]", found: weight.shape)
        }
        guard [.f32, .f16, .bf16].contains(weight.dtype) else { throw mistyped(key, "f32, f16 or bf16", weight.dtype) }
        return weight.reshaped([output, input])
    }

    public func tensor(_ key: String) throws -> HostTensor {
        guard let tensor = tensors[key] else {
            throw WanError(
                code: "weights", message: "\(source): tensor \(key) is missing",
                hint: "the file is incomplete or belongs to another kind of model")
        }
        return tensor
    }

    func misshapen(_ key: String, expected: String, found: [Int]) -> WanError {
        WanError(
            code: "weights", message: "\(source): tensor \(key) has shape \(found), expected \(expected)",
            hint: "the file belongs to a model of another size or kind")
    }

    private func mistyped(_ key: String, _ expected: String, _ found: DType) -> WanError {
        WanError(
            code: "weights", message: "\(source): tensor \(key) holds \(found.rawValue), expected \(expected)",
            hint: "the file is of a format this program does not read")
    }
}

extension HostTensor {
    /// Rows `range` of the outermost dimension, as a copy.
    func copiedRows(_ range: Range<Int>) -> HostTensor {
        let rowBytes = shape.dropFirst().reduce(1, *) * dtype.byteCount
        let part = UnsafeRawBufferPointer(rebasing: bytes[range.lowerBound * rowBytes..<range.upperBound * rowBytes])
        return HostTensor(name: name, shape: [range.count] + shape.dropFirst(), dtype: dtype, copying: [UInt8](part))
    }
}
