/// Named, read-only bytes in host memory, as a checkpoint holds them; contiguous, outermost dimension first.
///
/// `owner` keeps the memory (a file mapping, an array) alive for as long as the tensor lives.
public struct HostTensor: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `bytes` is never written after initialisation and `owner` outlives it.
    public let name: String
    public let shape: [Int]
    public let dtype: DType
    public let bytes: UnsafeRawBufferPointer
    private let owner: AnyObject

    /// - Precondition: `bytes.count == shape.product * dtype.byteCount`.
    public init(name: String, shape: [Int], dtype: DType, bytes: UnsafeRawBufferPointer, owner: AnyObject) {
        precondition(
            bytes.count == shape.reduce(1, *) * dtype.byteCount,
            "\(name): \(bytes.count) bytes do not hold \(shape) of \(dtype)")
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.bytes = bytes
        self.owner = owner
    }

    /// A float32 tensor over a copy of `values`.
    public init(name: String = "", shape: [Int], values: [Float]) {
        let storage = HostStorage(byteCount: max(values.count * 4, 1))
        values.withUnsafeBytes { storage.memory.copyMemory(from: $0) }
        self.init(
            name: name, shape: shape, dtype: .f32,
            bytes: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(storage.memory)[..<(values.count * 4)]),
            owner: storage)
    }

    /// A tensor of any type over a copy of `bytes`.
    public init(name: String = "", shape: [Int], dtype: DType, copying bytes: [UInt8]) {
        let storage = HostStorage(byteCount: max(bytes.count, 1))
        bytes.withUnsafeBytes { storage.memory.copyMemory(from: $0) }
        self.init(
            name: name, shape: shape, dtype: dtype,
            bytes: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(storage.memory)[..<bytes.count]),
            owner: storage)
    }

    public var elementCount: Int { shape.reduce(1, *) }

    /// The same bytes under another shape with as many elements.
    public func reshaped(_ shape: [Int]) -> HostTensor {
        HostTensor(name: name, shape: shape, dtype: dtype, bytes: bytes, owner: owner)
    }

    /// The same bytes under another name.
    public func renamed(_ name: String) -> HostTensor {
        HostTensor(name: name, shape: shape, dtype: dtype, bytes: bytes, owner: owner)
    }

    /// All values widened (or, from f64 and integers, rounded) to float32, row-major.
    public func floats() -> [Float] {
        let n = elementCount
        func load<T>(_ type: T.Type) -> [T] {
            (0..<n).map { bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.stride, as: T.self) }
        }
        switch dtype {
        case .f32: return load(Float.self)
        case .f64: return load(Double.self).map { Float($0) }
        case .f16: return load(Float16.self).map { Float($0) }
        case .bf16: return load(UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
        case .f8e4m3: return bytes.map(floatFromE4M3)
        case .i64: return load(Int64.self).map { Float($0) }
        case .i32: return load(Int32.self).map { Float($0) }
        case .i16: return load(Int16.self).map { Float($0) }
        case .i8: return load(Int8.self).map { Float($0) }
        case .u8, .bool: return bytes.map { Float($0) }
        }
    }
}

/// 64-byte aligned host memory that is freed with its last reference.
public final class HostStorage: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: the pointer never changes; callers order their own writes and reads.
    public let memory: UnsafeMutableRawBufferPointer

    public init(byteCount: Int) {
        memory = .allocate(byteCount: byteCount, alignment: 64)
    }

    deinit { memory.deallocate() }
}

/// The value of an e4m3 bit pattern (bias 7; 0x7F and 0xFF are NaN).
public func floatFromE4M3(_ bits: UInt8) -> Float {
    let sign: Float = bits & 0x80 == 0 ? 1 : -1
    let exponent = Int(bits >> 3 & 0xF)
    let mantissa = Float(bits & 7)
    if exponent == 15 && bits & 7 == 7 { return .nan }
    return exponent == 0
        ? sign * mantissa * 0x1p-9
        : sign * (1 + mantissa / 8) * Float(sign: .plus, exponent: exponent - 7, significand: 1)
}
