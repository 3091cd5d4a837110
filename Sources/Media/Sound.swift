/// Sound for a film: 48,000 samples a second, left and right by turns, -1...1.
public struct Sound: Equatable, Sendable {
    public static let sampleRate = 48_000
    static let channelCount = 2

    /// `[frames, 2]`: left, right.
    public let samples: [Float]

    /// Samples of each channel.
    public var frameCount: Int { samples.count / Self.channelCount }

    /// - Precondition: an even number of samples.
    public init(samples: [Float]) {
        precondition(samples.count % Self.channelCount == 0)
        self.samples = samples
    }

    /// The same, with silence behind it.
    func padded(to frameCount: Int) -> Sound {
        let missing = frameCount * Self.channelCount - samples.count
        return missing > 0 ? Sound(samples: samples + repeatElement(0, count: missing)) : self
    }

    /// Samples of each channel that a film of `frameCount` frames needs.
    public static func sampleCount(videoFrames frameCount: Int, rate: FrameRate) -> Int {
        let (frames, ticks) = (Int64(frameCount) * Int64(rate.denominator), Int64(rate.numerator))
        return Int((frames * Int64(sampleRate) + ticks / 2) / ticks)
    }

    static func byteCount(frameCount: Int) -> Int { frameCount * channelCount * MemoryLayout<Float>.size }
}
