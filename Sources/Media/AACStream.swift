import CFFmpeg

/// Sound to AAC packets in a file, kept in step with its pictures.
final class AACStream {
    private static let bitRate: Int64 = 160_000
    private let file: MP4File
    private let sound: Sound
    private let stream: UnsafeMutablePointer<AVStream>
    private var encoder: UnsafeMutablePointer<AVCodecContext>?
    private var packet: UnsafeMutablePointer<AVPacket>?
    /// Samples of each channel that the encoder has been given.
    private var position = 0

    init(sound: Sound, file: MP4File) throws {
        self.file = file
        self.sound = sound
        guard let codec = avcodec_find_encoder_by_name("aac") else { throw FFmpeg.missing("the AAC encoder") }
        guard let stream = avformat_new_stream(file.context, nil) else { throw FFmpeg.missing("memory for a stream") }
        self.stream = stream
        encoder = avcodec_alloc_context3(codec)
        packet = av_packet_alloc()
        guard let encoder, packet != nil else { throw FFmpeg.missing("memory for an encoder") }
        encoder.pointee.sample_fmt = AV_SAMPLE_FMT_FLTP
        encoder.pointee.sample_rate = Int32(Sound.sampleRate)
        encoder.pointee.bit_rate = Self.bitRate
        encoder.pointee.time_base = AVRational(num: 1, den: Int32(Sound.sampleRate))
        encoder.pointee.flags |= Int32(AV_CODEC_FLAG_BITEXACT)
        av_channel_layout_default(&encoder.pointee.ch_layout, Int32(Sound.channelCount))
        if file.context.pointee.oformat.pointee.flags & AVFMT_GLOBALHEADER != 0 {
            encoder.pointee.flags |= AV_CODEC_FLAG_GLOBAL_HEADER
        }
        try FFmpeg.check(avcodec_open2(encoder, codec, nil), "starting the AAC encoder")
        try FFmpeg.check(
            avcodec_parameters_from_context(stream.pointee.codecpar, encoder), "starting the AAC encoder")
        stream.pointee.time_base = encoder.pointee.time_base
    }

    deinit {
        av_packet_free(&packet)
        avcodec_free_context(&encoder)
    }

    /// Encodes whole pieces up to `end` samples of each channel.
    func append(upTo end: Int) throws {
        guard let encoder else { return }
        let piece = max(Int(encoder.pointee.frame_size), 1)
        while position + piece <= min(end, sound.frameCount) { try send(piece) }
    }

    /// Encodes what is left of `end` samples of each channel, and ends the stream.
    func drain(at end: Int) throws {
        try append(upTo: end)
        let rest = min(end, sound.frameCount) - position
        if rest > 0 { try send(rest) }
        try FFmpeg.check(avcodec_send_frame(encoder, nil), "encoding the end of the sound")
        try writePackets()
    }

    private func send(_ count: Int) throws {
        var frame = av_frame_alloc()
        defer { av_frame_free(&frame) }
        guard let frame, let encoder else { throw FFmpeg.missing("memory for sound") }
        frame.pointee.nb_samples = Int32(count)
        frame.pointee.format = AV_SAMPLE_FMT_FLTP.rawValue
        frame.pointee.sample_rate = Int32(Sound.sampleRate)
        frame.pointee.pts = Int64(position)
        try FFmpeg.check(av_channel_layout_copy(&frame.pointee.ch_layout, &encoder.pointee.ch_layout), "encoding sound")
        try FFmpeg.check(av_frame_get_buffer(frame, 0), "taking memory for sound")
        for (channel, plane) in [frame.pointee.data.0, frame.pointee.data.1].enumerated() {
            plane?.withMemoryRebound(to: Float.self, capacity: count) { out in
                for index in 0..<count {
                    out[index] = sound.samples[(position + index) * Sound.channelCount + channel]
                }
            }
        }
        position += count
        try FFmpeg.check(avcodec_send_frame(encoder, frame), "encoding the sound of \(file.name)")
        try writePackets()
    }

    private func writePackets() throws {
        guard let encoder, let packet else { return }
        while true {
            let status = avcodec_receive_packet(encoder, packet)
            if status == cffmpeg_error_again() || status == cffmpeg_error_eof() { return }
            try FFmpeg.check(status, "encoding the sound of \(file.name)")
            packet.pointee.stream_index = stream.pointee.index
            av_packet_rescale_ts(packet, encoder.pointee.time_base, stream.pointee.time_base)
            try file.write(packet)
        }
    }
}
