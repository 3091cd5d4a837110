import CFFmpeg

/// RGB frames to H.264 packets in a file.
final class H264Stream {
    private let file: MP4File
    private let stream: UnsafeMutablePointer<AVStream>
    private var encoder: UnsafeMutablePointer<AVCodecContext>?
    private var packet: UnsafeMutablePointer<AVPacket>?
    private let converter: FrameConverter
    private(set) var frameCount = 0

    init(settings: VideoSettings, file: MP4File) throws {
        self.file = file
        guard let codec = avcodec_find_encoder_by_name("libx264") else { throw FFmpeg.missing("the libx264 encoder") }
        guard let stream = avformat_new_stream(file.context, nil) else { throw FFmpeg.missing("memory for a stream") }
        self.stream = stream
        converter = try FrameConverter(width: settings.width, height: settings.height)
        encoder = avcodec_alloc_context3(codec)
        packet = av_packet_alloc()
        guard let encoder, packet != nil else { throw FFmpeg.missing("memory for an encoder") }
        Self.configure(&encoder.pointee, settings)
        if file.context.pointee.oformat.pointee.flags & AVFMT_GLOBALHEADER != 0 {
            encoder.pointee.flags |= AV_CODEC_FLAG_GLOBAL_HEADER
        }
        var options: OpaquePointer?
        defer { av_dict_free(&options) }
        av_dict_set(&options, "preset", settings.preset.rawValue, 0)
        av_dict_set_int(&options, "crf", Int64(settings.crf), 0)
        av_dict_set(&options, "profile", "high", 0)
        // As good a film for its bytes as with the presets' 20 to 60 frames, and little left to do after the last one.
        var parameters = "rc-lookahead=10"
        // Build 164 reads memory it never wrote in its AVX-512 code, and the film then differs from run to run.
        if cffmpeg_has_avx2() != 0 { parameters += ":asm=avx2" }
        av_dict_set(&options, "x264-params", parameters, 0)
        try FFmpeg.check(avcodec_open2(encoder, codec, &options), "starting the H.264 encoder")
        try FFmpeg.check(
            avcodec_parameters_from_context(stream.pointee.codecpar, encoder), "starting the H.264 encoder")
        stream.pointee.time_base = encoder.pointee.time_base
        stream.pointee.avg_frame_rate = encoder.pointee.framerate
    }

    deinit {
        av_packet_free(&packet)
        avcodec_free_context(&encoder)
    }

    private static func configure(_ encoder: inout AVCodecContext, _ settings: VideoSettings) {
        let rate = settings.frameRate
        encoder.width = Int32(settings.width)
        encoder.height = Int32(settings.height)
        encoder.pix_fmt = AV_PIX_FMT_YUV420P
        encoder.time_base = AVRational(num: rate.denominator, den: rate.numerator)
        encoder.framerate = AVRational(num: rate.numerator, den: rate.denominator)
        encoder.sample_aspect_ratio = AVRational(num: 1, den: 1)
        encoder.colorspace = AVCOL_SPC_BT709
        encoder.color_primaries = AVCOL_PRI_BT709
        encoder.color_trc = AVCOL_TRC_BT709
        encoder.color_range = AVCOL_RANGE_MPEG
        encoder.chroma_sample_location = AVCHROMA_LOC_LEFT
        encoder.thread_count = Int32(settings.threadCount)
        encoder.flags |= Int32(AV_CODEC_FLAG_BITEXACT)
    }

    func append(_ frame: UnsafeRawBufferPointer) throws {
        let picture = try converter.convert(frame)
        picture.pointee.pts = Int64(frameCount)
        try FFmpeg.check(avcodec_send_frame(encoder, picture), "encoding frame \(frameCount) of \(file.name)")
        frameCount += 1
        try writePackets()
    }

    func drain() throws {
        try FFmpeg.check(avcodec_send_frame(encoder, nil), "encoding the end of \(file.name)")
        try writePackets()
    }

    private func writePackets() throws {
        guard let encoder, let packet else { return }
        while true {
            let status = avcodec_receive_packet(encoder, packet)
            if status == cffmpeg_error_again() || status == cffmpeg_error_eof() { return }
            try FFmpeg.check(status, "encoding \(file.name)")
            packet.pointee.stream_index = stream.pointee.index
            packet.pointee.duration = 1
            av_packet_rescale_ts(packet, encoder.pointee.time_base, stream.pointee.time_base)
            try file.write(packet)
        }
    }
}
