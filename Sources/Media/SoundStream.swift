import CFFmpeg

/// The best sound stream of a file, being decoded and resampled. Of one thread.
final class SoundStream {
    private let source: SoundSource
    private var bytes: UnsafeMutablePointer<AVIOContext>?
    private var context: UnsafeMutablePointer<AVFormatContext>?
    private var decoder: UnsafeMutablePointer<AVCodecContext>?
    private var packet = av_packet_alloc()
    private var frame = av_frame_alloc()
    private var index: Int32 = -1
    private let resampler = SoundResampler()

    /// - Parameter format: libavformat's name of a demuxer.
    init(_ source: SoundSource, format: String) throws {
        self.source = source
        FFmpeg.begin()
        try naming {
            try open(format)
            try chooseStream()
        }
    }

    deinit {
        av_packet_free(&packet)
        av_frame_free(&frame)
        avcodec_free_context(&decoder)
        avformat_close_input(&context)
        SoundSource.close(&bytes)
    }

    // MARK: Opening

    private func open(_ format: String) throws {
        guard let demuxer = av_find_input_format(format) else {
            throw MediaError(
                .unsupported, "the FFmpeg libraries of this host read no \(format)", hint: "save the sound as WAV")
        }
        bytes = source.open()
        context = avformat_alloc_context()
        guard let bytes, let context, packet != nil, frame != nil else { throw FFmpeg.missing("memory for a decoder") }
        context.pointee.pb = bytes
        // Whatever a file names, nothing is opened for it.
        context.pointee.io_open = { _, _, _, _, _ in cffmpeg_error(EPERM) }
        var options: OpaquePointer?
        defer { av_dict_free(&options) }
        let values = [
            "protocol_whitelist": "", "format_whitelist": String(cString: demuxer.pointee.name),
            "codec_whitelist": SoundDecoder.codecs.sorted().joined(separator: ","),
            "probesize": String(SoundLimits.probedByteCount), "max_streams": String(SoundLimits.streamCount),
            // Of the demuxer of M4A; the others know none of these.
            "enable_drefs": "0", "use_absolute_path": "0", "ignore_chapters": "1",
        ]
        for (key, value) in values { av_dict_set(&options, key, value, 0) }
        // Frees the context and forgets it where it fails.
        try FFmpeg.check(avformat_open_input(&self.context, "", demuxer, &options), "opening it")
    }

    private func chooseStream() throws {
        keepStreams { $0.codecpar.pointee.codec_type == AVMEDIA_TYPE_AUDIO }
        try FFmpeg.check(avformat_find_stream_info(context, nil), "reading it")
        var codec: UnsafePointer<AVCodec>?
        let found = av_find_best_stream(context, AVMEDIA_TYPE_AUDIO, -1, -1, &codec, 0)
        if found != cffmpeg_error_decoder_not_found() { index = try FFmpeg.check(found, "looking for sound") }
        guard index >= 0, let codec, SoundDecoder.codecs.contains(String(cString: codec.pointee.name)) else {
            throw MediaError(
                .unsupported, "the sound is of a kind that is not read", hint: "save it as WAV (PCM), M4A (AAC) or MP3")
        }
        keepStreams { $0.index == index }
        decoder = avcodec_alloc_context3(codec)
        guard let decoder, let stream = context?.pointee.streams[Int(index)] else {
            throw FFmpeg.missing("memory for a decoder")
        }
        try FFmpeg.check(avcodec_parameters_to_context(decoder, stream.pointee.codecpar), "opening it")
        decoder.pointee.thread_count = 1
        try FFmpeg.check(avcodec_open2(decoder, codec, nil), "opening it")
    }

    /// Pictures, subtitles and other languages are not even read.
    private func keepStreams(_ isKept: (AVStream) -> Bool) {
        guard let context else { return }
        for number in 0..<Int(context.pointee.nb_streams) {
            guard let stream = context.pointee.streams[number] else { continue }
            stream.pointee.discard = isKept(stream.pointee) ? AVDISCARD_DEFAULT : AVDISCARD_ALL
        }
    }

    // MARK: Decoding

    /// From the start on: `[frames, 2]`.
    func samples(atMost frameCount: Int) throws -> [Float] {
        var samples: [Float] = []
        samples.reserveCapacity(frameCount * Sound.channelCount)
        try naming {
            while let packet, samples.count < frameCount * Sound.channelCount {
                let status = av_read_frame(context, packet)
                if status == cffmpeg_error_eof() {
                    try decode(nil, into: &samples, atMost: frameCount)
                    return try resampler.drain(into: &samples, atMost: frameCount)
                }
                try FFmpeg.check(status, "reading it")
                defer { av_packet_unref(packet) }
                guard packet.pointee.stream_index == index else { continue }
                try decode(packet, into: &samples, atMost: frameCount)
            }
        }
        return samples
    }

    /// - Parameter packet: nil takes what the decoder still holds.
    private func decode(
        _ packet: UnsafeMutablePointer<AVPacket>?, into samples: inout [Float], atMost frameCount: Int
    ) throws {
        try FFmpeg.check(avcodec_send_packet(decoder, packet), "decoding it")
        while let frame {
            let status = avcodec_receive_frame(decoder, frame)
            if status == cffmpeg_error_again() || status == cffmpeg_error_eof() { return }
            try FFmpeg.check(status, "decoding it")
            defer { av_frame_unref(frame) }
            try resampler.append(frame, to: &samples, atMost: frameCount)
        }
    }

    private func naming<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as MediaError where error.code == .corrupt {
            throw SoundDecoder.damaged(error.message)
        }
    }
}
