import Foundation

@testable import Media

/// Sound files, sound and hostile.
enum SoundFile {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Sounds")
        .standardized

    static func golden(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: folder.appending(path: name)))
    }

    /// A WAV of whatever samples.
    /// - Parameters:
    ///   - format: 1 for integers, 3 for floats.
    ///   - claimed: the bytes of sound that the header names; those there are where it is nil.
    static func wave(
        _ data: [UInt8], format: Int = 1, channels: Int = 2, rate: Int = 48_000, bits: Int = 16, claimed: Int? = nil
    ) -> [UInt8] {
        let count = claimed ?? data.count
        let header = Array("WAVEfmt ".utf8) + little(16, 4) + little(format, 2) + little(channels, 2)
        let rates = little(rate, 4) + little(rate * channels * bits / 8, 4) + little(channels * bits / 8, 2)
        return Array("RIFF".utf8) + little(min(36 + count, 0xFFFF_FFFF), 4) + header + rates + little(bits, 2)
            + Array("data".utf8) + little(count, 4) + data
    }

    static func wave(floats: [Float]) -> [UInt8] {
        wave(floats.withUnsafeBytes(Array.init), format: 3, bits: 32)
    }

    /// An M4A of 16-bit samples, one channel, 48,000 a second.
    struct Movie {
        var data: [UInt8]
        /// What the tables say there is.
        var sampleCount: Int
        /// Where the samples begin; behind the tables where it is nil.
        var offset: Int?
        /// The first entry of the list of files that the samples are in, without its size: this file.
        var reference = Array("url ".utf8) + [0, 0, 0, 1]

        var bytes: [UInt8] {
            let start = Self.box("ftyp", Array("M4A ".utf8), big(0, 4), Array("M4A mp42".utf8))
            let length = (start + movie(offset: 0)).count + 8
            return start + movie(offset: offset ?? length) + Self.box("mdat", data)
        }

        private func movie(offset: Int) -> [UInt8] {
            let zero = big(0, 4)
            let sample = Self.box(
                "sowt", big(0, 6), big(1, 2), big(0, 8), big(1, 2), big(16, 2), zero, big(48_000 << 16, 4))
            let table = Self.box(
                "stbl", Self.box("stsd", zero, big(1, 4), sample),
                Self.box("stts", zero, big(1, 4), big(sampleCount, 4), big(1, 4)),
                Self.box("stsc", zero, big(1, 4), big(1, 4), big(sampleCount, 4), big(1, 4)),
                Self.box("stsz", zero, big(2, 4), big(sampleCount, 4)),
                Self.box("stco", zero, big(1, 4), big(offset, 4)))
            let files = Self.box("dinf", Self.box("dref", zero, big(1, 4), Self.sized(reference)))
            let media = Self.box(
                "mdia", Self.box("mdhd", big(0, 12), big(48_000, 4), big(sampleCount, 4), zero),
                Self.box("hdlr", zero, zero, Array("soun".utf8), big(0, 13)),
                Self.box("minf", Self.box("smhd", big(0, 8)), files, table))
            return Self.box(
                "moov", Self.box("mvhd", big(0, 12), big(48_000, 4), big(sampleCount, 4), big(0, 80)),
                Self.box("trak", Self.box("tkhd", big(0, 84)), media))
        }

        private static func sized(_ bytes: [UInt8]) -> [UInt8] { big(bytes.count + 4, 4) + bytes }

        private static func box(_ type: String, _ data: [UInt8]...) -> [UInt8] {
            sized(Array(type.utf8) + data.flatMap { $0 })
        }

        /// An entry that names another file by its path.
        /// Source: libavformat/mov.c `mov_read_dref`: volume, file name and levels of folders at fixed places, then
        /// texts of which kind 2 is the absolute path, with colons for strokes.
        static func alias(_ path: String) -> [UInt8] {
            let name = path.split(separator: "/").last.map(String.init) ?? path
            let text = Array(path.utf8)
            let padded = text + [UInt8](repeating: 0, count: text.count % 2)
            let head = [UInt8](repeating: 0, count: 10) + [0] + [UInt8](repeating: 0, count: 27 + 12)
            let file = [UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8](repeating: 0, count: 63 - name.utf8.count)
            return Array("alis".utf8) + big(0, 4) + head + file + [UInt8](repeating: 0, count: 36)
                + big(2, 2) + big(padded.count, 2) + Array(padded) + big(0xFFFF, 2) + big(0, 2)
        }

        /// An entry that names another file by its address.
        static func url(_ path: String) -> [UInt8] {
            Array("url ".utf8) + big(0, 4) + Array("file://\(path)".utf8) + [0]
        }
    }

    static func little(_ value: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    static func big(_ value: Int, _ count: Int) -> [UInt8] { little(value, count).reversed() }
}
