import CFFmpeg

/// Turns WAV, M4A and MP3 bytes into samples. Runs in the process that can only compute (`DecodingChild`): what it reads
/// is hostile, and most of it happens in C.
///
/// The first bytes decide the format, never the name. Only three demuxers and their usual codecs can be reached; no
/// protocol is, so that a file that names others gets nothing of them.
package enum SoundDecoder {
    /// Decodes the beginning of a sound.
    ///
    /// One channel is spread over both at the same power, 3 dB lower in each. Samples beyond full scale are cut to it;
    /// those that are no numbers are silence.
    /// - Parameter frameCount: samples of each channel at most.
    /// - Returns: `[frames, 2]` samples as `Sound` has them, at least one frame.
    /// - Throws: `MediaError`: `.notAnImage` (no such file), `.corrupt`, `.unsupported` (other codecs), `.tooLarge`,
    ///   `.io`, `.unavailable` (no memory).
    static func decode(
        _ source: SoundSource, frameCount: Int, limits: SoundLimits = SoundLimits()
    ) throws -> [Float] {
        try limits.check(frameCount: frameCount)
        do {
            let stream = try SoundStream(source, format: try format(source.start(12)))
            let samples = try stream.samples(atMost: frameCount)
            try source.throwFailure()
            guard !samples.isEmpty else { throw damaged("there is no sound in it") }
            return samples
        } catch let error as MediaError {
            try source.throwFailure()
            // The libraries give the system's error numbers as well for what is wrong with the bytes.
            guard error.code == .io else { throw error }
            throw damaged(error.message)
        }
    }

    /// - Throws: as for a source.
    package static func decode(_ bytes: [UInt8], frameCount: Int) throws -> [Float] {
        try decode(SoundSource(bytes), frameCount: frameCount)
    }

    static func damaged(_ what: String) -> MediaError {
        MediaError(
            .corrupt, "the sound file is damaged: \(what)", hint: "save the sound again as WAV, M4A or MP3")
    }

    // MARK: What is opened

    private static func format(_ start: [UInt8]) throws -> String {
        if start.hasPrefix("RIFF"), start.hasPrefix("WAVE", at: 8) { return "wav" }
        if start.hasPrefix("ftyp", at: 4) { return "mov" }
        if start.hasPrefix("ID3") || (start.count > 1 && start[0] == 0xFF && start[1] & 0xE0 == 0xE0) { return "mp3" }
        throw MediaError(
            .notAnImage, "the sound file is neither WAV, M4A nor MP3", hint: "save the sound as WAV, M4A or MP3")
    }

    /// By libavcodec's names.
    static let codecs: Set<String> = [
        "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le",
        "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw", "aac", "alac", "mp3", "mp3float", "mp2",
        "mp2float",
    ]
}
