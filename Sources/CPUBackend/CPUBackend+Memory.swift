import CKernels
import Foundation
import Tensors

extension CPUBackend {
    public func allocate(_ shape: [Int], _ dtype: DType) throws -> Tensor {
        var byteCount = dtype.byteCount
        for extent in shape {
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw BackendError.outOfMemory(requested: .max) }
            byteCount = product
        }
        return Tensor(buffer: try CPUBuffer(byteCount: byteCount), shape: shape, dtype: dtype)
    }

    public func upload(_ host: HostTensor, as dtype: DType) throws -> Tensor {
        let tensor = try allocate(host.shape, dtype)
        if host.dtype == dtype {
            if let base = host.bytes.baseAddress { memcpy(tensor.pointer, base, host.bytes.count) }
            return tensor
        }
        let floats = host.floats()
        switch dtype {
        case .i32: write(floats.map { Int32($0) }, into: tensor)
        case .f32: write(floats, into: tensor)
        case .bf16, .f16:
            floats.withUnsafeBufferPointer { source in
                guard let base = source.baseAddress else { return }
                narrow(base, into: tensor, 0..<source.count)
            }
        default: throw BackendError.unsupported("upload of \(host.dtype) as \(dtype)")
        }
        return tensor
    }

    public func write(_ values: [Float], into tensor: Tensor) {
        precondition(values.count == tensor.elementCount, "\(values.count) values for \(tensor.shape)")
        values.withUnsafeBytes { if let base = $0.baseAddress { memcpy(tensor.floats, base, $0.count) } }
    }

    public func write(_ values: [Int32], into tensor: Tensor) {
        precondition(values.count == tensor.elementCount && tensor.dtype == .i32, "i32 values for \(tensor.shape)")
        values.withUnsafeBytes { if let base = $0.baseAddress { memcpy(tensor.pointer, base, $0.count) } }
    }

    public func download(_ tensor: Tensor) -> [Float] {
        let count = tensor.elementCount
        if tensor.dtype == .f32 { return Array(UnsafeBufferPointer(start: tensor.floats, count: count)) }
        let bytes = UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.byteCount)
        return HostTensor(name: "", shape: tensor.shape, dtype: tensor.dtype, bytes: bytes, owner: tensor.buffer)
            .floats()
    }

    public func downloadBytes(_ tensor: Tensor) -> [UInt8] {
        precondition(tensor.dtype == .u8, "expected u8, found \(tensor.dtype)")
        return Array(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.byteCount))
    }

    public func copy(_ source: Tensor, into destination: Tensor) {
        precondition(
            source.shape == destination.shape && source.dtype == destination.dtype,
            "copy of \(source.shape) into \(destination.shape)")
        let (from, to) = (source.pointer, destination.pointer)
        pool.ranges(source.byteCount, grain: 1 << 20) { memcpy(to + $0.lowerBound, from + $0.lowerBound, $0.count) }
    }

    public func fill(_ tensor: Tensor, with value: Float) {
        let (to, kernels) = (tensor.floats, self.kernels)
        pool.ranges(tensor.elementCount, grain: 1 << 18) { kernels.fill(to + $0.lowerBound, $0.count, value) }
    }

    public func convert(_ source: Tensor, into destination: Tensor) {
        precondition(source.shape == destination.shape, "convert \(source.shape) into \(destination.shape)")
        if source.dtype == destination.dtype { return copy(source, into: destination) }
        pool.ranges(source.elementCount, grain: 1 << 16) { range in
            if source.dtype == .f32 {
                narrow(source.floats, into: destination, range)
            } else if destination.dtype == .f32 {
                widen(source.pointer, source.dtype, into: destination.floats, range)
            } else {
                let between = UnsafeMutablePointer<Float>.allocate(capacity: range.count)
                defer { between.deallocate() }
                widen(source.pointer, source.dtype, into: between - range.lowerBound, range)
                narrow(between - range.lowerBound, into: destination, range)
            }
        }
    }

    private func narrow(_ source: UnsafePointer<Float>, into destination: Tensor, _ range: Range<Int>) {
        let out = destination.pointer.assumingMemoryBound(to: UInt16.self) + range.lowerBound
        switch destination.dtype {
        case .bf16: kernels.f32_to_bf16(source + range.lowerBound, out, range.count)
        case .f16: kernels.f32_to_f16(source + range.lowerBound, out, range.count)
        default: preconditionFailure("conversion to \(destination.dtype)")
        }
    }

    private func widen(
        _ source: UnsafeRawPointer, _ dtype: DType, into out: UnsafeMutablePointer<Float>, _ range: Range<Int>
    ) {
        let from = source.assumingMemoryBound(to: UInt16.self) + range.lowerBound
        switch dtype {
        case .bf16: kernels.bf16_to_f32(from, out + range.lowerBound, range.count)
        case .f16: kernels.f16_to_f32(from, out + range.lowerBound, range.count)
        default: preconditionFailure("conversion from \(dtype)")
        }
    }
}
