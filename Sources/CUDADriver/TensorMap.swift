/// Rows of one head each in device memory, `[tokens, heads, width]`, as Hopper's copy engine knows them (`CUtensorMap`): it
/// takes boxes of some rows and 128 bytes of one head, their 16-byte chunks swizzled.
public struct TensorMap: Sendable, BitwiseCopyable {
    /// As the driver numbers them.
    public enum Element: Int32, Sendable {
        case byte = 0
        case bf16 = 9

        var size: Int { self == .byte ? 1 : 2 }
    }

    typealias Eight = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
    private var words: (Eight, Eight)

    fileprivate init(_ bytes: UnsafeRawBufferPointer) { words = bytes.loadUnaligned(as: (Eight, Eight).self) }
}

extension CUDAStream {
    /// Whether the driver makes tensor maps; those of CUDA 12 and later do.
    public var makesTensorMaps: Bool { driver.encodeTensorMap != nil }

    /// Reads beyond `tokens` or `width` give zeros, and nothing is written there.
    ///
    /// - Parameters:
    ///   - width: elements of a row of one head, a multiple of 16 bytes.
    ///   - rows: of a box, at most 256.
    /// - Precondition: `address` is a multiple of 16.
    /// - Throws: `CUDAError`.
    public func tensorMap(
        _ address: DeviceAddress, tokens: Int, heads: Int, width: Int = 128, element: TensorMap.Element = .bf16,
        rows: Int = 64
    ) throws -> TensorMap {
        guard let encode = driver.encodeTensorMap else {
            throw CUDAError(.missing, "the driver makes no tensor maps", hint: "it is older than CUDA 12")
        }
        let row = UInt64(width * element.size)
        let extents = [UInt64(width), UInt64(heads), UInt64(tokens)]
        let (strides, steps): ([UInt64], [UInt32]) = ([row, UInt64(heads) * row], [1, 1, 1])
        let box = [UInt32(128 / element.size), 1, UInt32(rows)]
        return try withUnsafeTemporaryAllocation(byteCount: 128, alignment: 64) { bytes in
            // Three dimensions; in order, chunks swizzled within 128 bytes, 256 bytes at a time into the second-level cache,
            // zeros outside.
            try driver.check(
                encode(
                    bytes.baseAddress!, element.rawValue, 3, UnsafeMutableRawPointer(bitPattern: UInt(address)),
                    extents,
                    strides, box, steps, 0, 3, 3, 0),
                "describing a tensor of \(tokens) x \(heads) x \(width) to the copy engine")
            return TensorMap(UnsafeRawBufferPointer(bytes))
        }
    }
}
