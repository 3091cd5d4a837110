/// Memory of one backend. Only the backend that allocated a buffer may look inside it.
public protocol DeviceBuffer: AnyObject, Sendable {
    var byteCount: Int { get }
}

/// A contiguous view into a backend's buffer, outermost dimension first. Copying the struct copies no data.
public struct Tensor: Sendable {
    public let buffer: any DeviceBuffer
    /// Bytes from the start of `buffer`.
    public let offset: Int
    public let shape: [Int]
    public let dtype: DType

    public init(buffer: any DeviceBuffer, offset: Int = 0, shape: [Int], dtype: DType) {
        precondition(offset >= 0 && shape.allSatisfy { $0 >= 0 }, "negative shape or offset")
        precondition(
            offset + shape.reduce(1, *) * dtype.byteCount <= buffer.byteCount,
            "view \(shape) of \(dtype) at \(offset) leaves its buffer of \(buffer.byteCount) bytes")
        self.buffer = buffer
        self.offset = offset
        self.shape = shape
        self.dtype = dtype
    }

    public var elementCount: Int { shape.reduce(1, *) }
    public var byteCount: Int { elementCount * dtype.byteCount }

    /// The same elements under another shape.
    public func reshaped(_ shape: [Int]) -> Tensor {
        precondition(shape.reduce(1, *) == elementCount, "cannot view \(self.shape) as \(shape)")
        return Tensor(buffer: buffer, offset: offset, shape: shape, dtype: dtype)
    }

    /// Rows `range` of the outermost dimension.
    public func rows(_ range: Range<Int>) -> Tensor {
        precondition(
            !shape.isEmpty && range.lowerBound >= 0 && range.upperBound <= shape[0], "rows \(range) of \(shape)")
        let rowBytes = shape.dropFirst().reduce(1, *) * dtype.byteCount
        return Tensor(
            buffer: buffer, offset: offset + range.lowerBound * rowBytes, shape: [range.count] + shape.dropFirst(),
            dtype: dtype)
    }

    /// Row `index` of the outermost dimension, without that dimension.
    public func row(_ index: Int) -> Tensor {
        rows(index..<index + 1).reshaped(Array(shape.dropFirst()))
    }
}
