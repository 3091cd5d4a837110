import Foundation
import TestSupport
import Testing

@testable import Media

@Suite("Sound of films")
struct SoundTests {
    /// A WAV file of 16-bit samples: a tone of `hertz`.
    static func wave(seconds: Double, rate: Int = 44_100, channels: Int = 1, hertz: Double = 440) -> [UInt8] {
        let count = Int(seconds * Double(rate))
        var data: [UInt8] = []
        for index in 0..<count {
            let value = Int16(12_000 * sin(2 * .pi * hertz * Double(index) / Double(rate)))
            for _ in 0..<channels { data += withUnsafeBytes(of: value.littleEndian, Array.init) }
        }
        func word(_ value: Int) -> [UInt8] { withUnsafeBytes(of: UInt32(value).littleEndian, Array.init) }
        func half(_ value: Int) -> [UInt8] { withUnsafeBytes(of: UInt16(value).littleEndian, Array.init) }
        var bytes = Array("RIFF".utf8) + word(36 + data.count) + Array("WAVEfmt ".utf8) + word(16) + half(1)
        bytes += half(channels) + word(rate) + word(rate * channels * 2) + half(channels * 2) + half(16)
        return bytes + Array("data".utf8) + word(data.count) + data
    }

    /// As the process that decodes does it, but in this one.
    private func decode(_ path: String, frameCount: Int) throws -> Sound {
        Sound(samples: try SoundDecoder.decode(try PictureFile.read(path), frameCount: frameCount))
            .padded(to: frameCount)
    }

    private func film(_ folder: TemporaryFolder, _ name: String, sound: Sound?) throws -> String {
        let path = folder.file(name)
        let settings = VideoSettings(width: 128, height: 64)
        let writer = try VideoWriter(path: path, settings: settings, marks: Film.marks, sound: sound)
        for index in 0..<33 { try writer.append(Film.frame(index, width: 128, height: 64)) }
        _ = try writer.finish()
        return path
    }

    /// The loudness of a stretch of the left channel, by its root mean square.
    private func level(_ sound: Sound, _ range: Range<Double>) -> Float {
        let (from, to) = (Int(range.lowerBound * 48_000), Int(range.upperBound * 48_000))
        let sum = (from..<to).reduce(Float(0)) { $0 + sound.samples[2 * $1] * sound.samples[2 * $1] }
        return (sum / Float(to - from)).squareRoot()
    }

    @Test func aFilmNeedsAsManySamplesAsItLasts() {
        #expect(Sound.sampleCount(videoFrames: 33, rate: FrameRate(16)) == 99_000)
        #expect(Sound.sampleCount(videoFrames: 81, rate: FrameRate(30_000, over: 1001)) == 129_730)
    }

    @Test func shortSoundIsPaddedAndLongSoundIsCut() throws {
        let folder = TemporaryFolder()
        try PictureFile.write(Self.wave(seconds: 0.5), to: folder.file("a.wav"))
        try PictureFile.write(Self.wave(seconds: 5, rate: 32_000, channels: 2), to: folder.file("b.wav"))
        let short = try decode(folder.file("a.wav"), frameCount: 96_000)
        #expect(short.frameCount == 96_000)
        #expect(abs(level(short, 0.05..<0.45) - 0.1831) < 0.01)
        #expect(level(short, 0.6..<2) == 0)
        let long = try decode(folder.file("b.wav"), frameCount: 96_000)
        #expect(long.frameCount == 96_000)
        #expect(abs(level(long, 0.05..<1.95) - 0.2589) < 0.01)
    }

    @Test func theFilmCarriesItsSoundAsAAC() throws {
        let folder = TemporaryFolder()
        try PictureFile.write(Self.wave(seconds: 0.8), to: folder.file("a.wav"))
        let sound = try decode(folder.file("a.wav"), frameCount: 99_000)
        let path = try film(folder, "a.mp4", sound: sound)
        let metadata = try VideoMetadata.read(path: path)
        #expect(metadata.sound?.codec == "mp4a")
        #expect(abs((metadata.sound?.seconds ?? 0) - 33.0 / 16) < 0.03)
        #expect(metadata.frameCount == 33 && metadata.codec == "avc1" && metadata.isFastStart)
        #expect(metadata.marks == Film.marks)
        // The film's own sound, read as an M4A: the tone, then silence.
        let back = try decode(path, frameCount: 99_000)
        #expect(abs(level(back, 0.1..<0.7) - 0.1831) < 0.02)
        #expect(level(back, 1..<2) < 0.001)
        #expect(try VideoMetadata.read(path: film(folder, "silent.mp4", sound: nil)).sound == nil)
    }

    @Test func theSameSoundGivesTheSameBytes() throws {
        let folder = TemporaryFolder()
        let sound = Sound(samples: (0..<198_000).map { sin(Float($0) / 50) / 3 })
        let first = try PictureFile.read(film(folder, "1.mp4", sound: sound))
        #expect(try first == PictureFile.read(film(folder, "2.mp4", sound: sound)))
    }

    @Test func brokenSoundIsASentence() throws {
        let folder = TemporaryFolder()
        func error(_ bytes: [UInt8]) throws -> MediaError? {
            try PictureFile.write(bytes, to: folder.file("x.wav"))
            return mediaError { _ = try decode(folder.file("x.wav"), frameCount: 1000) }
        }
        #expect(try error(Array("no sound at all".utf8))?.message == "the sound file is neither WAV, M4A nor MP3")
        #expect(try error([])?.code == .notAnImage)
        #expect(try error(Array(Self.wave(seconds: 1).prefix(44)))?.code == .corrupt)
        #expect(try error(Array("ID3\u{4}\0\0\0\0\0\0".utf8) + [UInt8](repeating: 7, count: 3000))?.code == .corrupt)
        let picture = try film(folder, "silent.mp4", sound: nil)
        #expect(mediaError { _ = try decode(picture, frameCount: 1000) }?.code == .corrupt)
    }

    @Test func mutatedSoundNeverCrashes() throws {
        let folder = TemporaryFolder()
        let sound = Sound(samples: (0..<198_000).map { sin(Float($0) / 50) / 3 })
        let sources = [Self.wave(seconds: 0.1), try PictureFile.read(film(folder, "a.mp4", sound: sound))]
        var random = SplitMix(7)
        for round in 0..<300 {
            var bytes = sources[round % 2]
            for _ in 0..<8 {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
            }
            try PictureFile.write(bytes, to: folder.file("x"))
            if let sound = try? decode(folder.file("x"), frameCount: 4800) {
                #expect(sound.frameCount == 4800)
            }
        }
    }
}
