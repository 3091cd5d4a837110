import CFFmpeg
import Glibc

/// Sound for a film: 48,000 samples a second, left and right by turns, -1...1.
public struct Sound: Equatable, Sendable {
    public static let sampleRate = 48_000
    static let channelCount = 2

    /// `[frames, 2]`: left, right.
    public let samples: [Float]

    /// Samples of each channel.
    public var frameCount: Int { samples.count / Self.channelCount }

    /// - Precondition: an even number of samples.
    public init(samples: [Float]) {
        precondition(samples.count % Self.channelCount == 0)
        self.samples = samples
    }

    /// Samples of each channel that a film of `frameCount` frames needs.
    public static func sampleCount(videoFrames frameCount: Int, rate: FrameRate) -> Int {
        let (frames, ticks) = (Int64(frameCount) * Int64(rate.denominator), Int64(rate.numerator))
        return Int((frames * Int64(sampleRate) + ticks / 2) / ticks)
    }

    /// Decodes the beginning of a WAV, M4A or MP3 file, cut or padded with silence to `frameCount` samples a channel.
    ///
    /// One channel is spread over both at the same power, 3 dB lower in each.
    ///
    /// The first bytes decide the format, never the name; only these containers and their usual codecs are opened.
    /// - Throws: `MediaError`: `.notAnImage` (no such file), `.corrupt`, `.unsupported` (other codecs), `.io`.
    public static func read(path: String, frameCount: Int) throws -> Sound {
        let decoder = try SoundDecoder(path: path)
        var samples = try decoder.samples(atMost: frameCount * channelCount)
        guard !samples.isEmpty else { throw damaged("there is no sound in it") }
        samples.append(contentsOf: repeatElement(0, count: frameCount * channelCount - samples.count))
        return Sound(samples: samples)
    }

    static func damaged(_ what: String) -> MediaError {
        MediaError(
            .corrupt, "the sound file is damaged: \(what)", hint: "save the sound again as WAV, M4A or MP3")
    }
}

/// The first sound stream of a file, being decoded and resampled.
private final class SoundDecoder {
    private var context: UnsafeMutablePointer<AVFormatContext>?
    private var decoder: UnsafeMutablePointer<AVCodecContext>?
    private var resampler: OpaquePointer?
    private var packet = av_packet_alloc()
    private var frame = av_frame_alloc()
    private var streamIndex: Int32 = -1
    private var collected: [Float] = []

    init(path: String) throws {
        FFmpeg.begin()
        let format = try Self.format(of: path)
        var options: OpaquePointer?
        defer { av_dict_free(&options) }
        av_dict_set(&options, "protocol_whitelist", "file", 0)
        do {
            try FFmpeg.check(
                avformat_open_input(&context, "file:" + path, av_find_input_format(format), &options), "opening it")
            try FFmpeg.check(avformat_find_stream_info(context, nil), "reading it")
            var codec: UnsafePointer<AVCodec>?
            streamIndex = try FFmpeg.check(
                av_find_best_stream(context, AVMEDIA_TYPE_AUDIO, -1, -1, &codec, 0), "looking for sound")
            guard let codec, Self.isUsual(codec) else {
                throw MediaError(
                    .unsupported, "the sound is of a kind that is not read",
                    hint: "save it as WAV (PCM), M4A (AAC) or MP3")
            }
            decoder = avcodec_alloc_context3(codec)
            guard let decoder, let stream = context?.pointee.streams[Int(streamIndex)], packet != nil, frame != nil
            else { throw FFmpeg.missing("memory for a decoder") }
            try FFmpeg.check(avcodec_parameters_to_context(decoder, stream.pointee.codecpar), "opening it")
            decoder.pointee.thread_count = 1
            try FFmpeg.check(avcodec_open2(decoder, codec, nil), "opening it")
        } catch let error as MediaError where error.code == .corrupt {
            throw Sound.damaged(error.message)
        }
    }

    deinit {
        swr_free(&resampler)
        av_packet_free(&packet)
        av_frame_free(&frame)
        avcodec_free_context(&decoder)
        avformat_close_input(&context)
    }

    private static func format(of path: String) throws -> String {
        let file = try OpenFile(path, flags: O_RDONLY | O_NONBLOCK)
        let start = try file.read(at: 0, count: min(12, file.byteCount()))
        if start.hasPrefix("RIFF"), start.hasPrefix("WAVE", at: 8) { return "wav" }
        if start.hasPrefix("ftyp", at: 4) { return "mov" }
        if start.hasPrefix("ID3") || (start.count > 1 && start[0] == 0xFF && start[1] & 0xE0 == 0xE0) { return "mp3" }
        throw MediaError(
            .notAnImage, "the sound file is neither WAV, M4A nor MP3", hint: "save the sound as WAV, M4A or MP3")
    }

    private static func isUsual(_ codec: UnsafePointer<AVCodec>) -> Bool {
        let name = String(cString: codec.pointee.name)
        return name.hasPrefix("pcm_") || ["aac", "mp3", "mp3float", "alac", "mp2", "mp2float"].contains(name)
    }

    /// Interleaved samples from the start on.
    func samples(atMost limit: Int) throws -> [Float] {
        guard let packet else { return [] }
        do {
            while collected.count < limit {
                let status = av_read_frame(context, packet)
                if status == cffmpeg_error_eof() { break }
                try FFmpeg.check(status, "reading it")
                defer { av_packet_unref(packet) }
                guard packet.pointee.stream_index == streamIndex else { continue }
                try FFmpeg.check(avcodec_send_packet(decoder, packet), "decoding it")
                try drain()
            }
            if collected.count < limit {
                try FFmpeg.check(avcodec_send_packet(decoder, nil), "decoding it")
                try drain()
                try convert(nil)
            }
        } catch let error as MediaError where error.code == .corrupt {
            throw Sound.damaged(error.message)
        }
        return Array(collected.prefix(limit))
    }

    private func drain() throws {
        guard let frame else { return }
        while true {
            let status = avcodec_receive_frame(decoder, frame)
            if status == cffmpeg_error_again() || status == cffmpeg_error_eof() { return }
            try FFmpeg.check(status, "decoding it")
            defer { av_frame_unref(frame) }
            try convert(frame)
        }
    }

    /// - Parameter frame: nil takes what the resampler still holds.
    private func convert(_ frame: UnsafeMutablePointer<AVFrame>?) throws {
        if resampler == nil {
            guard let frame else { return }
            var stereo = AVChannelLayout()
            av_channel_layout_default(&stereo, Int32(Sound.channelCount))
            // A file that does not say where its channels belong is taken as the usual arrangement.
            if frame.pointee.ch_layout.order == AV_CHANNEL_ORDER_UNSPEC {
                let count = frame.pointee.ch_layout.nb_channels
                av_channel_layout_default(&frame.pointee.ch_layout, count)
            }
            try FFmpeg.check(
                swr_alloc_set_opts2(
                    &resampler, &stereo, AV_SAMPLE_FMT_FLT, Int32(Sound.sampleRate), &frame.pointee.ch_layout,
                    AVSampleFormat(frame.pointee.format), frame.pointee.sample_rate, 0, nil), "resampling it")
            try FFmpeg.check(swr_init(resampler), "resampling it")
        }
        guard let resampler else { return }
        let room = try FFmpeg.check(swr_get_out_samples(resampler, frame?.pointee.nb_samples ?? 0), "resampling it")
        guard room > 0 else { return }
        var piece = [Float](repeating: 0, count: Int(room) * Sound.channelCount)
        let count = piece.withUnsafeMutableBytes { out -> Int32 in
            var target: UnsafeMutablePointer<UInt8>? = out.baseAddress?.assumingMemoryBound(to: UInt8.self)
            guard let frame else { return swr_convert(resampler, &target, room, nil, 0) }
            return cffmpeg_resample(resampler, &target, room, frame)
        }
        try FFmpeg.check(count, "resampling it")
        collected += piece.prefix(Int(count) * Sound.channelCount)
    }
}
