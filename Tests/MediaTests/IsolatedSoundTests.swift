import CFFmpeg
import Foundation
import TestSupport
import Testing

@testable import Media

@Suite("Sound decoded in a process of its own")
struct IsolatedSoundTests {
    private let folder = TemporaryFolder()
    private let decoder = IsolatedDecoder(executable: IsolatedDecodingTests.executable)

    private func acting(_ act: String) -> IsolatedDecoder {
        IsolatedDecoder(executable: IsolatedDecodingTests.executable, arguments: ["act", act])
    }

    private func file(_ bytes: [UInt8]) throws -> String {
        let path = folder.file("sound")
        try PictureFile.write(bytes, to: path)
        return path
    }

    private func isolated(_ bytes: [UInt8], frameCount: Int = 24_000) throws -> Sound {
        try decoder.sound(path: file(bytes), frameCount: frameCount)
    }

    private static func level(_ samples: some Collection<Float>) -> Float {
        (samples.reduce(0) { $0 + $1 * $1 } / Float(samples.count)).squareRoot()
    }

    private static func tone(_ count: Int) -> [UInt8] {
        (0..<count).flatMap { SoundFile.little(Int(9_000 * sin(Double($0) / 17)), 2) }
    }

    // MARK: The same samples

    /// Loudness of the first two: of what the ffmpeg program makes of them (-f f32le -ar 48000 -ac 2).
    @Test("every kind of sound comes back sample for sample as decoded in this process")
    func same() throws {
        let golden = try ["tone.mp3", "tone.m4a", "alac.m4a"].map(SoundFile.golden)
        let waves = [
            SoundTests.wave(seconds: 0.3), SoundTests.wave(seconds: 0.3, rate: 8_000),
            SoundTests.wave(seconds: 0.3, rate: 96_000, channels: 6), SoundFile.wave(Self.tone(20_000)),
            SoundFile.wave(floats: (0..<20_000).map { sin(Float($0) / 20) }),
            SoundFile.Movie(data: Self.tone(20_000), sampleCount: 20_000).bytes,
        ]
        for (index, bytes) in (golden + waves).enumerated() {
            for frameCount in [1, 3_000, 24_000] {
                let expected = try SoundDecoder.decode(bytes, frameCount: frameCount)
                let found = try isolated(bytes, frameCount: frameCount)
                #expect(found.frameCount == frameCount)
                #expect(Array(found.samples.prefix(expected.count)) == expected, "\(index)")
                #expect(found.samples.dropFirst(expected.count).allSatisfy { $0 == 0 })
                guard frameCount == 24_000, index < 2 else { continue }
                #expect(abs(Self.level(found.samples[4_800..<19_200]) - [0.059356, 0.062609][index]) < 1e-5)
            }
        }
    }

    @Test("a broken sound is the same error as in this process")
    func sameErrors() throws {
        let (mp3, m4a) = (try SoundFile.golden("tone.mp3"), try SoundFile.golden("tone.m4a"))
        let cases: [[UInt8]] = [
            [], Array("once upon a time".utf8), Array(m4a.prefix(m4a.count / 2)), Array(mp3.prefix(11)),
            Array("ID3\u{4}\0\0\0\0\0\0".utf8) + [UInt8](repeating: 7, count: 3_000),
            Array(SoundFile.wave([1, 2, 3, 4]).prefix(44)), SoundFile.wave([1, 2, 3, 4], format: 0x11),
            SoundFile.wave(Self.tone(400), rate: 1), SoundFile.wave(Self.tone(400), rate: 2_000_000_000),
            SoundFile.wave(Self.tone(400), channels: 0), SoundFile.wave(Self.tone(400), channels: 65_535),
        ]
        for (index, bytes) in cases.enumerated() {
            let expected = mediaError { _ = try SoundDecoder.decode(bytes, frameCount: 1_000) }
            let found = mediaError { _ = try isolated(bytes, frameCount: 1_000) }
            #expect(found == expected && found != nil, "\(index): \(String(describing: found))")
            #expect([.corrupt, .notAnImage, .unsupported].contains(found?.code), "\(index)")
        }
    }

    @Test("a sound that breaks off is heard as far as it goes, or is an error")
    func cut() throws {
        let wave = SoundFile.wave(Self.tone(40_000))
        let sound = try isolated(Array(wave.prefix(44 + 4 * 10_000)))
        #expect(Self.level(sound.samples[..<20_000]) > 0.1 && sound.samples[20_000...].allSatisfy { $0 == 0 })
        let mp3 = try SoundFile.golden("tone.mp3")
        let m4a = try SoundFile.golden("tone.m4a")
        for whole in [mp3, m4a] {
            for count in stride(from: 1, to: whole.count, by: 97) {
                do {
                    let sound = try SoundDecoder.decode(Array(whole.prefix(count)), frameCount: 24_000)
                    #expect(!sound.isEmpty && sound.count <= 48_000)
                } catch let error as MediaError {
                    #expect([.corrupt, .notAnImage].contains(error.code), "\(count): \(error)")
                }
            }
        }
    }

    @Test("a stream that changes its rate and its channels on the way is heard to its end")
    func changing() throws {
        // Silent frames of 1,152 samples at 128 kbit/s: 48,000 and stereo, 44,100 and one channel, and back.
        let stereo: [UInt8] = [0xFF, 0xFB, 0x94, 0x04] + [UInt8](repeating: 0, count: 380)
        let mono: [UInt8] = [0xFF, 0xFB, 0x90, 0xC4] + [UInt8](repeating: 0, count: 413)
        var frames: [UInt8] = []
        for frame in [stereo, mono, stereo] {
            for _ in 0..<20 { frames += frame }
        }
        // 1,152 samples of each frame, those at 44,100 a second stretched.
        let (kept, stretched) = (40 * 1_152.0, 20 * 1_152.0 * 48_000 / 44_100)
        let whole = Int((kept + stretched).rounded(.up))
        #expect(try SoundDecoder.decode(frames, frameCount: 96_000).count == 2 * whole)
        #expect(try SoundDecoder.decode(frames, frameCount: 30_000).count == 60_000)
        #expect(try isolated(frames, frameCount: 96_000).frameCount == 96_000)
    }

    @Test("no sample leaves the range, whatever the file says")
    func range() throws {
        let floats: [Float] = [.nan, 1e30, -.infinity, 0.5, -1, 1, .infinity, -.nan]
        let sound = try isolated(SoundFile.wave(floats: floats), frameCount: 4)
        #expect(sound.samples == [0, 1, -1, 0.5, -1, 1, 1, 0])
    }

    @Test("the descriptor's position neither matters nor moves; a link, a folder and a pipe are not read")
    func files() throws {
        let path = try file(SoundFile.wave(Self.tone(4_000)))
        let whole = try decoder.sound(path: path, frameCount: 1_000)
        let open = try OpenFile(path, flags: O_RDONLY)
        lseek(open.descriptor, 100, SEEK_SET)
        #expect(try decoder.sound(descriptor: open.descriptor, frameCount: 1_000) == whole)
        #expect(lseek(open.descriptor, 0, SEEK_CUR) == 100)
        symlink("sound", folder.file("link.wav"))
        try #require(mkfifo(folder.file("pipe.wav"), 0o600) == 0)
        func error(_ path: String) -> MediaError? { mediaError { _ = try decoder.sound(path: path, frameCount: 9) } }
        #expect(error(folder.file("link.wav"))?.errno == ELOOP)
        #expect(error(folder.file("pipe.wav"))?.code == .unsupported && error(folder.path)?.code == .unsupported)
        #expect(error(folder.file("none.wav"))?.errno == ENOENT)
    }

    // MARK: Hostile files

    @Test("an M4A that says its samples are in another file gets nothing of that file", arguments: ["alias", "url"])
    func otherFiles(_ kind: String) throws {
        let decoy = folder.file("decoy")
        try PictureFile.write(Self.tone(40_000), to: decoy)
        let reference = kind == "alias" ? SoundFile.Movie.alias(decoy) : SoundFile.Movie.url(decoy)
        let movie = SoundFile.Movie(
            data: [UInt8](repeating: 0, count: 8), sampleCount: 20_000, offset: 4_096, reference: reference)
        // The file is right: whoever follows it hears the other one.
        #expect(try Self.followed(try file(movie.bytes)) == (kind == "alias"))
        for error in [
            mediaError { _ = try SoundDecoder.decode(movie.bytes, frameCount: 9_600) },
            mediaError { _ = try isolated(movie.bytes, frameCount: 9_600) },
        ] {
            #expect(error?.code == .corrupt && error?.message.isEmpty == false)
        }
    }

    /// Whether libavformat, told to follow, finds samples.
    private static func followed(_ path: String) throws -> Bool {
        var context: UnsafeMutablePointer<AVFormatContext>?
        var options: OpaquePointer?
        defer { av_dict_free(&options) }
        av_dict_set(&options, "enable_drefs", "1", 0)
        av_dict_set(&options, "use_absolute_path", "1", 0)
        try FFmpeg.check(avformat_open_input(&context, path, nil, &options), "opening it")
        defer { avformat_close_input(&context) }
        var packet = av_packet_alloc()
        defer { av_packet_free(&packet) }
        guard let packet, av_read_frame(context, packet) == 0, packet.pointee.size > 0 else { return false }
        return UnsafeBufferPointer(start: packet.pointee.data, count: Int(packet.pointee.size)).contains { $0 != 0 }
    }

    @Test("a small file that claims hours is as long as it is")
    func claims() throws {
        let start = ContinuousClock.now
        let wave = try isolated(SoundFile.wave(Self.tone(400), claimed: 0xFFFF_FFFF))
        #expect(wave.frameCount == 24_000 && wave.samples[800...].allSatisfy { $0 == 0 })
        for count in [0x7FFF_FFFF, 0xFFFF_FFFF] {
            let movie = SoundFile.Movie(data: Self.tone(400), sampleCount: count)
            do {
                let sound = try isolated(movie.bytes)
                #expect(sound.frameCount == 24_000 && sound.samples[4_800...].allSatisfy { $0 == 0 })
            } catch let error as MediaError {
                #expect([.corrupt, .tooLarge].contains(error.code), "\(error)")
            }
        }
        // An ID3 tag of 256 MiB, and a lossless stream of frames of 16,777,216 samples.
        let tag = Array("ID3".utf8) + [3, 0, 0, 0x7F, 0x7F, 0x7F, 0x7F] + (try SoundFile.golden("tone.mp3"))
        #expect([.corrupt, .tooLarge].contains(mediaError { _ = try isolated(tag) }?.code))
        var lossless = try SoundFile.golden("alac.m4a")
        let cookie = try #require(lossless.firstRange(of: Array("alac".utf8) + [0, 0, 0, 0] + SoundFile.big(4_096, 4)))
        lossless.replaceSubrange(cookie.upperBound - 4..<cookie.upperBound, with: SoundFile.big(1 << 24, 4))
        if let sound = try? isolated(lossless) { #expect(sound.frameCount == 24_000) }
        #expect(ContinuousClock.now - start < .seconds(60))
    }

    @Test("only the beginning of an endless file is read")
    func endlessFile() throws {
        let path = try file(SoundFile.wave(Self.tone(96_000), claimed: 0xFFFF_FFFF))
        try #require(truncate(path, 1 << 40) == 0)
        var decoder = decoder
        decoder.processorSeconds = 2
        let sound = try decoder.sound(path: path, frameCount: 96_000)
        #expect(Self.level(sound.samples[..<96_000]) > 0.1 && sound.samples[96_000...].allSatisfy { $0 == 0 })
        // Nothing but zeros where frames should be.
        try PictureFile.write(Array("ID3\u{3}\0\0\0\0\0\0".utf8), to: path)
        try #require(truncate(path, 1 << 40) == 0)
        let error = mediaError { _ = try decoder.sound(path: path, frameCount: 96_000) }
        #expect([.corrupt, .tooLarge].contains(error?.code), "\(String(describing: error))")
    }

    @Test("a film too long for sound is told before anything is started")
    func longFilm() {
        let missing = IsolatedDecoder(executable: "/nonexistent")
        let error = mediaError { _ = try missing.sound(descriptor: 0, frameCount: 901 * 48_000) }
        #expect(error?.code == .tooLarge && error?.message.contains("901 s") == true)
    }

    @Test("mutated sounds are sounds or errors")
    func mutated() throws {
        let sources = [
            try SoundFile.golden("tone.mp3"), try SoundFile.golden("tone.m4a"), try SoundFile.golden("alac.m4a"),
            SoundFile.Movie(data: Self.tone(400), sampleCount: 400).bytes, SoundFile.wave(Self.tone(400)),
        ]
        var random = SplitMix(11)
        for round in 0..<60 {
            let bytes = random.mutated(sources[round % 5], other: sources[(round + 1) % 5])
            let error = mediaError {
                let sound = try isolated(bytes, frameCount: 4_800)
                #expect(sound.frameCount == 4_800)
            }
            if let error {
                #expect(error.code != .io && error.code != .unavailable && !error.hint.isEmpty, "\(round): \(error)")
            }
        }
    }

    // MARK: What becomes of a decoder gone astray

    @Test("an endless loop, a hang and a memory bomb end within their limits")
    func limits() throws {
        var decoder = acting("loop")
        decoder.processorSeconds = 1
        var error = mediaError { _ = try decoder.sound(descriptor: 0, frameCount: 9) }
        #expect(
            error?.code == .tooLarge && error?.message == "the sound takes more than 1 s of processor time to decode")
        decoder = acting("hang")
        decoder.seconds = 1
        error = mediaError { _ = try decoder.sound(descriptor: 0, frameCount: 9) }
        #expect(error?.code == .tooLarge && error?.message == "the sound takes more than 1 s to decode")
        decoder = acting("memory")
        decoder.soundLimits.decodingByteCount = 256 << 20
        #expect(mediaError { _ = try decoder.sound(descriptor: 0, frameCount: 9) }?.code == .corrupt)
    }

    @Test("a sound that needs more memory than it may is an error of the sound")
    func memory() throws {
        let path = try file(SoundTests.wave(seconds: 0.3))
        var decoder = decoder
        #expect(try decoder.sound(path: path, frameCount: 4_800).frameCount == 4_800)
        decoder.soundLimits.decodingByteCount = 64 << 10
        let code = mediaError { _ = try decoder.sound(path: path, frameCount: 4_800) }?.code
        #expect(code == .corrupt || code == .tooLarge)
    }

    @Test(
        "whatever it says or leaves unsaid is an error of the sound",
        arguments: [
            "crash", "silent", "babble", "huge-picture", "cut-picture", "long-text", "long-sound", "cut-sound",
            "many-channels", "loud-sound", "no-numbers",
        ])
    func takenOver(_ act: String) throws {
        let error = mediaError { _ = try acting(act).sound(descriptor: 0, frameCount: 1_000) }
        #expect(error?.code == .corrupt && error?.message.hasPrefix("the sound cannot be decoded") == true)
        #expect(error?.hint == "open it in a sound program and save it again")
    }

    @Test("more samples than it promised are not read; fewer than the film needs are followed by silence")
    func endless() throws {
        let sound = try acting("endless-sound").sound(descriptor: 0, frameCount: 3)
        #expect(sound.samples == [0.5, -1, 0, 0, 0, 0])
    }

    @Test("what is no fault of the sound is told as such")
    func notTheSound() async {
        for act in ["killed", "status"] {
            #expect(mediaError { _ = try acting(act).sound(descriptor: 0, frameCount: 9) }?.code == .unavailable)
        }
        let missing = IsolatedDecoder(executable: "/nonexistent")
        #expect(mediaError { _ = try missing.sound(descriptor: 0, frameCount: 9) }?.errno == ENOENT)
        await #expect(processExitsWith: .success) {
            var none = rlimit(rlim_cur: 0, rlim_max: 0)
            guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &none) == 0 else { exit(2) }
            let decoder = IsolatedDecoder(executable: IsolatedDecodingTests.executable)
            let error = mediaError { _ = try decoder.sound(descriptor: 0, frameCount: 9) }
            exit(error?.code == .unavailable && error?.errno == EMFILE ? 0 : 1)
        }
    }
}
