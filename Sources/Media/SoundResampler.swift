import CFFmpeg

/// Decoded frames of any rate and arrangement to samples as `Sound` has them.
final class SoundResampler {
    private var context: OpaquePointer?
    private var rate: Int32 = 0
    private var format: Int32 = -1
    private var layout = AVChannelLayout()

    deinit {
        swr_free(&context)
        av_channel_layout_uninit(&layout)
    }

    /// - Parameter frameCount: samples of each channel that `samples` may grow to.
    func append(
        _ frame: UnsafeMutablePointer<AVFrame>, to samples: inout [Float], atMost frameCount: Int
    ) throws {
        guard frame.pointee.nb_samples > 0 else { return }
        // A file that does not say where its channels belong is taken as the usual arrangement.
        if frame.pointee.ch_layout.order == AV_CHANNEL_ORDER_UNSPEC {
            let count = frame.pointee.ch_layout.nb_channels
            av_channel_layout_default(&frame.pointee.ch_layout, count)
        }
        // The library reads each frame as the first one was: one of another kind would be read beyond its end.
        if context != nil, !fits(frame) { try drain(into: &samples, atMost: frameCount) }
        if context == nil { try start(frame) }
        try convert(frame, into: &samples, atMost: frameCount)
    }

    /// Appends what is still held back, and is ready for another stream.
    func drain(into samples: inout [Float], atMost frameCount: Int) throws {
        if context != nil { try convert(nil, into: &samples, atMost: frameCount) }
        swr_free(&context)
    }

    private func fits(_ frame: UnsafeMutablePointer<AVFrame>) -> Bool {
        frame.pointee.sample_rate == rate && frame.pointee.format == format
            && av_channel_layout_compare(&frame.pointee.ch_layout, &layout) == 0
    }

    private func start(_ frame: UnsafeMutablePointer<AVFrame>) throws {
        try SoundLimits.check(sampleRate: Int(frame.pointee.sample_rate))
        (rate, format) = (frame.pointee.sample_rate, frame.pointee.format)
        try FFmpeg.check(av_channel_layout_copy(&layout, &frame.pointee.ch_layout), "resampling it")
        var stereo = AVChannelLayout()
        av_channel_layout_default(&stereo, Int32(Sound.channelCount))
        try FFmpeg.check(
            swr_alloc_set_opts2(
                &context, &stereo, AV_SAMPLE_FMT_FLT, Int32(Sound.sampleRate), &layout, AVSampleFormat(format), rate, 0,
                nil), "resampling it")
        try FFmpeg.check(swr_init(context), "resampling it")
    }

    /// - Parameter frame: nil takes what the resampler still holds.
    private func convert(
        _ frame: UnsafeMutablePointer<AVFrame>?, into samples: inout [Float], atMost frameCount: Int
    ) throws {
        let made = try FFmpeg.check(swr_get_out_samples(context, frame?.pointee.nb_samples ?? 0), "resampling it")
        // What is beyond the film stays inside the library, and is never asked for.
        let room = min(Int(made), frameCount - samples.count / Sound.channelCount)
        guard room > 0 else { return }
        var piece = [Float](repeating: 0, count: room * Sound.channelCount)
        let count = piece.withUnsafeMutableBytes { out -> Int32 in
            var target: UnsafeMutablePointer<UInt8>? = out.baseAddress?.assumingMemoryBound(to: UInt8.self)
            guard let frame else { return swr_convert(context, &target, Int32(room), nil, 0) }
            return cffmpeg_resample(context, &target, Int32(room), frame)
        }
        try FFmpeg.check(count, "resampling it")
        for value in piece.prefix(Int(count) * Sound.channelCount) {
            samples.append(value.isNaN ? 0 : min(max(value, -1), 1))
        }
    }
}
