/// How much sound is accepted. The file may be of any length: only as much of it is decoded as the film lasts.
public struct SoundLimits: Equatable, Sendable {
    /// Samples of each channel that may be asked for: a film of fifteen minutes.
    public var frameCount = 900 * Sound.sampleRate
    /// Bytes of address space that a process of its own may take besides the samples: the tables of an M4A, the tags of
    /// an MP3 (pictures of covers among them), and what the decoder holds.
    public var decodingByteCount = 192 << 20

    /// Samples a second of a file. Resampling makes at most twelve samples of one.
    static let sampleRates = 4_000...768_000
    /// Bytes that are read to find out what kind of sound it is.
    static let probedByteCount = 1 << 20
    /// Tracks of a file.
    static let streamCount = 64

    public init() {}

    func check(frameCount count: Int) throws {
        guard count > frameCount || count < 1 else { return }
        throw MediaError(
            .tooLarge,
            "the film lasts \(count / Sound.sampleRate) s; only films of up to \(frameCount / Sound.sampleRate) s can have sound",
            hint: "ask for fewer frames, or take the sound away")
    }

    static func check(sampleRate rate: Int) throws {
        guard !sampleRates.contains(rate) else { return }
        throw MediaError(
            .unsupported,
            "the sound has \(rate) samples a second; \(sampleRates.lowerBound) to \(sampleRates.upperBound) are read",
            hint: "save the sound with 48,000 samples a second")
    }
}
