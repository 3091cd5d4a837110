/// Device memory as Hopper's copy engine knows it (`CUtensorMap`): it takes boxes of so many rows of 128 bytes, their chunks of
/// 16 bytes swizzled.
public struct TensorMap: Sendable, BitwiseCopyable {
    typealias Eight = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
    private var words: (Eight, Eight)

    fileprivate init(_ bytes: UnsafeRawBufferPointer) { words = bytes.loadUnaligned(as: (Eight, Eight).self) }
}

extension CUDAStream {
    /// Whether the driver makes tensor maps; those of CUDA 12 and later do.
    public var makesTensorMaps: Bool { driver.encodeTensorMap != nil }

    /// Rows of 128 channels in bf16, `[tokens, heads, 128]`, in boxes of 64 tokens and 64 channels of one head.
    ///
    /// Reads beyond `tokens` give zeros, and nothing is written there.
    ///
    /// - Precondition: `address` is a multiple of 16.
    /// - Throws: `CUDAError`.
    public func tensorMap(_ address: DeviceAddress, tokens: Int, heads: Int) throws -> TensorMap {
        try tensorMap(address, extents: [128, heads, tokens], elementBytes: 2, boxRows: 64)
    }

    /// A matrix `[rows, columns]` of bf16 or bytes, in boxes of `boxRows` rows and 128 bytes; zeros are read beyond it.
    ///
    /// - Precondition: `address` and the bytes of a row are multiples of 16; `boxRows` at most 256.
    /// - Throws: `CUDAError`.
    public func tensorMap(
        _ address: DeviceAddress, rows: Int, columns: Int, elementBytes: Int, boxRows: Int
    ) throws -> TensorMap {
        try tensorMap(address, extents: [columns, 1, rows], elementBytes: elementBytes, boxRows: boxRows)
    }

    private func tensorMap(
        _ address: DeviceAddress, extents: [Int], elementBytes: Int, boxRows: Int
    ) throws -> TensorMap {
        guard let encode = driver.encodeTensorMap else {
            throw CUDAError(.missing, "the driver makes no tensor maps", hint: "it is older than CUDA 12")
        }
        precondition(elementBytes == 1 || elementBytes == 2, "elements of \(elementBytes) bytes")
        let strides = [extents[0] * elementBytes, extents[0] * extents[1] * elementBytes].map { UInt64($0) }
        let (box, steps): ([UInt32], [UInt32]) = ([UInt32(128 / elementBytes), 1, UInt32(boxRows)], [1, 1, 1])
        return try withUnsafeTemporaryAllocation(byteCount: 128, alignment: 64) { bytes in
            // Bytes or bf16, three dimensions; in order, chunks swizzled within 128 bytes, 256 bytes at a time into the
            // second-level cache, zeros outside.
            try driver.check(
                encode(
                    bytes.baseAddress!, elementBytes == 1 ? 0 : 9, 3,
                    UnsafeMutableRawPointer(bitPattern: UInt(address)), extents.map { UInt64($0) }, strides, box, steps,
                    0, 3, 3, 0), "describing a tensor of \(extents) elements to the copy engine")
            return TensorMap(UnsafeRawBufferPointer(bytes))
        }
    }
}
