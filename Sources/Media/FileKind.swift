/// What a file is by its first bytes.
enum FileKind {
    static let pngSignature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    static let jpegSignature: [UInt8] = [0xFF, 0xD8, 0xFF]

    /// - Parameter start: the first bytes of the file, 4,096 where it has them.
    /// - Throws: `.incomplete` where the bytes may yet become a picture, else `.notAnImage` with a guess at what it is.
    static func of(_ start: [UInt8]) throws -> ImageInfo.Format {
        if start.starts(with: jpegSignature) { return .jpeg }
        if start.starts(with: pngSignature) { return .png }
        if jpegSignature.starts(with: start) || pngSignature.starts(with: start) || start.allSatisfy({ $0 == 0 }) {
            throw MediaError.incompletePicture
        }
        let guess = name(of: start).map { " (it looks like \($0))" } ?? ""
        throw MediaError(
            .notAnImage, "not a JPEG or PNG picture\(guess)",
            hint: "open it in a picture program and save it as JPEG or PNG")
    }

    private static let signatures: [(offset: Int, text: String, name: String)] = [
        (0, "GIF8", "a GIF picture"), (8, "WEBP", "a WebP picture"), (0, "BM", "a BMP picture"),
        (0, "II*\0", "a TIFF picture"), (0, "MM\0*", "a TIFF picture"), (4, "ftyphei", "a HEIC picture"),
        (4, "ftypmif", "a HEIC picture"), (4, "ftypavi", "an AVIF picture"), (4, "ftyp", "a film"),
        (0, "%PDF", "a PDF document"), (0, "PK\u{3}\u{4}", "a ZIP archive"), (0, "8BPS", "a Photoshop document"),
        (0, "<svg", "an SVG drawing"), (0, "<?xml", "an XML or SVG document"),
    ]

    private static func name(of start: [UInt8]) -> String? {
        if let known = signatures.first(where: { start.hasPrefix($0.text, at: $0.offset) }) { return known.name }
        return isText(start) ? "text" : nil
    }

    /// UTF-16 with a mark, or bytes without control characters (UTF-8 and the old 8-bit encodings alike).
    private static func isText(_ start: [UInt8]) -> Bool {
        if start.starts(with: [0xFF, 0xFE]) || start.starts(with: [0xFE, 0xFF]) { return true }
        return start.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D || $0 == 0x0C }
    }
}
