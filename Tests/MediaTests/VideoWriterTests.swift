import CFFmpeg
import Glibc
import TestSupport
import Testing

@testable import Media

@Suite("Films")
struct VideoWriterTests {
    private let folder = TemporaryFolder()

    @Test func aFilmSaysWhatItIs() throws {
        let path = folder.file("a film: with colon.mp4")
        let summary = try Film.write(to: path)
        #expect(summary.frameCount == 33)
        #expect(summary.byteCount == (try PictureFile.read(path)).count)
        let metadata = try VideoMetadata.read(path: path)
        #expect(metadata.codec == "avc1" && metadata.profile == 100)
        #expect(metadata.width == 256 && metadata.height == 144)
        #expect(metadata.frameCount == 33 && metadata.frameRate == FrameRate(16))
        #expect(metadata.color == .bt709)
        #expect(metadata.isFastStart)
        #expect(metadata.marks == Film.marks)
        #expect(try VideoMetadata.read(PictureFile.read(path)) == metadata)
        #expect(
            metadata.xmp?.contains(">\(SyntheticMediaXMP.DigitalSourceType.trainedAlgorithmicMedia.address)<") == true)
        #expect(metadata.xmp?.contains("Dropreel &lt;1&gt; &amp; more") == true)
    }

    /// The same facts through the FFmpeg libraries, which read the file as any player does.
    @Test func otherReadersAgree() throws {
        let path = folder.file("clip.mp4")
        try Film.write(
            to: path, settings: VideoSettings(width: 128, height: 96, frameRate: FrameRate(30_000, over: 1_001)))
        var context: UnsafeMutablePointer<AVFormatContext>?
        var options: OpaquePointer?
        defer { av_dict_free(&options) }
        av_dict_set(&options, "export_xmp", "1", 0)
        try #require(avformat_open_input(&context, path, nil, &options) == 0)
        defer { avformat_close_input(&context) }
        try #require(avformat_find_stream_info(context, nil) >= 0)
        let film = try #require(context)
        #expect(film.pointee.nb_streams == 1)
        let stream = try #require(film.pointee.streams[0])
        let codec = stream.pointee.codecpar.pointee
        #expect(codec.codec_id == AV_CODEC_ID_H264 && codec.profile == FF_PROFILE_H264_HIGH)
        #expect(codec.format == AV_PIX_FMT_YUV420P.rawValue && codec.width == 128 && codec.height == 96)
        #expect(codec.color_space == AVCOL_SPC_BT709 && codec.color_primaries == AVCOL_PRI_BT709)
        #expect(codec.color_trc == AVCOL_TRC_BT709 && codec.color_range == AVCOL_RANGE_MPEG)
        #expect(codec.chroma_location == AVCHROMA_LOC_LEFT)
        #expect(stream.pointee.nb_frames == 33)
        for rate in [stream.pointee.avg_frame_rate, stream.pointee.r_frame_rate] {
            #expect(rate.num == 30_000 && rate.den == 1_001)
        }
        func tag(_ key: String) -> String? {
            av_dict_get(film.pointee.metadata, key, nil, 0).map { String(cString: $0.pointee.value) }
        }
        #expect(tag("comment") == Film.marks.comment)
        #expect(tag("dropreel") == Film.marks.dropreel)
        #expect(tag("AIGC") == Film.marks.aigc)
        #expect(tag("xmp") == Film.marks.xmp)
        #expect(tag("encoder") == nil && tag("creation_time") == nil)
    }

    @Test func theFramesComeBack() throws {
        let path = folder.file("clip.mp4")
        try Film.write(to: path, frameCount: 33)
        let indexes = Array(0..<33)
        for (index, image) in zip(indexes, try VideoReader.frames(path: path, at: indexes)) {
            #expect(image.width == 256 && image.height == 144)
            let decibels = Film.decibels(image.pixels, Film.frame(index, width: 256, height: 144))
            #expect(decibels > 38, "frame \(index)")
        }
        let two = try VideoReader.frames(path: path, at: [32, 0, 32])
        #expect(two[0] == two[2] && two[0] != two[1])
        #expect(mediaError { _ = try VideoReader.frames(path: path, at: [33]) }?.code == .unsupported)
        #expect(try VideoReader.frames(path: path, at: []).isEmpty)
    }

    /// Plain colours survive the way through bt709 limited range; another matrix on one side would move them by 10 to 30.
    @Test(
        arguments: [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [200, 120, 40]] as [[UInt8]])
    func coloursAreKept(_ color: [UInt8]) throws {
        let path = folder.file("plain.mp4")
        let settings = VideoSettings(width: 64, height: 48)
        let frame = [[UInt8]](repeating: color, count: 64 * 48).flatMap { $0 }
        let writer = try VideoWriter(path: path, settings: settings, marks: Film.marks)
        for _ in 0..<3 { try writer.append(frame) }
        _ = try writer.finish()
        let image = try #require(try VideoReader.frames(path: path, at: [1]).first)
        #expect(largestDifference(image.pixels, frame) <= 3)
    }

    @Test(arguments: [VideoSettings.Preset.superfast, .faster, .medium, .veryslow])
    func theSameFramesGiveTheSameBytes(_ preset: VideoSettings.Preset) throws {
        let settings = VideoSettings(width: 320, height: 192, crf: 20, preset: preset)
        try Film.write(to: folder.file("one.mp4"), settings: settings)
        try Film.write(to: folder.file("the other one.mp4"), settings: settings)
        let one = try PictureFile.read(folder.file("one.mp4"))
        #expect(one == (try PictureFile.read(folder.file("the other one.mp4"))))
        #expect(try VideoMetadata.read(one).profile == 100)
    }

    /// More threads than this machine may have: the frames' size alone says how many.
    @Test func largeFilmsTakeMoreThreadsAndStayTheSame() throws {
        let counts = [(256, 144, 2), (832, 480, 8), (480, 832, 8), (1280, 720, 16), (8192, 8192, 16), (0, 0, 2)]
        for (width, height, threads) in counts {
            #expect(VideoSettings(width: width, height: height).threadCount == threads)
        }
        let settings = VideoSettings(width: 832, height: 480)
        for name in ["one.mp4", "two.mp4"] { try Film.write(to: folder.file(name), settings: settings, frameCount: 6) }
        #expect(try PictureFile.read(folder.file("one.mp4")) == PictureFile.read(folder.file("two.mp4")))
    }

    @Test func writersSideBySideDoNotDisturbEachOther() async throws {
        try Film.write(to: folder.file("alone.mp4"), frameCount: 20)
        let alone = try PictureFile.read(folder.file("alone.mp4"))
        let folder = folder
        try await withThrowingTaskGroup(of: [UInt8].self) { group in
            for index in 0..<4 {
                group.addTask {
                    try Film.write(to: folder.file("\(index).mp4"), frameCount: 20)
                    return try PictureFile.read(folder.file("\(index).mp4"))
                }
            }
            for try await bytes in group { #expect(bytes == alone) }
        }
    }

    @Test func settingsThatDoNotFitAreRefused() {
        var settings: [VideoSettings] = []
        for (width, height) in [(255, 144), (256, 143), (8, 144), (256, 16_384), (0, 0), (-2, 64)] {
            settings.append(VideoSettings(width: width, height: height))
        }
        settings.append(VideoSettings(width: 256, height: 144, crf: 0))
        settings.append(VideoSettings(width: 256, height: 144, crf: 52))
        settings.append(VideoSettings(width: 256, height: 144, threadCount: 0))
        settings.append(VideoSettings(width: 256, height: 144, frameRate: FrameRate(1, over: 2)))
        let path = folder.file("never.mp4")
        for setting in settings {
            let error = mediaError { _ = try VideoWriter(path: path, settings: setting, marks: Film.marks) }
            #expect(error?.code == .unsupported)
        }
        #expect(access(path, F_OK) != 0)
    }

    @Test func marksThatCannotBeReadBackAreRefused() {
        for text in ["", "a\0b", String(repeating: "x", count: (1 << 20) + 1)] {
            var marks = Film.marks
            marks.dropreel = text
            let error = mediaError { try Film.write(to: folder.file("never.mp4"), frameCount: 1, marks: marks) }
            #expect(error?.code == .unsupported && error?.message.contains("dropreel") == true)
        }
    }

    @Test func longMarksComeBack() throws {
        var marks = Film.marks
        marks.dropreel = String(repeating: "{猫}", count: 40_000)
        try Film.write(to: folder.file("long.mp4"), frameCount: 2, marks: marks)
        #expect(try VideoMetadata.read(path: folder.file("long.mp4")).marks == marks)
    }

    @Test func aFilmWithoutFramesIsRefused() throws {
        let writer = try VideoWriter(
            path: folder.file("empty.mp4"), settings: VideoSettings(width: 64, height: 64), marks: Film.marks)
        #expect(mediaError { _ = try writer.finish() }?.code == .unsupported)
    }

    @Test func aFolderThatIsMissingIsAnError() {
        let error = mediaError { try Film.write(to: folder.file("none/clip.mp4")) }
        #expect(error?.code == .io && error?.errno == ENOENT)
    }

    @Test func aFullDeviceIsAnError() throws {
        let film = mediaError { try Film.write(to: "/dev/full") }
        #expect(film?.code == .io && film?.errno == ENOSPC)
        #expect(film?.message == "writing full: No space left on device")
        let image = RGBImage(width: 4, height: 4, pixels: [UInt8](repeating: 9, count: 48))
        #expect(mediaError { try PosterWriter.write(image, to: "/dev/full") }?.errno == ENOSPC)
        #expect(mediaError { try PNGWriter.write(image, to: "/dev/full") }?.errno == ENOSPC)
    }

    /// Space that runs out at any moment: while frames are written, while the index is moved, before the XMP packet.
    @Test func spaceThatRunsOutIsAnErrorWheneverItDoes() async {
        await #expect(processExitsWith: .success) {
            signal(SIGXFSZ, SIG_IGN)
            let folder = TemporaryFolder()
            let settings = VideoSettings(width: 128, height: 96, preset: .superfast)
            let whole = try Film.write(to: folder.file("whole.mp4"), settings: settings, frameCount: 60).byteCount
            let shares = (0..<40).map { whole * $0 / 40 } + [whole - 900, whole - 500, whole - 100, whole - 1]
            for limit in shares {
                var space = rlimit(rlim_cur: rlim_t(limit), rlim_max: rlim_t.max)
                setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &space)
                let error = mediaError {
                    try Film.write(to: folder.file("cut.mp4"), settings: settings, frameCount: 60)
                }
                try #require(error?.code == .io && error?.errno == EFBIG, "limit \(limit) of \(whole)")
            }
        }
    }

    @Test func aFailedWriterStaysFailed() async {
        await #expect(processExitsWith: .success) {
            signal(SIGXFSZ, SIG_IGN)
            let folder = TemporaryFolder()
            let settings = VideoSettings(width: 64, height: 64, preset: .superfast)
            let writer = try VideoWriter(path: folder.file("clip.mp4"), settings: settings, marks: Film.marks)
            var random = SplitMix(1)
            var noise: [UInt8] = []
            var space = rlimit(rlim_cur: 100_000, rlim_max: rlim_t.max)
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &space)
            var first: MediaError?
            for _ in 0..<400 where first == nil {
                noise = (0..<settings.frameByteCount).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                first = mediaError { try writer.append(noise) }
            }
            try #require(first?.code == .io && first?.errno == EFBIG)
            // Space that comes back must not let a film with a gap pass.
            space.rlim_cur = rlim_t.max
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &space)
            try #require(mediaError { try writer.append(noise) } == first)
            try #require(mediaError { _ = try writer.finish() } == first)
        }
    }
}
