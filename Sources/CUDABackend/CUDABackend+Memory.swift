import CUDADriver
import Tensors

extension CUDABackend {
    public func allocate(_ shape: [Int], _ dtype: DType) throws -> Tensor {
        var byteCount = dtype.byteCount
        for extent in shape {
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw BackendError.outOfMemory(requested: .max) }
            byteCount = product
        }
        try check()
        do {
            return Tensor(buffer: try CUDABuffer(stream: stream, byteCount: byteCount), shape: shape, dtype: dtype)
        } catch {
            throw failure(error, requested: byteCount)
        }
    }

    public func upload(_ host: HostTensor, as dtype: DType) throws -> Tensor {
        let floating: [DType] = [.f32, .f16, .bf16]
        if host.dtype == dtype || (floating.contains(host.dtype) && floating.contains(dtype)) {
            let raw = try allocate(host.shape, host.dtype)
            must { try send(host.bytes, to: raw.address) }
            guard host.dtype != dtype else { return raw }
            let tensor = try allocate(host.shape, dtype)
            convert(raw, into: tensor)
            return tensor
        }
        let values = host.floats()
        let tensor = try allocate(host.shape, dtype)
        switch dtype {
        case .i32: write(values.map { Int32($0) }, into: tensor)
        case .f32, .bf16, .f16: write(values, into: tensor)
        default: throw BackendError.unsupported("upload of \(host.dtype) as \(dtype)")
        }
        return tensor
    }

    public func write(_ values: [Float], into tensor: Tensor) {
        precondition(values.count == tensor.elementCount, "\(values.count) values for \(tensor.shape)")
        let target = tensor.dtype == .f32 ? tensor : scratch(tensor.shape, .f32)
        must { try values.withUnsafeBytes { try send($0, to: target.address) } }
        if tensor.dtype != .f32 { convert(target, into: tensor) }
    }

    public func write(_ values: [Int32], into tensor: Tensor) {
        precondition(values.count == tensor.elementCount && tensor.dtype == .i32, "i32 values for \(tensor.shape)")
        must { try values.withUnsafeBytes { try send($0, to: tensor.address) } }
    }

    public func download(_ tensor: Tensor) -> [Float] {
        if tensor.dtype == .f32 {
            return [Float](unsafeUninitializedCapacity: tensor.elementCount) { values, count in
                let bytes = UnsafeMutableRawBufferPointer(values)
                must(else: Self.clear(bytes)) {
                    try stream.copyToHost(tensor.address, bytes)
                }
                count = tensor.elementCount
            }
        }
        let bytes = downloaded(tensor)
        return HostTensor(shape: tensor.shape, dtype: tensor.dtype, copying: bytes).floats()
    }

    public func downloadBytes(_ tensor: Tensor) -> [UInt8] {
        precondition(tensor.dtype == .u8, "expected u8, found \(tensor.dtype)")
        return downloaded(tensor)
    }

    private static func clear(_ bytes: UnsafeMutableRawBufferPointer) {
        _ = bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    private func downloaded(_ tensor: Tensor) -> [UInt8] {
        // The buffer handed in may be larger than what was asked for.
        [UInt8](unsafeUninitializedCapacity: tensor.byteCount) { bytes, count in
            let part = UnsafeMutableRawBufferPointer(
                rebasing: UnsafeMutableRawBufferPointer(bytes)[..<tensor.byteCount])
            must(else: Self.clear(part)) {
                try stream.copyToHost(tensor.address, part)
            }
            count = tensor.byteCount
        }
    }

    public func copy(_ source: Tensor, into destination: Tensor) {
        precondition(
            source.shape == destination.shape && source.dtype == destination.dtype,
            "copy of \(source.shape) into \(destination.shape)")
        must { try stream.copy(source.address, to: destination.address, source.byteCount) }
    }

    public func fill(_ tensor: Tensor, with value: Float) {
        launchElements(
            .elements, "fill_\(tensor.dtype)", count: tensor.elementCount, tensor, Int64(tensor.elementCount), value)
    }

    public func convert(_ source: Tensor, into destination: Tensor) {
        precondition(source.shape == destination.shape, "convert \(source.shape) into \(destination.shape)")
        if source.dtype == destination.dtype { return copy(source, into: destination) }
        launchElements(
            .elements, "convert_\(source.dtype)_\(destination.dtype)", count: source.elementCount, source, destination,
            Int64(source.elementCount))
    }
}
