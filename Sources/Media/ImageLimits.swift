/// How much picture is accepted. Checked against the headers, before anything is decoded or allocated.
public struct ImageLimits: Equatable, Sendable {
    /// Bytes of the file.
    public var byteCount = 64 << 20
    /// Pixels of the longer side.
    public var side = 16_384
    /// Width times height.
    public var pixelCount = 64_000_000
    /// Passes over the picture that a progressive JPEG may ask for.
    public var scanCount = 200
    /// Passes times pixels, so that a large picture may not be passed over as often as a small one.
    public var scannedPixelCount = 24 * 64_000_000
    /// Bytes that the JPEG decoder may hold besides its output.
    public var decoderByteCount = 768 << 20
    /// Bytes of address space that a process of its own may take for one picture: the file, the picture twice (as
    /// stored and turned upright), what the decoder holds, and 64 MiB for everything else.
    public var decodingByteCount = (64 + 768 + 64) << 20 + 2 * 3 * 64_000_000

    public init() {}

    func check(byteCount count: Int) throws {
        guard count > byteCount else { return }
        throw MediaError(
            .tooLarge, "the file holds \(megabytes(count)) MiB; at most \(megabytes(byteCount)) MiB are accepted",
            hint: "save a smaller picture")
    }

    func check(width: Int, height: Int) throws {
        let tooMany = width.multipliedReportingOverflow(by: height)
        guard width > side || height > side || tooMany.overflow || tooMany.partialValue > pixelCount else { return }
        throw MediaError(
            .tooLarge,
            "the picture is \(width) x \(height) pixels; at most \(side) a side and \(pixelCount / 1_000_000) megapixels are accepted",
            hint: "scale the picture down")
    }

    /// Scans allowed for a picture of this size; enough for every real encoder (about ten).
    func scans(width: Int, height: Int) -> Int {
        min(scanCount, max(1, scannedPixelCount / (width * height)))
    }

    private func megabytes(_ count: Int) -> Int { (count + (1 << 20) - 1) >> 20 }
}
