import CFFmpeg

/// RGB frames to H.264 packets in a file.
final class H264Stream {
    private let file: MP4File
    private let encoder: PacketEncoder
    private let converter: FrameConverter
    private(set) var frameCount = 0

    init(settings: VideoSettings, file: MP4File) throws {
        self.file = file
        converter = try FrameConverter(width: settings.width, height: settings.height)
        // As good a film for its bytes as with the presets' 20 to 60 frames, and little left to do after the last one.
        var parameters = "rc-lookahead=10"
        // Build 164 reads memory it never wrote in its AVX-512 code, and the film then differs from run to run.
        if cffmpeg_has_avx2() != 0 { parameters += ":asm=avx2" }
        encoder = try PacketEncoder(
            codec: "libx264", title: "H.264", file: file, packetDuration: 1,
            options: [
                ("preset", settings.preset.rawValue), ("crf", "\(settings.crf)"), ("profile", "high"),
                ("x264-params", parameters),
            ]
        ) { Self.configure(&$0, settings) }
        encoder.stream.pointee.avg_frame_rate = encoder.context.pointee.framerate
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
        try encoder.send(picture, "encoding frame \(frameCount) of \(file.name)")
        frameCount += 1
    }

    func drain() throws {
        try encoder.send(nil, "encoding the end of \(file.name)")
    }
}
