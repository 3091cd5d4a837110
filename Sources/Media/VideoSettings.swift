/// Frames a second as a fraction, so that 16 and 30000/1001 are both exact.
public struct FrameRate: Equatable, Hashable, Sendable, CustomStringConvertible {
    public let numerator: Int32
    public let denominator: Int32

    /// - Precondition: both are positive.
    public init(_ numerator: Int32, over denominator: Int32 = 1) {
        precondition(numerator > 0 && denominator > 0)
        let divisor = Self.greatestCommonDivisor(numerator, denominator)
        self.numerator = numerator / divisor
        self.denominator = denominator / divisor
    }

    public var framesPerSecond: Double { Double(numerator) / Double(denominator) }

    public var description: String { denominator == 1 ? "\(numerator)" : "\(numerator)/\(denominator)" }

    private static func greatestCommonDivisor(_ a: Int32, _ b: Int32) -> Int32 {
        b == 0 ? a : greatestCommonDivisor(b, a % b)
    }
}

/// How a film is encoded.
public struct VideoSettings: Equatable, Sendable {
    /// libx264's presets that make H.264 High (`ultrafast` does not).
    public enum Preset: String, CaseIterable, Sendable {
        case superfast, veryfast, faster, fast, medium, slow, slower, veryslow
    }

    /// Pixels a row; even.
    public var width: Int
    /// Rows; even.
    public var height: Int
    public var frameRate: FrameRate
    /// Constant rate factor, 1 (best) to 51.
    public var crf: Int
    public var preset: Preset
    /// Encoder threads. The number is written into the film, so it goes by the size of the frames and not by the machine.
    public var threadCount: Int

    /// Two, and one more for every 62,500 pixels, up to sixteen: eight at 832 x 480. With fewer, a film of that size is
    /// still being encoded when a GPU has long decoded its last frame.
    public static func threadCount(width: Int, height: Int) -> Int {
        guard width > 0, height > 0, width < 1 << 16, height < 1 << 16 else { return 2 }
        return 2 + min(14, width * height / 62_500)
    }

    public init(
        width: Int, height: Int, frameRate: FrameRate = FrameRate(16), crf: Int = 18, preset: Preset = .faster,
        threadCount: Int? = nil
    ) {
        self.width = width
        self.height = height
        self.frameRate = frameRate
        self.crf = crf
        self.preset = preset
        self.threadCount = threadCount ?? Self.threadCount(width: width, height: height)
    }

    /// Bytes of one frame, `[height, width, 3]` RGB.
    public var frameByteCount: Int { width * height * 3 }

    /// - Throws: `MediaError` with code `.unsupported` that names the setting.
    func validate() throws {
        func require(_ condition: Bool, _ message: String, hint: String) throws {
            if !condition { throw MediaError(.unsupported, message, hint: hint) }
        }
        try require(
            width % 2 == 0 && height % 2 == 0, "a film of \(width) x \(height) pixels: both sides must be even",
            hint: "use sides that are multiples of 16")
        try require(
            (16...8192).contains(width) && (16...8192).contains(height),
            "a film of \(width) x \(height) pixels: sides of 16 to 8192 can be written", hint: "use another size")
        try require((1...51).contains(crf), "crf \(crf) is out of range", hint: "use 1 (best) to 51; 18 is the default")
        try require((1...64).contains(threadCount), "\(threadCount) encoder threads", hint: "use 1 to 64")
        try require(
            (1...240).contains(frameRate.framesPerSecond), "\(frameRate) frames a second", hint: "use 1 to 240")
    }
}

/// A finished film.
public struct VideoSummary: Equatable, Sendable {
    public let frameCount: Int
    public let byteCount: Int
}
