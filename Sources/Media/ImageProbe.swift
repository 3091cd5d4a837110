import Glibc

/// Reads what a picture's headers say, checks it against the limits and decodes nothing.
///
/// The first bytes decide the format, never the name. Memory does not grow with the file: at most one header segment
/// (64 KiB) is held.
public enum ImageProbe {
    /// - Throws: `MediaError`: `.notAnImage`, `.incomplete` (ends within the headers), `.tooLarge`, `.corrupt`,
    ///   `.unsupported`.
    public static func probe(_ bytes: [UInt8], limits: ImageLimits = ImageLimits()) throws -> ImageInfo {
        try bytes.withUnsafeBytes { try probe($0, limits: limits) }
    }

    /// - Throws: as for an array of bytes.
    public static func probe(_ bytes: UnsafeRawBufferPointer, limits: ImageLimits = ImageLimits()) throws -> ImageInfo {
        try probe(ByteWindow(bytes), limits: limits)
    }

    /// - Parameter path: a regular file; only its headers are read.
    /// - Throws: as for bytes, and `.io`.
    public static func probe(path: String, limits: ImageLimits = ImageLimits()) throws -> ImageInfo {
        let file = try OpenFile(path, flags: O_RDONLY | O_NONBLOCK)
        return try probe(file, limits: limits)
    }

    /// - Parameter descriptor: an open regular file; its position is neither used nor moved.
    /// - Throws: as for bytes, and `.io`.
    public static func probe(descriptor: Int32, limits: ImageLimits = ImageLimits()) throws -> ImageInfo {
        let duplicate = try OpenFile(duplicating: descriptor)
        return try probe(duplicate, limits: limits)
    }

    private static func probe(_ file: borrowing OpenFile, limits: ImageLimits) throws -> ImageInfo {
        try probe(ByteWindow(file), limits: limits)
    }

    static func probe(_ window: ByteWindow, limits: ImageLimits) throws -> ImageInfo {
        do {
            let format = try FileKind.of(try window.bytes(at: 0, upTo: 4_096))
            try limits.check(byteCount: window.count)
            let info = try format == .jpeg ? JPEGHeaders.read(window) : PNGHeaders.read(window, limits: limits)
            try limits.check(width: info.width, height: info.height)
            return info
        } catch let error as MediaError {
            throw try window.unlessUnwritten(error)
        }
    }
}
