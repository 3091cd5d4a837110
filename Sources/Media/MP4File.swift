import CFFmpeg

/// The container of a film that is being written.
final class MP4File {
    let name: String
    let context: UnsafeMutablePointer<AVFormatContext>

    /// - Throws: `.io` where the file cannot be made.
    init(path: String, name: String) throws {
        self.name = name
        // "file:" keeps a colon in the path from being read as a protocol.
        let url = "file:" + path
        var made: UnsafeMutablePointer<AVFormatContext>?
        try FFmpeg.check(avformat_alloc_output_context2(&made, nil, "mp4", url), "writing \(name)")
        guard let made else { throw FFmpeg.missing("the MP4 writer") }
        context = made
        context.pointee.flags |= AVFMT_FLAG_BITEXACT
        let status = avio_open(&context.pointee.pb, url, AVIO_FLAG_WRITE)
        if status < 0 { throw FFmpeg.error(status, "writing \(name)") }
    }

    deinit {
        avio_closep(&context.pointee.pb)
        avformat_free_context(context)
    }

    func begin(tags: [(key: String, value: String)]) throws {
        for tag in tags {
            try FFmpeg.check(av_dict_set(&context.pointee.metadata, tag.key, tag.value, 0), "writing \(name)")
        }
        var options: OpaquePointer?
        defer { av_dict_free(&options) }
        av_dict_set(&options, "movflags", "faststart+use_metadata_tags", 0)
        try FFmpeg.check(avformat_write_header(context, &options), "writing \(name)")
        try checkWrites()
    }

    func write(_ packet: UnsafeMutablePointer<AVPacket>) throws {
        try FFmpeg.check(av_interleaved_write_frame(context, packet), "writing \(name)")
        try checkWrites()
    }

    func finish() throws {
        try FFmpeg.check(av_write_trailer(context), "writing \(name)")
        try checkWrites()
        try FFmpeg.check(avio_closep(&context.pointee.pb), "writing \(name)")
    }

    /// Buffered output fails late, and not every call of the library passes it on.
    private func checkWrites() throws {
        try FFmpeg.check(context.pointee.pb.pointee.error, "writing \(name)")
    }
}
