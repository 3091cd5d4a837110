/// What the headers of a picture say.
public struct ImageInfo: Equatable, Sendable {
    public enum Format: String, Sendable {
        case jpeg
        case png
    }

    public var format: Format
    /// Pixels a row as stored, before `orientation` is applied.
    public var width: Int
    /// Rows as stored, before `orientation` is applied.
    public var height: Int
    /// EXIF orientation, 1 (upright) to 8.
    public var orientation: Int
    /// Bits a sample.
    public var bitDepth: Int
    /// Samples a pixel as stored; a palette counts as one.
    public var channelCount: Int
    /// Progressive JPEG or interlaced PNG.
    public var isProgressive: Bool
    /// The picture may have transparent parts (PNG alpha channel or tRNS chunk).
    public var hasAlpha: Bool

    /// Pixels a row after `orientation` is applied.
    public var displayWidth: Int { orientation >= 5 ? height : width }
    /// Rows after `orientation` is applied.
    public var displayHeight: Int { orientation >= 5 ? width : height }
}
