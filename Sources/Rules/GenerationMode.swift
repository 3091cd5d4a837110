/// What a job makes its clip from; the raw value is the `<mode>` of output names and logs.
public enum GenerationMode: String, Hashable, Sendable, Codable, CaseIterable {
    case textToVideo = "t2v"
    case imageToVideo = "i2v"

    /// `text to video`, `image to video`.
    public var words: String {
        switch self {
        case .textToVideo: "text to video"
        case .imageToVideo: "image to video"
        }
    }
}

/// Width and height of a picture in pixels.
public struct PixelSize: Hashable, Sendable, Codable, CustomStringConvertible {
    public var width: Int
    public var height: Int

    public init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }

    public var description: String { "\(width)x\(height)" }
}
