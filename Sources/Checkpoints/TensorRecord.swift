import Tensors

/// Where a tensor's bytes lie and how they are laid out; checked when it is made, so that reading cannot fail.
struct TensorRecord: Sendable {
    let name: String
    let shape: [Int]
    let dtype: DType
    private let mapping: FileMapping
    /// Bytes of the file that hold the storage this tensor views.
    private let storage: Range<Int>
    /// Elements from the start of the storage.
    private let elementOffset: Int
    /// Elements; nil when row-major from `elementOffset` on.
    private let strides: [Int]?

    /// The whole of `storage`, row-major.
    init(name: String, shape: [Int], dtype: DType, mapping: FileMapping, storage: Range<Int>) {
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.mapping = mapping
        self.storage = storage
        elementOffset = 0
        strides = nil
    }

    /// A strided view into `storage`.
    init(
        name: String, shape: [Int], strides: [Int], elementOffset: Int, dtype: DType,
        mapping: FileMapping,
        storage: Range<Int>
    ) throws(CheckpointError) {
        func malformed(_ what: String) -> CheckpointError {
            .malformed(mapping.path, "tensor \(quoted(name)): \(what)")
        }
        guard shape.count == strides.count, shape.count <= 64 else {
            throw malformed("\(shape.count) sizes with \(strides.count) strides")
        }
        guard let count = elementCount(of: shape),
            !count.multipliedReportingOverflow(by: dtype.byteCount).overflow
        else {
            throw malformed("shape \(shape) is negative or too large")
        }
        guard elementOffset >= 0, strides.allSatisfy({ $0 >= 0 }) else {
            throw malformed("negative offset \(elementOffset) or strides \(strides)")
        }
        let available = storage.count / dtype.byteCount
        if count > 0 {
            var last = elementOffset
            for (size, stride) in zip(shape, strides) {
                let (span, overflow) = (size - 1).multipliedReportingOverflow(by: stride)
                let (sum, overflowSum) = last.addingReportingOverflow(span)
                guard !overflow, !overflowSum else { throw malformed("strides \(strides) overflow") }
                last = sum
            }
            guard last < available else {
                throw malformed("reaches element \(last) of a storage of \(available)")
            }
        }
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.mapping = mapping
        self.storage = storage
        self.elementOffset = count > 0 ? elementOffset : 0
        if count == 0 || Self.isRowMajor(shape, strides) {
            self.strides = nil
        } else {
            // A view that repeats elements could ask for any amount of memory from a small file.
            let limit = max(64 << 20, storage.count.multipliedReportingOverflow(by: 4).partialValue)
            guard count * dtype.byteCount <= limit else {
                throw CheckpointError(
                    code: .limit,
                    message:
                        "\(mapping.path): tensor \(quoted(name)): \(shape) expands \(storage.count) bytes to "
                        + "\(count * dtype.byteCount)",
                    hint: "save the tensor contiguous")
            }
            self.strides = strides
        }
    }

    /// The tensor under its name: a view of the mapping where it is row-major, else a row-major copy.
    func tensor() -> HostTensor {
        let bytes = UnsafeRawBufferPointer(rebasing: mapping.bytes[storage])
        let count = shape.reduce(1, *) * dtype.byteCount
        guard let strides else {
            let start = elementOffset * dtype.byteCount
            return HostTensor(
                name: name, shape: shape, dtype: dtype,
                bytes: UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]), owner: mapping)
        }
        let copy = HostStorage(byteCount: count)
        let source = bytes.baseAddress! + elementOffset * dtype.byteCount
        switch dtype.byteCount {
        case 8: gather(from: source, strides, into: copy.memory.bindMemory(to: UInt64.self))
        case 4: gather(from: source, strides, into: copy.memory.bindMemory(to: UInt32.self))
        case 2: gather(from: source, strides, into: copy.memory.bindMemory(to: UInt16.self))
        default: gather(from: source, strides, into: copy.memory.bindMemory(to: UInt8.self))
        }
        return HostTensor(
            name: name, shape: shape, dtype: dtype, bytes: UnsafeRawBufferPointer(copy.memory),
            owner: copy)
    }

    private func gather<T: BitwiseCopyable>(
        from source: UnsafeRawPointer, _ strides: [Int], into output: UnsafeMutableBufferPointer<T>
    ) {
        let width = MemoryLayout<T>.size
        let inner = shape.count - 1
        var index = [Int](repeating: 0, count: shape.count)
        var base = 0
        var written = 0
        while written < output.count {
            for i in 0..<shape[inner] {
                output[written + i] = source.loadUnaligned(
                    fromByteOffset: (base + i * strides[inner]) * width, as: T.self)
            }
            written += shape[inner]
            var axis = inner - 1
            while axis >= 0 {
                index[axis] += 1
                base += strides[axis]
                if index[axis] < shape[axis] { break }
                base -= strides[axis] * shape[axis]
                index[axis] = 0
                axis -= 1
            }
        }
    }

    private static func isRowMajor(_ shape: [Int], _ strides: [Int]) -> Bool {
        var expected = 1
        for (size, stride) in zip(shape, strides).reversed() where size != 1 {
            guard stride == expected else { return false }
            expected *= size
        }
        return true
    }
}

/// The product of `shape`, or nil where a size is negative or the product of the sizes other than zero overflows.
func elementCount(of shape: [Int]) -> Int? {
    var count = 1
    for size in shape where size != 0 {
        guard size > 0 else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: size)
        guard !overflow else { return nil }
        count = product
    }
    return shape.contains(0) ? 0 : count
}

/// `text` in quotes, shortened and without control characters, for use in an error.
func quoted(_ text: String) -> String {
    let scalars = text.unicodeScalars.prefix(120).map {
        $0.value < 0x20 || $0.value == 0x7F ? "?" : String($0)
    }
    return "\"" + scalars.joined() + (text.unicodeScalars.count > 120 ? "…" : "") + "\""
}
