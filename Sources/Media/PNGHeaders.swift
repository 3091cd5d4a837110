/// Reads IHDR and the chunks before the picture data.
///
/// Source: W3C Portable Network Graphics (third edition), sections 5 and 11.
enum PNGHeaders {
    private static let chunkLimit = 4_096
    private static let exifLimit = 65_536

    static func read(_ window: ByteWindow, limits: ImageLimits) throws -> ImageInfo {
        let header = try window.bytes(at: 8, 25)
        guard header.bigEndian32(0) == 13, header.hasPrefix("IHDR", at: 4) else { throw corrupt("no IHDR chunk first") }
        let width = header.bigEndian32(8)
        let height = header.bigEndian32(12)
        guard (1...0x7FFF_FFFF).contains(width), (1...0x7FFF_FFFF).contains(height) else {
            throw corrupt("a side of length \(min(width, height))")
        }
        try limits.check(width: width, height: height)
        let depth = Int(header[16])
        let channels: Int
        switch (header[17], depth) {
        case (0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (3, 1), (3, 2), (3, 4), (3, 8): channels = 1
        case (2, 8), (2, 16): channels = 3
        case (4, 8), (4, 16): channels = 2
        case (6, 8), (6, 16): channels = 4
        default: throw corrupt("colour type \(header[17]) with \(depth) bits")
        }
        guard header[18] == 0, header[19] == 0, header[20] <= 1 else { throw corrupt("an unknown method") }
        var info = ImageInfo(
            format: .png, width: width, height: height, orientation: 1, bitDepth: depth, channelCount: channels,
            isProgressive: header[20] == 1, hasAlpha: channels == 2 || channels == 4)
        try readChunks(window, into: &info)
        return info
    }

    private static func readChunks(_ window: ByteWindow, into info: inout ImageInfo) throws {
        var offset = 33
        for _ in 0..<chunkLimit {
            let head = try window.bytes(at: offset, 8)
            let length = head.bigEndian32(0)
            guard length <= 0x7FFF_FFFF else { throw corrupt("a chunk of impossible length") }
            if head.hasPrefix("IDAT", at: 4) || head.hasPrefix("IEND", at: 4) { return }
            if head.hasPrefix("tRNS", at: 4) { info.hasAlpha = true }
            if head.hasPrefix("eXIf", at: 4), length <= exifLimit {
                info.orientation = ExifOrientation.read(try window.bytes(at: offset + 8, length))
            }
            offset += 12 + length
        }
    }

    private static func corrupt(_ what: String) -> MediaError {
        MediaError(.corrupt, "the PNG is damaged: \(what)", hint: "save the picture again")
    }
}
