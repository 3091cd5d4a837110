/// Reads the orientation (tag 274) of an EXIF block in TIFF form. Anything unexpected reads as 1, upright: a broken
/// block of notes is no reason to refuse a picture.
///
/// Source: TIFF 6.0, sections 2 and 8; CIPA DC-008 section 4.6.
enum ExifOrientation {
    private static let orientationTag = 274
    private static let shortType = 3

    /// - Parameter tiff: the block from its byte-order mark on.
    static func read(_ tiff: [UInt8]) -> Int {
        guard tiff.count >= 8 else { return 1 }
        let little = tiff.hasPrefix("II")
        guard little || tiff.hasPrefix("MM") else { return 1 }
        func short(_ at: Int) -> Int { little ? tiff.littleEndian16(at) : tiff.bigEndian16(at) }
        func long(_ at: Int) -> Int { little ? tiff.littleEndian32(at) : tiff.bigEndian32(at) }
        guard short(2) == 42 else { return 1 }
        let directory = long(4)
        guard directory >= 8, directory <= tiff.count - 2 else { return 1 }
        for index in 0..<short(directory) {
            let entry = directory + 2 + 12 * index
            guard entry <= tiff.count - 12 else { return 1 }
            guard short(entry) == orientationTag else { continue }
            guard short(entry + 2) == shortType, long(entry + 4) == 1 else { return 1 }
            let value = short(entry + 8)
            return (1...8).contains(value) ? value : 1
        }
        return 1
    }
}
