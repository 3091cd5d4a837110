/// Walks the marker segments of a JPEG up to its frame header.
///
/// Source: ITU-T T.81 annex B.
enum JPEGHeaders {
    private static let startOfScan: UInt8 = 0xDA
    private static let endOfImage: UInt8 = 0xD9
    private static let app1: UInt8 = 0xE1
    /// A real file has some dozens; without a bound a hostile one has millions.
    private static let segmentLimit = 65_536

    static func read(_ window: ByteWindow) throws -> ImageInfo {
        var orientation: Int?
        var offset = 2
        for _ in 0..<segmentLimit {
            var head = try window.bytes(at: offset, 2)
            guard head[0] == 0xFF else { throw corrupt("no marker where one must be") }
            if head[1] == 0xFF {
                offset += 1
                continue
            }
            let marker = head[1]
            if marker == 0x01 || (0xD0...0xD7).contains(marker) {
                offset += 2
                continue
            }
            guard marker != endOfImage, marker != startOfScan, marker != 0 else {
                throw corrupt("it has no frame header")
            }
            head = try window.bytes(at: offset + 2, 2)
            let length = head.bigEndian16(0)
            guard length >= 2 else { throw corrupt("a segment of impossible length") }
            if isFrame(marker) {
                let frame = try window.bytes(at: offset + 4, 6)
                return try info(marker: marker, frame: frame, orientation: orientation ?? 1)
            }
            if marker == app1, orientation == nil {
                let segment = try window.bytes(at: offset + 4, length - 2)
                if segment.hasPrefix("Exif\0\0") { orientation = ExifOrientation.read(Array(segment[6...])) }
            }
            offset += 2 + length
        }
        throw corrupt("too many segments")
    }

    private static func isFrame(_ marker: UInt8) -> Bool {
        (0xC0...0xCF).contains(marker) && marker != 0xC4 && marker != 0xC8 && marker != 0xCC
    }

    /// - Parameter frame: precision, height, width, component count.
    private static func info(marker: UInt8, frame: [UInt8], orientation: Int) throws -> ImageInfo {
        guard [0xC0, 0xC1, 0xC2, 0xC9, 0xCA].contains(marker), frame[0] == 8 else {
            throw unsupported(frame[0] == 8 ? "lossless or hierarchical" : "\(frame[0]) bits a sample")
        }
        let height = frame.bigEndian16(1)
        let width = frame.bigEndian16(3)
        guard width > 0, height > 0 else { throw unsupported("its height is not in its header") }
        let channelCount = Int(frame[5])
        guard [1, 3, 4].contains(channelCount) else { throw unsupported("\(channelCount) colour components") }
        return ImageInfo(
            format: .jpeg, width: width, height: height, orientation: orientation, bitDepth: 8,
            channelCount: channelCount, isProgressive: marker == 0xC2 || marker == 0xCA, hasAlpha: false)
    }

    private static func corrupt(_ what: String) -> MediaError {
        MediaError(.corrupt, "the JPEG is damaged: \(what)", hint: "save the picture again")
    }

    private static func unsupported(_ what: String) -> MediaError {
        MediaError(
            .unsupported, "this kind of JPEG is not supported: \(what)",
            hint: "save the picture as an ordinary JPEG or PNG")
    }
}
