import CImages
import Glibc

/// Encodes posters: baseline JPEG, 4:2:0.
public enum PosterWriter {
    /// - Parameter quality: libjpeg's scale, 1...100.
    public static func encode(_ image: RGBImage, quality: Int = 90) throws -> [UInt8] {
        precondition((1...100).contains(quality))
        return try PictureBytes.collect("JPEG", image) { pixels, out, count, report in
            cimages_jpeg_encode(pixels, UInt32(image.width), UInt32(image.height), Int32(quality), out, count, report)
        }
    }

    /// Writes a new file, or replaces what the path holds. Flushing to the disk is the caller's.
    public static func write(_ image: RGBImage, to path: String, quality: Int = 90) throws {
        try PictureBytes.write(encode(image, quality: quality), to: path)
    }

    /// The same with a picture that is encoded already.
    public static func write(_ jpeg: [UInt8], to path: String) throws { try PictureBytes.write(jpeg, to: path) }
}

/// Encodes frames without loss, for looking at them: 8-bit RGB PNG.
public enum PNGWriter {
    public static func encode(_ image: RGBImage) throws -> [UInt8] {
        try PictureBytes.collect("PNG", image) { pixels, out, count, report in
            cimages_png_encode(pixels, UInt32(image.width), UInt32(image.height), out, count, report)
        }
    }

    /// Writes a new file, or replaces what the path holds. Flushing to the disk is the caller's.
    public static func write(_ image: RGBImage, to path: String) throws {
        try PictureBytes.write(encode(image), to: path)
    }
}

private enum PictureBytes {
    typealias Encode = (
        UnsafePointer<UInt8>?, UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>, UnsafeMutablePointer<Int>,
        UnsafeMutablePointer<cimages_report>
    ) -> Int32

    static func collect(_ kind: String, _ image: RGBImage, encode: Encode) throws -> [UInt8] {
        var report = cimages_report()
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        let status = image.pixels.withUnsafeBufferPointer { encode($0.baseAddress, &bytes, &count, &report) }
        defer { cimages_free(bytes) }
        guard Int(status) == CIMAGES_OK else {
            throw MediaError(
                Int(status) == CIMAGES_NO_MEMORY ? .unavailable : .unsupported,
                "\(image.width) x \(image.height) pixels could not be encoded as \(kind): \(report.text)",
                hint: "use a smaller picture")
        }
        return [UInt8](UnsafeBufferPointer(start: bytes, count: count))
    }

    static func write(_ bytes: [UInt8], to path: String) throws {
        let file = try OpenFile(path, flags: O_WRONLY | O_CREAT | O_TRUNC)
        try bytes.withUnsafeBytes { try file.write($0) }
    }
}
