import CFFmpeg

/// An encoder of the FFmpeg libraries and the stream of a file that its packets go to.
final class PacketEncoder {
    let context: UnsafeMutablePointer<AVCodecContext>
    let stream: UnsafeMutablePointer<AVStream>
    private let packet: UnsafeMutablePointer<AVPacket>
    private let file: MP4File
    /// Length that every packet is given, in units of the encoder's time base; nil leaves the encoder's own.
    private let packetDuration: Int64?

    /// - Parameters:
    ///   - codec: the encoder's name in FFmpeg; `title`: what errors call it.
    ///   - options: FFmpeg's options of this encoder.
    ///   - configure: sets sizes, rates and formats before the encoder is opened.
    /// - Throws: `.unavailable` without the encoder.
    init(
        codec name: String, title: String, file: MP4File, packetDuration: Int64? = nil,
        options: [(key: String, value: String)] = [], configure: (inout AVCodecContext) -> Void
    ) throws {
        self.file = file
        self.packetDuration = packetDuration
        guard let codec = avcodec_find_encoder_by_name(name) else { throw FFmpeg.missing("the \(title) encoder") }
        guard let stream = avformat_new_stream(file.context, nil) else { throw FFmpeg.missing("memory for a stream") }
        var made = avcodec_alloc_context3(codec)
        guard let context = made, let packet = av_packet_alloc() else {
            avcodec_free_context(&made)
            throw FFmpeg.missing("memory for an encoder")
        }
        self.stream = stream
        self.context = context
        self.packet = packet
        configure(&context.pointee)
        if file.context.pointee.oformat.pointee.flags & AVFMT_GLOBALHEADER != 0 {
            context.pointee.flags |= AV_CODEC_FLAG_GLOBAL_HEADER
        }
        var dictionary: OpaquePointer?
        defer { av_dict_free(&dictionary) }
        for option in options { av_dict_set(&dictionary, option.key, option.value, 0) }
        try FFmpeg.check(avcodec_open2(context, codec, &dictionary), "starting the \(title) encoder")
        try FFmpeg.check(
            avcodec_parameters_from_context(stream.pointee.codecpar, context), "starting the \(title) encoder")
        stream.pointee.time_base = context.pointee.time_base
    }

    deinit {
        var (context, packet): (UnsafeMutablePointer<AVCodecContext>?, UnsafeMutablePointer<AVPacket>?)
        (context, packet) = (self.context, self.packet)
        av_packet_free(&packet)
        avcodec_free_context(&context)
    }

    /// Encodes a frame, or what is left where it is nil, and writes the packets that are ready.
    func send(_ frame: UnsafePointer<AVFrame>?, _ doing: @autoclosure () -> String) throws {
        try FFmpeg.check(avcodec_send_frame(context, frame), doing())
        while true {
            let status = avcodec_receive_packet(context, packet)
            if status == cffmpeg_error_again() || status == cffmpeg_error_eof() { return }
            try FFmpeg.check(status, doing())
            packet.pointee.stream_index = stream.pointee.index
            if let packetDuration { packet.pointee.duration = packetDuration }
            av_packet_rescale_ts(packet, context.pointee.time_base, stream.pointee.time_base)
            try file.write(packet)
        }
    }
}
