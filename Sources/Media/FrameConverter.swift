import CFFmpeg

/// RGB (full range) to yuv420p (bt709, limited range).
final class FrameConverter {
    private var scaler: OpaquePointer?
    private var source: UnsafeMutablePointer<AVFrame>?
    private var target: UnsafeMutablePointer<AVFrame>?

    init(width: Int, height: Int) throws {
        source = try Self.frame(width: width, height: height, format: AV_PIX_FMT_RGB24)
        target = try Self.frame(width: width, height: height, format: AV_PIX_FMT_YUV420P)
        let flags = SWS_BICUBIC | Int32(SWS_ACCURATE_RND) | Int32(SWS_BITEXACT) | Int32(SWS_FULL_CHR_H_INP)
        scaler = sws_getContext(
            Int32(width), Int32(height), AV_PIX_FMT_RGB24, Int32(width), Int32(height), AV_PIX_FMT_YUV420P, flags, nil,
            nil, nil)
        guard scaler != nil else { throw FFmpeg.missing("the colour converter") }
        let bt709 = sws_getCoefficients(SWS_CS_ITU709)
        try FFmpeg.check(
            sws_setColorspaceDetails(scaler, bt709, 1, bt709, 0, 0, 1 << 16, 1 << 16), "setting up the colours")
    }

    deinit {
        sws_freeContext(scaler)
        av_frame_free(&source)
        av_frame_free(&target)
    }

    private static func frame(width: Int, height: Int, format: AVPixelFormat) throws -> UnsafeMutablePointer<AVFrame> {
        var frame = av_frame_alloc()
        guard let made = frame else { throw FFmpeg.missing("memory for a frame") }
        made.pointee.width = Int32(width)
        made.pointee.height = Int32(height)
        made.pointee.format = format.rawValue
        let status = av_frame_get_buffer(made, 0)
        if status < 0 {
            av_frame_free(&frame)
            throw FFmpeg.error(status, "taking memory for a frame")
        }
        return made
    }

    /// - Parameter frame: `[height, width, 3]` RGB.
    /// - Returns: a frame of the converter's own, overwritten by the next call unless the encoder still holds it.
    func convert(_ frame: UnsafeRawBufferPointer) throws -> UnsafeMutablePointer<AVFrame> {
        guard let source, let target, let bytes = frame.baseAddress else { throw FFmpeg.missing("a frame") }
        // An encoder that kept a reference gets a fresh copy, never one that changes under its hands.
        try FFmpeg.check(av_frame_make_writable(target), "taking memory for a frame")
        let row = Int(source.pointee.width) * 3
        let stride = Int(source.pointee.linesize.0)
        for y in 0..<Int(source.pointee.height) {
            (source.pointee.data.0! + y * stride).update(
                from: bytes.assumingMemoryBound(to: UInt8.self) + y * row, count: row)
        }
        try FFmpeg.check(sws_scale_frame(scaler, target, source), "converting the colours")
        target.pointee.colorspace = AVCOL_SPC_BT709
        target.pointee.color_primaries = AVCOL_PRI_BT709
        target.pointee.color_trc = AVCOL_TRC_BT709
        target.pointee.color_range = AVCOL_RANGE_MPEG
        target.pointee.chroma_location = AVCHROMA_LOC_LEFT
        return target
    }
}
