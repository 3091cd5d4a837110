import CFFmpeg

/// The picture stream of an MP4 file, being decoded.
final class FilmDecoder {
    let name: String
    private var context: UnsafeMutablePointer<AVFormatContext>?
    private var decoder: UnsafeMutablePointer<AVCodecContext>?
    private var packet = av_packet_alloc()
    private var frame = av_frame_alloc()
    private var streamIndex: Int32 = -1

    init(path: String) throws {
        name = path.split(separator: "/").last.map(String.init) ?? path
        FFmpeg.begin()
        var options: OpaquePointer?
        defer { av_dict_free(&options) }
        av_dict_set(&options, "protocol_whitelist", "file", 0)
        let format = av_find_input_format("mov")
        try FFmpeg.check(avformat_open_input(&context, "file:" + path, format, &options), "opening \(name)")
        try FFmpeg.check(avformat_find_stream_info(context, nil), "opening \(name)")
        var codec: UnsafePointer<AVCodec>?
        streamIndex = try FFmpeg.check(
            av_find_best_stream(context, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0), "looking for pictures in \(name)")
        decoder = avcodec_alloc_context3(codec)
        guard let decoder, let stream = context?.pointee.streams[Int(streamIndex)], packet != nil, frame != nil else {
            throw FFmpeg.missing("memory for a decoder")
        }
        try FFmpeg.check(
            avcodec_parameters_to_context(decoder, stream.pointee.codecpar), "opening \(name)")
        decoder.pointee.thread_count = 1
        decoder.pointee.max_pixels = Int64(ImageLimits().pixelCount)
        try FFmpeg.check(avcodec_open2(decoder, codec, nil), "opening \(name)")
    }

    deinit {
        av_packet_free(&packet)
        av_frame_free(&frame)
        avcodec_free_context(&decoder)
        avformat_close_input(&context)
    }

    /// Hands over each frame in the order of display, until `body` returns false or the film ends.
    func decode(_ body: (UnsafeMutablePointer<AVFrame>) throws -> Bool) throws {
        guard let packet else { return }
        while true {
            let status = av_read_frame(context, packet)
            if status == cffmpeg_error_eof() { break }
            try FFmpeg.check(status, "reading \(name)")
            defer { av_packet_unref(packet) }
            guard packet.pointee.stream_index == streamIndex else { continue }
            try FFmpeg.check(avcodec_send_packet(decoder, packet), "decoding \(name)")
            if try !drain(body) { return }
        }
        try FFmpeg.check(avcodec_send_packet(decoder, nil), "decoding \(name)")
        _ = try drain(body)
    }

    /// - Returns: false where `body` has seen enough.
    private func drain(_ body: (UnsafeMutablePointer<AVFrame>) throws -> Bool) throws -> Bool {
        guard let frame else { return false }
        while true {
            let status = avcodec_receive_frame(decoder, frame)
            if status == cffmpeg_error_again() || status == cffmpeg_error_eof() { return true }
            try FFmpeg.check(status, "decoding \(name)")
            defer { av_frame_unref(frame) }
            if try !body(frame) { return false }
        }
    }

    /// - Returns: the frame in full-range RGB, converted by the matrix that it names (bt709 where it names none).
    static func rgb(_ frame: UnsafeMutablePointer<AVFrame>) throws -> RGBImage {
        let width = frame.pointee.width
        let height = frame.pointee.height
        let flags = SWS_BICUBIC | Int32(SWS_ACCURATE_RND) | Int32(SWS_BITEXACT) | Int32(SWS_FULL_CHR_H_INT)
        guard
            let scaler = sws_getContext(
                width, height, AVPixelFormat(frame.pointee.format), width, height, AV_PIX_FMT_RGB24, flags, nil, nil,
                nil)
        else { throw FFmpeg.missing("the colour converter") }
        defer { sws_freeContext(scaler) }
        let isNamed = frame.pointee.colorspace != AVCOL_SPC_UNSPECIFIED
        let matrix = sws_getCoefficients(isNamed ? Int32(frame.pointee.colorspace.rawValue) : SWS_CS_ITU709)
        let isFull: Int32 = frame.pointee.color_range == AVCOL_RANGE_JPEG ? 1 : 0
        try FFmpeg.check(
            sws_setColorspaceDetails(scaler, matrix, isFull, matrix, 1, 0, 1 << 16, 1 << 16), "setting up the colours")
        var target = av_frame_alloc()
        defer { av_frame_free(&target) }
        guard let target else { throw FFmpeg.missing("memory for a frame") }
        try FFmpeg.check(sws_scale_frame(scaler, target, frame), "converting the colours")
        let row = Int(width) * 3
        let stride = Int(target.pointee.linesize.0)
        let pixels = [UInt8](unsafeUninitializedCapacity: row * Int(height)) { out, count in
            for y in 0..<Int(height) {
                (out.baseAddress! + y * row).update(from: target.pointee.data.0! + y * stride, count: row)
            }
            count = row * Int(height)
        }
        return RGBImage(width: Int(width), height: Int(height), pixels: pixels)
    }
}
