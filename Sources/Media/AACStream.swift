import CFFmpeg

/// Sound to AAC packets in a file, kept in step with its pictures.
final class AACStream {
    private static let bitRate: Int64 = 160_000
    private let file: MP4File
    private let sound: Sound
    private let encoder: PacketEncoder
    /// Samples of each channel that the encoder has been given.
    private var position = 0

    init(sound: Sound, file: MP4File) throws {
        self.file = file
        self.sound = sound
        encoder = try PacketEncoder(codec: "aac", title: "AAC", file: file) { context in
            context.sample_fmt = AV_SAMPLE_FMT_FLTP
            context.sample_rate = Int32(Sound.sampleRate)
            context.bit_rate = Self.bitRate
            context.time_base = AVRational(num: 1, den: Int32(Sound.sampleRate))
            context.flags |= Int32(AV_CODEC_FLAG_BITEXACT)
            av_channel_layout_default(&context.ch_layout, Int32(Sound.channelCount))
        }
    }

    /// Encodes whole pieces up to `end` samples of each channel.
    func append(upTo end: Int) throws {
        let piece = max(Int(encoder.context.pointee.frame_size), 1)
        while position + piece <= min(end, sound.frameCount) { try send(piece) }
    }

    /// Encodes what is left of `end` samples of each channel, and ends the stream.
    func drain(at end: Int) throws {
        try append(upTo: end)
        let rest = min(end, sound.frameCount) - position
        if rest > 0 { try send(rest) }
        try encoder.send(nil, "encoding the end of the sound of \(file.name)")
    }

    private func send(_ count: Int) throws {
        var frame = av_frame_alloc()
        defer { av_frame_free(&frame) }
        guard let frame else { throw FFmpeg.missing("memory for sound") }
        frame.pointee.nb_samples = Int32(count)
        frame.pointee.format = AV_SAMPLE_FMT_FLTP.rawValue
        frame.pointee.sample_rate = Int32(Sound.sampleRate)
        frame.pointee.pts = Int64(position)
        try FFmpeg.check(
            av_channel_layout_copy(&frame.pointee.ch_layout, &encoder.context.pointee.ch_layout), "encoding sound")
        try FFmpeg.check(av_frame_get_buffer(frame, 0), "taking memory for sound")
        for (channel, plane) in [frame.pointee.data.0, frame.pointee.data.1].enumerated() {
            plane?.withMemoryRebound(to: Float.self, capacity: count) { out in
                for index in 0..<count {
                    out[index] = sound.samples[(position + index) * Sound.channelCount + channel]
                }
            }
        }
        position += count
        try encoder.send(frame, "encoding the sound of \(file.name)")
    }
}
