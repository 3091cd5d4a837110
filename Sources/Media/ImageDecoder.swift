import CImages
import Glibc

/// Turns JPEG and PNG bytes into RGB.
public enum ImageDecoder {
    /// How a picture becomes RGB.
    public struct Options: Equatable, Sendable {
        /// Turn the picture as its EXIF orientation says.
        public var honourOrientation = true
        /// Composite alpha over white; otherwise alpha is dropped.
        public var compositeAlpha = true
        /// 16-bit grey: `min(value, 255)` instead of the high byte.
        public var clipSixteenBitGray = false

        public init() {}

        /// As Pillow's `Image.open(path).convert("RGB")`, which the reference tensors were made with: orientation
        /// ignored, alpha dropped, 16-bit grey clipped.
        public static let upstream: Options = {
            var options = Options()
            options.honourOrientation = false
            options.compositeAlpha = false
            options.clipSixteenBitGray = true
            return options
        }()
    }

    /// - Returns: the whole picture. A picture that breaks off is an error, never a grey half.
    /// - Throws: `MediaError`: what `ImageProbe` throws, and `.incomplete`, `.corrupt`, `.tooLarge` from decoding.
    public static func decode(
        _ bytes: UnsafeRawBufferPointer, options: Options = Options(), limits: ImageLimits = ImageLimits()
    ) throws -> RGBImage {
        let info = try ImageProbe.probe(bytes, limits: limits)
        var report = cimages_report()
        var status: Int32 = 0
        let pixels = [UInt8](unsafeUninitializedCapacity: info.width * info.height * 3) { out, count in
            out.initialize(repeating: 0)
            let data = bytes.bindMemory(to: UInt8.self).baseAddress
            switch info.format {
            case .jpeg:
                status = cimages_jpeg_decode(
                    data, bytes.count, UInt32(info.width), UInt32(info.height),
                    UInt32(limits.scans(width: info.width, height: info.height)), limits.decoderByteCount,
                    out.baseAddress, &report)
            case .png:
                var flags = 0
                if options.compositeAlpha { flags |= CIMAGES_PNG_OVER_WHITE }
                if options.clipSixteenBitGray { flags |= CIMAGES_PNG_CLIP_GRAY16 }
                status = cimages_png_decode(
                    data, bytes.count, UInt32(info.width), UInt32(info.height), Int32(flags), out.baseAddress, &report)
            }
            count = out.count
        }
        if let error = error(status: Int(status), report: report, format: info.format) {
            throw try ByteWindow(bytes).unlessUnwritten(error)
        }
        let image = RGBImage(width: info.width, height: info.height, pixels: pixels)
        return options.honourOrientation ? image.upright(from: info.orientation) : image
    }

    /// - Throws: as for a buffer.
    public static func decode(
        _ bytes: [UInt8], options: Options = Options(), limits: ImageLimits = ImageLimits()
    ) throws -> RGBImage {
        try bytes.withUnsafeBytes { try decode($0, options: options, limits: limits) }
    }

    /// - Parameter path: a regular file. It is read into memory once; nothing is read before its size is checked.
    /// - Throws: as for a buffer, and `.io`.
    public static func decode(
        path: String, options: Options = Options(), limits: ImageLimits = ImageLimits()
    ) throws -> RGBImage {
        try decode(OpenFile(path, flags: O_RDONLY | O_NONBLOCK), options: options, limits: limits)
    }

    /// - Parameter descriptor: an open regular file; its position is neither used nor moved.
    /// - Throws: as for a path.
    public static func decode(
        descriptor: Int32, options: Options = Options(), limits: ImageLimits = ImageLimits()
    ) throws -> RGBImage {
        try decode(OpenFile(duplicating: descriptor), options: options, limits: limits)
    }

    private static func decode(
        _ file: borrowing OpenFile, options: Options, limits: ImageLimits
    ) throws -> RGBImage {
        let count = try file.byteCount()
        try limits.check(byteCount: count)
        return try decode(try file.read(at: 0, count: count), options: options, limits: limits)
    }

    private static func error(status: Int, report: cimages_report, format: ImageInfo.Format) -> MediaError? {
        if status == CIMAGES_OK { return nil }
        let kind = format == .jpeg ? "JPEG" : "PNG"
        let words = report.text
        switch status {
        case CIMAGES_INCOMPLETE:
            return .incompletePicture
        case CIMAGES_UNSUPPORTED:
            return MediaError(
                .unsupported, "this kind of \(kind) is not supported: \(words)",
                hint: "save the picture as an ordinary JPEG or PNG")
        case CIMAGES_TOO_MUCH:
            return MediaError(
                .tooLarge, "the \(kind) asks for more work than is accepted: \(words)",
                hint: "save the picture as an ordinary (not progressive) JPEG")
        case CIMAGES_NO_MEMORY:
            return MediaError(.unavailable, "no memory to decode the picture", hint: "scale the picture down")
        default:
            return MediaError(.corrupt, "the \(kind) is damaged: \(words)", hint: "save the picture again")
        }
    }

}

extension cimages_report {
    var text: String {
        withUnsafeBytes(of: message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
