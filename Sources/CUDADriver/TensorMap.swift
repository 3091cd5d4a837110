/// Rows of 128 channels in device memory, `[tokens, heads, 128]` in bf16, as Hopper's copy engine knows them
/// (`CUtensorMap`): it takes boxes of 64 tokens and 64 channels of one head, their 16-byte chunks swizzled.
public struct TensorMap: Sendable, BitwiseCopyable {
    typealias Eight = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
    private var words: (Eight, Eight)

    fileprivate init(_ bytes: UnsafeRawBufferPointer) { words = bytes.loadUnaligned(as: (Eight, Eight).self) }
}

extension CUDAStream {
    /// Whether the driver makes tensor maps; those of CUDA 12 and later do.
    public var makesTensorMaps: Bool { driver.encodeTensorMap != nil }

    /// Reads beyond `tokens` give zeros, and nothing is written there.
    ///
    /// - Precondition: `address` is a multiple of 16.
    /// - Throws: `CUDAError`.
    public func tensorMap(_ address: DeviceAddress, tokens: Int, heads: Int) throws -> TensorMap {
        guard let encode = driver.encodeTensorMap else {
            throw CUDAError(.missing, "the driver makes no tensor maps", hint: "it is older than CUDA 12")
        }
        let extents: [UInt64] = [128, UInt64(heads), UInt64(tokens)]
        let strides: [UInt64] = [256, UInt64(heads) * 256]
        let (box, steps): ([UInt32], [UInt32]) = ([64, 1, 64], [1, 1, 1])
        return try withUnsafeTemporaryAllocation(byteCount: 128, alignment: 64) { bytes in
            // bf16, three dimensions; in order, chunks swizzled within 128 bytes, 256 bytes at a time into the second-level
            // cache, zeros outside.
            try driver.check(
                encode(
                    bytes.baseAddress!, 9, 3, UnsafeMutableRawPointer(bitPattern: UInt(address)), extents, strides, box,
                    steps, 0, 3, 3, 0), "describing a tensor of \(tokens) x \(heads) x 128 to the copy engine")
            return TensorMap(UnsafeRawBufferPointer(bytes))
        }
    }
}
