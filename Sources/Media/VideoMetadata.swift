import Glibc

/// What an MP4 says about its picture and about itself, read from its boxes without decoding.
///
/// Reads any file, a hostile one too: bounded time, at most some MiB of memory.
public struct VideoMetadata: Equatable, Sendable {
    /// Sample entry of the first picture track, as in "avc1" (H.264).
    public internal(set) var codec = ""
    /// H.264 profile_idc (100 is High), where the track is H.264.
    public internal(set) var profile: Int?
    public internal(set) var width = 0
    public internal(set) var height = 0
    public internal(set) var frameCount = 0
    /// Nil where frames last unequally long.
    public internal(set) var frameRate: FrameRate?
    /// Primaries, transfer and matrix codes of ITU-T H.273 (1 is bt709), and whether the range is full.
    public internal(set) var color: Color?
    /// The index stands before the pictures, so that playing can begin before the whole file is there.
    public internal(set) var isFastStart = false
    /// The first sound track.
    public internal(set) var sound: SoundTrack?
    /// All keys with text values, `comment`, `dropreel` and `AIGC` among them.
    public internal(set) var tags: [String: String] = [:]
    /// The XMP packet.
    public internal(set) var xmp: String?

    public struct SoundTrack: Equatable, Sendable {
        /// Sample entry, as in "mp4a" (AAC).
        public var codec: String
        /// Length of its samples, the encoder's run-in included.
        public var seconds: Double
    }

    public struct Color: Equatable, Sendable {
        public var primaries: Int
        public var transfer: Int
        public var matrix: Int
        public var isFullRange: Bool

        public static let bt709 = Color(primaries: 1, transfer: 1, matrix: 1, isFullRange: false)
    }

    public var comment: String? { tags["comment"] }
    /// The job as JSON.
    public var dropreel: String? { tags["dropreel"] }
    /// The label of generated content, as JSON.
    public var aigc: String? { tags["AIGC"] }

    /// The marks as they were handed to `VideoWriter`, where all are there.
    public var marks: VideoMarks? {
        guard let comment, let dropreel, let aigc, let xmp else { return nil }
        return VideoMarks(comment: comment, dropreel: dropreel, aigc: aigc, xmp: xmp)
    }

    /// - Parameter path: a regular file.
    /// - Throws: `MediaError`: `.notAnImage` (no MP4), `.incomplete`, `.corrupt`, `.tooLarge`, `.unsupported` (no picture
    ///   track), `.io`.
    public static func read(path: String) throws -> VideoMetadata {
        try read(OpenFile(path, flags: O_RDONLY | O_NONBLOCK))
    }

    /// - Parameter descriptor: an open regular file; its position is neither used nor moved.
    /// - Throws: as for a path.
    public static func read(descriptor: Int32) throws -> VideoMetadata {
        try read(OpenFile(duplicating: descriptor))
    }

    private static func read(_ file: borrowing OpenFile) throws -> VideoMetadata {
        try read(ByteWindow(file))
    }

    /// - Throws: as for a path, without `.io`.
    public static func read(_ bytes: [UInt8]) throws -> VideoMetadata {
        try read(ByteWindow(count: bytes.count) { Array(bytes[$0..<($0 + $1)]) })
    }
}
